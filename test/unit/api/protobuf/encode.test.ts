import assert from 'node:assert/strict';
import { seededRandom } from '../../../../src/base/random.js';
import { decodeProtobufBody } from '../../../../src/api/protobuf/decode.js';
import { encodeMessage, encodeProtobuf } from '../../../../src/api/protobuf/encode.js';
import { apiVersionOf } from '../../../../src/api/resource.js';
import { KindRegistry } from '../../../../src/api/schema/registry.js';
import { RandomObjects } from './random-objects.js';

const resources = KindRegistry.load().all();

const hex = (apiVersion: string, kind: string, object: object) =>
  encodeMessage(apiVersion, kind, object)?.toString('hex');
/** What Go writes for an ObjectMeta with nothing but the name `a`. */
const METADATA = '0a11' + '0a0161' + '1200' + '1a00' + '2200' + '2a00' + '3200' + '3800' + '4200';

describe('protobuf answers', () => {
  it('write the zero values of what is no pointer, and maps by key', () => {
    assert.equal(hex('v1', 'ConfigMap', { metadata: { name: 'a' } }), METADATA);
    const data = { z: '1', b: '' };
    const entries = `1205${'0a0162' + '1200'}1206${'0a017a' + '120131'}`;
    assert.equal(hex('v1', 'ConfigMap', { metadata: { name: 'a' }, data }), METADATA + entries);
    const scale = { metadata: { name: 'a' }, spec: { replicas: -1 }, status: { replicas: 300 } };
    const spec = '120b' + '08ffffffffffffffffff01';
    const status = '1a05' + '08ac02' + '1200';
    assert.equal(hex('autoscaling/v1', 'Scale', scale), METADATA + spec + status);
  });

  it('write times, quantities and ports as their messages', () => {
    const at = { name: 'a', creationTimestamp: '2024-01-01T00:00:00Z' };
    const meta = hex('meta.k8s.io/v1', 'PartialObjectMetadata', { metadata: at });
    assert.equal(meta, '0a19' + METADATA.slice(4, -4) + '4208' + '088081c8ac06' + '1000');
    const lease = { metadata: { name: 'a' }, spec: { renewTime: '2024-01-01T00:00:00.000001Z' } };
    assert.equal(hex('coordination.k8s.io/v1', 'Lease', lease), METADATA + '120b' + '2209' + '088081c8ac06' + '10e807');
    const limits = { metadata: { name: 'a' }, spec: { hard: { cpu: '500m' } } };
    const cpu = '0a03637075' + '12060a04' + '3530306d';
    assert.equal(hex('v1', 'ResourceQuota', limits), METADATA + '120f' + '0a0d' + cpu + '1a00');
    const port = { port: 80, targetPort: 'http' };
    const service = { metadata: { name: 'a' }, spec: { ports: [port] } };
    const ports = '0a14' + '0a00' + '1200' + '1850' + '220a' + '0801' + '1000' + '1a0468747470' + '2800';
    assert.ok(hex('v1', 'Service', service)?.startsWith(METADATA + '12'));
    assert.ok(hex('v1', 'Service', service)?.includes(ports));
  });

  it('are enveloped as etcd and clients know them', () => {
    const bytes = encodeProtobuf({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a' } });
    const type = '0a0f' + '0a027631' + '1209' + Buffer.from('ConfigMap').toString('hex');
    assert.equal(bytes?.toString('hex'), '6b387300' + type + '1213' + METADATA + '1a00' + '2200');
  });

  it('of metrics say what the JSON says', () => {
    const usage = { cpu: '250m', memory: '64Mi' };
    const measured = { timestamp: '2024-01-01T00:00:00Z', window: '30.5s' };
    for (const object of [
      { kind: 'NodeMetrics', metadata: { name: 'n' }, ...measured, usage },
      { kind: 'PodMetrics', metadata: { name: 'p' }, ...measured, containers: [{ name: 'c', usage }] },
    ]) {
      const typed = { apiVersion: 'metrics.k8s.io/v1beta1', ...object };
      assert.deepEqual(decodeProtobufBody(encodeProtobuf(typed) ?? Buffer.alloc(0)), typed);
    }
  });

  it('are none of other kinds', () => {
    assert.equal(encodeProtobuf({ apiVersion: 'meta.k8s.io/v1', kind: 'Table', rows: [] }), undefined);
    assert.equal(encodeProtobuf({ apiVersion: 'apps.example.com/v1', kind: 'Deployment' }), undefined);
  });

  for (const { group, version, kind, schema } of resources) {
    const apiVersion = apiVersionOf({ group, version });
    it(`of ${apiVersion} ${kind} say what the JSON says`, () => {
      for (const [seed, density] of [0.1, 0.3, 0.6, 1].entries()) {
        const made = new RandomObjects(seededRandom(seed), density).object(schema);
        const object = { apiVersion, kind, ...made };
        const bytes = encodeProtobuf(object);
        assert.ok(bytes, 'no message');
        assert.deepEqual(decodeProtobufBody(bytes), object, `seed ${seed}`);
      }
    });
  }
});
