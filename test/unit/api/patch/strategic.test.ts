import assert from 'node:assert/strict';
import fc from 'fast-check';
import { ApiError } from '../../../../src/api/errors.js';
import { applyJsonPatch } from '../../../../src/api/patch/json.js';
import { applyMergePatch } from '../../../../src/api/patch/merge.js';
import { applyStrategicMergePatch } from '../../../../src/api/patch/strategic.js';
import { KindRegistry } from '../../../../src/api/schema/registry.js';

const registry = KindRegistry.load();
const kind = (group: string, version: string, name: string) => {
  const info = registry.byKind(group, version, name);
  assert.ok(info);
  return info;
};
const deployment = kind('apps', 'v1', 'Deployment');
const pod = kind('', 'v1', 'Pod');
const node = kind('', 'v1', 'Node');
const service = kind('', 'v1', 'Service');

const withContainers = (...containers: object[]) => ({
  metadata: { name: 'web', labels: { app: 'web' } },
  spec: { replicas: 2, template: { metadata: {}, spec: { containers } } },
});
const containersOf = (object: unknown) =>
  (object as ReturnType<typeof withContainers>).spec.template.spec.containers as { name: string; image: string }[];

describe('strategic merge patch', () => {
  it('kubectl set image changes one container and keeps the others in order', () => {
    const current = withContainers(
      { name: 'a', image: 'a:1' },
      { name: 'b', image: 'b:1', env: [{ name: 'X', value: '1' }] },
    );
    const result = applyStrategicMergePatch(deployment, current, {
      spec: {
        template: {
          spec: {
            '$setElementOrder/containers': [{ name: 'a' }, { name: 'b' }],
            containers: [{ name: 'b', image: 'b:2' }],
          },
        },
      },
    });
    assert.deepEqual(containersOf(result), [
      { name: 'a', image: 'a:1' },
      { name: 'b', image: 'b:2', env: [{ name: 'X', value: '1' }] },
    ]);
    assert.equal(containersOf(current)[1]?.image, 'b:1');
  });

  it('kubectl rollout restart adds an annotation where there was none', () => {
    const result = applyStrategicMergePatch(deployment, withContainers(), {
      spec: { template: { metadata: { annotations: { 'kubectl.kubernetes.io/restartedAt': 'now' } } } },
    }) as unknown as { spec: { template: { metadata: object } } };
    assert.deepEqual(result.spec.template.metadata, { annotations: { 'kubectl.kubernetes.io/restartedAt': 'now' } });
  });

  it('kubectl cordon, uncordon and taint', () => {
    const cordoned = applyStrategicMergePatch(node, { spec: {} }, { spec: { unschedulable: true } });
    assert.deepEqual(cordoned, { spec: { unschedulable: true } });
    assert.deepEqual(applyStrategicMergePatch(node, cordoned, { spec: { unschedulable: null } }), { spec: {} });
    const tainted = applyStrategicMergePatch(
      node,
      { spec: { taints: [{ key: 'a', effect: 'NoExecute' }] } },
      {
        spec: { taints: [{ key: 'b', effect: 'NoSchedule' }] },
      },
    );
    assert.deepEqual(tainted, { spec: { taints: [{ key: 'b', effect: 'NoSchedule' }] } });
  });

  it('removes list items, whole lists and map keys by directive', () => {
    const current = withContainers({ name: 'a', image: '1' }, { name: 'b', image: '2' });
    const patch = (containers: unknown) => ({ spec: { template: { spec: { containers } } } });
    assert.deepEqual(
      containersOf(applyStrategicMergePatch(deployment, current, patch([{ name: 'a', $patch: 'delete' }]))).map(
        ({ name }) => name,
      ),
      ['b'],
    );
    assert.deepEqual(
      containersOf(
        applyStrategicMergePatch(deployment, current, patch([{ $patch: 'replace' }, { name: 'c', image: '3' }])),
      ),
      [{ name: 'c', image: '3' }],
    );
    const labels = { metadata: { labels: { a: '1', b: '2' }, finalizers: ['x/a', 'x/b'] } };
    assert.deepEqual(
      applyStrategicMergePatch(pod, labels, {
        metadata: {
          labels: { $patch: 'replace', c: '3' },
          '$deleteFromPrimitiveList/finalizers': ['x/a'],
          finalizers: ['x/c'],
        },
      }),
      { metadata: { labels: { c: '3' }, finalizers: ['x/c', 'x/b'] } },
    );
    assert.deepEqual(applyStrategicMergePatch(pod, labels, { metadata: { $patch: 'delete' } }), { metadata: {} });
  });

  it('$retainKeys clears the other members of a union', () => {
    const current = { spec: { strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1 } } } };
    assert.deepEqual(
      applyStrategicMergePatch(deployment, current, {
        spec: { strategy: { $retainKeys: ['type'], type: 'Recreate' } },
      }),
      { spec: { strategy: { type: 'Recreate' } } },
    );
    assert.throws(
      () =>
        applyStrategicMergePatch(deployment, current, { spec: { strategy: { $retainKeys: ['x'], type: 'Recreate' } } }),
      ApiError,
    );
  });

  it('$setElementOrder reorders', () => {
    const current = { spec: { ports: [{ port: 1 }, { port: 2 }, { port: 3 }] } };
    const result = applyStrategicMergePatch(service, current, {
      spec: {
        '$setElementOrder/ports': [{ port: 3 }, { port: 4 }, { port: 1 }],
        ports: [
          { port: 4, name: 'new' },
          { port: 2, $patch: 'delete' },
        ],
      },
    });
    assert.deepEqual(result, { spec: { ports: [{ port: 3 }, { port: 4, name: 'new' }, { port: 1 }] } });
  });

  it('refuses items without their merge key and unknown directives', () => {
    const current = withContainers({ name: 'a', image: '1' });
    const bad = (containers: unknown) => () =>
      applyStrategicMergePatch(deployment, current, { spec: { template: { spec: { containers } } } });
    assert.throws(bad([{ image: 'x' }]), /does not contain declared merge key: name/);
    assert.throws(bad([{ name: 'a', $patch: 'nonsense' }]), ApiError);
  });

  it('an empty patch changes nothing, and applying a patch twice is applying it once', () => {
    const containers = fc.uniqueArray(
      fc.record({ name: fc.constantFrom('a', 'b', 'c', 'd'), image: fc.string() }, { noNullPrototype: true }),
      {
        selector: ({ name }) => name,
      },
    );
    fc.assert(
      fc.property(containers, containers, (now, change) => {
        const current = withContainers(...now);
        const before = structuredClone(current);
        assert.deepEqual(applyStrategicMergePatch(deployment, current, {}), current);
        const patch = { spec: { template: { spec: { containers: change } } } };
        const once = applyStrategicMergePatch(deployment, current, patch);
        assert.deepEqual(applyStrategicMergePatch(deployment, once, patch), once);
        assert.deepEqual(current, before);
        for (const { name, image } of change)
          assert.equal(containersOf(once).find((c) => c.name === name)?.image, image);
        for (const { name } of now) assert.ok(containersOf(once).some((c) => c.name === name));
      }),
    );
  });
});

describe('JSON merge patch', () => {
  it('follows the examples of RFC 7396', () => {
    assert.deepEqual(
      applyMergePatch({ a: 'b', c: { d: 1, e: [1] } }, { a: null, c: { d: null, f: { g: null, h: 1 } } }),
      {
        c: { e: [1], f: { h: 1 } },
      },
    );
    assert.throws(() => applyMergePatch({}, []), { code: 400 });
  });

  it('cannot reach prototypes', () => {
    applyMergePatch({}, JSON.parse('{"__proto__":{"polluted":true}}'));
    assert.equal(({} as { polluted?: boolean }).polluted, undefined);
  });
});

describe('JSON patch', () => {
  it('works on a copy, all or nothing', () => {
    const current = { spec: { list: [1, 2] } };
    assert.deepEqual(applyJsonPatch(current, [{ op: 'add', path: '/spec/list/-', value: 3 }]), {
      spec: { list: [1, 2, 3] },
    });
    assert.deepEqual(current, { spec: { list: [1, 2] } });
    const failing = [
      { op: 'remove', path: '/spec/list' },
      { op: 'test', path: '/spec/x', value: 1 },
    ];
    assert.throws(() => applyJsonPatch(current, failing), { code: 422 });
    assert.throws(() => applyJsonPatch(current, [{ op: 'remove', path: '/spec/none' }]), { code: 422 });
    assert.throws(() => applyJsonPatch(current, {}), { code: 400 });
    assert.throws(() => applyJsonPatch(current, [{ op: 'add', path: '/__proto__/x', value: 1 }]), { code: 422 });
  });
});
