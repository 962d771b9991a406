import assert from 'node:assert/strict';
import fc from 'fast-check';
import { applyMergePatch } from '../../../src/api/patch/merge.js';
import { applyStrategicMergePatch } from '../../../src/api/patch/strategic.js';
import { KindRegistry } from '../../../src/api/schema/registry.js';
import { lastAppliedOf, LAST_APPLIED, withLastApplied } from '../../../src/cli/apply/last-applied.js';
import { threeWayMerge } from '../../../src/cli/apply/three-way-merge.js';

type Fields = Record<string, unknown>;

describe('the patch of apply', () => {
  const schema = (group: string, kind: string) => KindRegistry.load().byKind(group, 'v1', kind)?.schema;
  const deployment = schema('apps', 'Deployment')!;
  const service = schema('', 'Service')!;
  const template = (spec: Fields) => ({ spec: { template: { spec } } });
  const patched = (last: Fields | undefined, wanted: Fields, live: Fields, node = deployment) => {
    const patch = threeWayMerge(last, wanted, live, node);
    return { patch, result: applyStrategicMergePatch({ schema: node }, live, patch) as Fields };
  };

  it('is empty when the live object says all that the manifest says', () => {
    const wanted = template({ containers: [{ name: 'a', image: 'x' }] });
    const live = template({
      containers: [{ name: 'a', image: 'x', imagePullPolicy: 'Always' }],
      dnsPolicy: 'ClusterFirst',
    });
    assert.deepEqual(threeWayMerge(wanted, wanted, live, deployment), {});
  });

  it('changes fields within list items, by their merge key', () => {
    const live = template({
      containers: [
        { name: 'a', image: 'x', tty: true },
        { name: 'b', image: 'y' },
      ],
    });
    const wanted = template({
      containers: [
        { name: 'a', image: 'x' },
        { name: 'b', image: 'z' },
      ],
    });
    const { patch, result } = patched(wanted, wanted, live);
    assert.deepEqual(patch, {
      spec: {
        template: {
          spec: {
            containers: [{ name: 'b', image: 'z' }],
            '$setElementOrder/containers': [{ name: 'a' }, { name: 'b' }],
          },
        },
      },
    });
    assert.deepEqual(
      result,
      template({
        containers: [
          { name: 'a', image: 'x', tty: true },
          { name: 'b', image: 'z' },
        ],
      }),
    );
  });

  it('removes what the last manifest had and this one has not, and leaves what others set', () => {
    const env = (...names: string[]) =>
      template({ containers: [{ name: 'a', env: names.map((name) => ({ name, value: '1' })) }] });
    const last = { metadata: { labels: { x: '1', y: '1' } }, ...env('A', 'B') };
    const wanted = { metadata: { labels: { x: '1' } }, ...env('A') };
    const live = { metadata: { labels: { x: '1', y: '1', other: '1' } }, ...env('A', 'B', 'OTHER') };
    const { result } = patched(last, wanted, live);
    assert.deepEqual(result, { metadata: { labels: { x: '1', other: '1' } }, ...env('A', 'OTHER') });
  });

  it('keeps the order of the manifest', () => {
    const list = (...names: string[]) => template({ containers: names.map((name) => ({ name, image: 'x' })) });
    const { result } = patched(list('a', 'b', 'c'), list('c', 'a', 'b'), list('a', 'b', 'c'));
    assert.deepEqual(result, list('c', 'a', 'b'));
  });

  it('replaces one source of a volume and one strategy by another', () => {
    const volume = (source: Fields) => template({ volumes: [{ name: 'v', ...source }] });
    assert.deepEqual(
      // The last manifest did not name the source: only $retainKeys can take the default away.
      patched(volume({}), volume({ configMap: { name: 'c' } }), volume({ emptyDir: {} })).result,
      volume({ configMap: { name: 'c' } }),
    );
    const rolling = { spec: { strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1 } } } };
    const recreate = { spec: { strategy: { type: 'Recreate' } } };
    assert.deepEqual(patched({ spec: {} }, recreate, rolling).result, recreate);
  });

  it('changes lists of plain values that merge', () => {
    const finalizers = (...list: string[]) => ({ metadata: { finalizers: list } });
    const { result } = patched(finalizers('a', 'b'), finalizers('b', 'c'), finalizers('a', 'b', 'other'));
    assert.deepEqual(result, finalizers('b', 'c', 'other'));
  });

  it('replaces a list whose merge key does not tell the items apart', () => {
    const ports = (...list: Fields[]) => ({ spec: { ports: list } });
    const dns = [
      { name: 'dns', port: 53, protocol: 'UDP' },
      { name: 'dns-tcp', port: 53, protocol: 'TCP' },
    ];
    const live = ports(...dns.map((port) => ({ ...port, targetPort: port.port })));
    assert.deepEqual(threeWayMerge(undefined, ports(...dns), live, service), {});
    const changed = ports({ ...dns[0], targetPort: 5353 }, { ...dns[1] });
    assert.deepEqual(patched(ports(...dns), changed, live, service).result, changed);
  });

  it('treats lists of kinds without a schema as whole values', () => {
    const wanted = { spec: { list: [{ name: 'a', x: 1 }], gone: null } };
    const live = { spec: { list: [{ name: 'a', x: 2 }, { name: 'b' }], gone: 1, kept: 1 } };
    const patch = threeWayMerge({ spec: {} }, wanted, live, undefined);
    assert.deepEqual(patch, { spec: { list: [{ name: 'a', x: 1 }], gone: null } });
    assert.deepEqual(applyMergePatch(live, patch), { spec: { list: [{ name: 'a', x: 1 }], kept: 1 } });
  });

  it('always ends where the manifest says, and has nothing to do afterwards', () => {
    const item = fc.record({ name: fc.constantFrom('a', 'b', 'c', 'd'), image: fc.constantFrom('x', 'y') });
    const manifest = fc.record({
      metadata: fc.record({ labels: fc.dictionary(fc.constantFrom('k', 'l', 'm'), fc.constantFrom('1', '2')) }),
      spec: fc.record({
        replicas: fc.nat(3),
        template: fc.record({
          spec: fc.record({ containers: fc.uniqueArray(item, { selector: ({ name }) => name, minLength: 1 }) }),
        }),
      }),
    });
    fc.assert(
      fc.property(manifest, manifest, manifest, (last, wanted, others) => {
        // Live: the last manifest, and what others applied over it.
        const live = applyStrategicMergePatch({ schema: deployment }, last, others) as unknown as Fields;
        const { result } = patched(last, wanted, live);
        assert.deepEqual(threeWayMerge(wanted, wanted, result, deployment), {});
        const names = (from: unknown) =>
          (from as typeof last).spec.template.spec.containers.map(({ name, image }) => `${name}=${image}`);
        const wantedNames = names(wanted);
        assert.deepEqual(
          names(result).filter((name) => wantedNames.includes(name)),
          wantedNames,
        );
      }),
      { numRuns: 200 },
    );
  });
});

describe('the last-applied annotation', () => {
  it('has the bytes that kubectl writes', () => {
    const manifest = { kind: 'ConfigMap', apiVersion: 'v1', metadata: { name: 'a' }, data: { b: '<&>', a: '1' } };
    const made = withLastApplied(manifest, 'default');
    assert.equal(
      made.metadata.annotations?.[LAST_APPLIED],
      '{"apiVersion":"v1","data":{"a":"1","b":"\\u003c\\u0026\\u003e"},"kind":"ConfigMap",' +
        '"metadata":{"annotations":{},"name":"a","namespace":"default"}}\n',
    );
    assert.deepEqual(lastAppliedOf(made), {
      ...manifest,
      metadata: { annotations: {}, name: 'a', namespace: 'default' },
    });
    // Applying what was fetched from the server does not nest annotations.
    assert.deepEqual(withLastApplied(made, 'default'), made);
  });

  it('is overlooked when it is not JSON', () => {
    assert.equal(lastAppliedOf({ metadata: { annotations: { [LAST_APPLIED]: 'x' } } }), undefined);
    assert.equal(lastAppliedOf({ metadata: {} }), undefined);
  });
});
