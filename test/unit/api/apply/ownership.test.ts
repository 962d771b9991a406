import assert from 'node:assert/strict';
import fc from 'fast-check';
import { appliedFields, TypedValueError } from '../../../../src/api/apply/applied-fields.js';
import { applyConflict } from '../../../../src/api/apply/conflict.js';
import { EMPTY_SET } from '../../../../src/api/apply/field-set.js';
import {
  capUpdates,
  entryOf,
  isReset,
  parseManagers,
  setOf,
  type Manager,
  type Managers,
} from '../../../../src/api/apply/managers.js';
import { applyConfiguration, trackUpdate, type Versions } from '../../../../src/api/apply/ownership.js';
import { typeOfNode, type OwnedType } from '../../../../src/api/apply/owned-type.js';
import { writtenThrough } from '../../../../src/api/apply/written-paths.js';
import { KindRegistry } from '../../../../src/api/schema/registry.js';
import type { OpenApiSchema } from '../../../../src/api/schema/schema.js';

const registry = KindRegistry.load();
const typeOf = (group: string, version: string, resource: string): OwnedType =>
  typeOfNode(registry.find(group, version, resource)?.schema ?? assert.fail());
const DEPLOYMENT = typeOf('apps', 'v1', 'deployments');
const POD = typeOf('', 'v1', 'pods');
const SERVICE = typeOf('', 'v1', 'services');

const customType = (spec: OpenApiSchema): OwnedType => {
  const schema = { type: 'object', properties: { spec } };
  const names = { group: 'x.example', version: 'v1', resource: 'things', kind: 'Thing', namespaced: true };
  return typeOfNode(registry.customInfo({ ...names, schema } as never).schema);
};
const CUSTOM = customType({
  type: 'object',
  properties: {
    whole: { type: 'object', 'x-kubernetes-map-type': 'atomic', properties: { a: { type: 'string' } } },
    plain: { type: 'array', items: { type: 'string' } },
    set: { type: 'array', 'x-kubernetes-list-type': 'set', items: { type: 'string' } },
    items: {
      type: 'array',
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['id'],
      items: { type: 'object', properties: { id: { type: 'integer' }, note: { type: 'string' } } },
    },
    lists: {
      type: 'object',
      additionalProperties: { type: 'array', 'x-kubernetes-list-type': 'set', items: { type: 'string' } },
    },
    free: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
  },
});

const versionsOf = (type: OwnedType): Versions => ({
  typeOf: (version) => (version === 'v1' ? type : undefined),
  convert: (object) => object,
  written: () => ({ allBut: EMPTY_SET }),
  changing: false,
});

type Loose = Record<string, unknown>;

/** One object and its writers. */
class Scene {
  object: Loose | undefined;
  managers: Managers = [];
  clock = 0;
  constructor(readonly type: OwnedType) {}

  private by = (manager: string, operation: Manager['operation'], subresource = ''): Manager => ({
    manager,
    operation,
    apiVersion: 'v1',
    subresource,
  });
  private now = () => `2026-01-01T00:00:${String(++this.clock).padStart(2, '0')}Z`;

  update(manager: string, next: Loose): this {
    const by = this.by(manager, 'Update');
    this.managers = trackUpdate(this.managers, by, this.object ?? {}, next, this.now(), versionsOf(this.type));
    this.object = next;
    return this;
  }

  /** The conflicts' message, or nothing. */
  apply(manager: string, config: Loose, force = false): string | undefined {
    const by = this.by(manager, 'Apply');
    const options = { force, now: this.now(), versions: versionsOf(this.type) };
    const result = applyConfiguration(this.object ?? {}, config, this.managers, by, options);
    if (!result.ok) return applyConflict(result.conflicts).message;
    this.managers = result.managers;
    this.object = result.object;
    return undefined;
  }

  owned(manager: string): unknown {
    const entry = this.managers.find((one) => one.manager === manager);
    return entry && setOf(entry);
  }
}

describe('tracking updates', () => {
  it('gives a creator what it set, but not what Go always has, nor identity', () => {
    const scene = new Scene(DEPLOYMENT).update('me', {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'web', namespace: 'default', labels: { app: 'web' }, generation: 1 },
      spec: {
        replicas: 2,
        selector: { matchLabels: { app: 'web' } },
        template: { metadata: {}, spec: { containers: [{ name: 'c', image: 'i', resources: {} }] } },
      },
    });
    assert.deepEqual(scene.owned('me'), {
      'f:metadata': { 'f:labels': { '.': {}, 'f:app': {} } },
      'f:spec': {
        'f:replicas': {},
        'f:selector': {},
        'f:template': {
          'f:spec': {
            'f:containers': { 'k:{"name":"c"}': { '.': {}, 'f:image': {}, 'f:name': {}, 'f:resources': {} } },
          },
        },
      },
    });
  });

  it('moves a changed field to who changed it, and forgets removed ones', () => {
    const scene = new Scene(DEPLOYMENT)
      .update('one', { metadata: { labels: { a: '1', b: '1', c: '1' } } })
      .update('two', { metadata: { labels: { a: '2', b: '1' } } });
    assert.deepEqual(scene.owned('one'), { 'f:metadata': { 'f:labels': { '.': {}, 'f:b': {} } } });
    assert.deepEqual(scene.owned('two'), { 'f:metadata': { 'f:labels': { 'f:a': {} } } });
  });

  it('changes nothing for an update that changes nothing, and only the time of who changed a value', () => {
    const scene = new Scene(DEPLOYMENT).update('one', { metadata: { labels: { a: '1' } } });
    const before = scene.managers;
    scene.update('two', { metadata: { labels: { a: '1' } } });
    assert.equal(scene.managers, before);
    scene.update('one', { metadata: { labels: { a: '2' } } });
    assert.notEqual(scene.managers[0]?.time, before[0]?.time);
    assert.equal(scene.managers[0]?.fieldsV1, before[0]?.fieldsV1);
  });

  it('follows items of lists by their keys, with defaults, wherever they stand', () => {
    const port = (number: number, nodePort?: number) => ({ port: number, ...(nodePort ? { nodePort } : {}) });
    const scene = new Scene(SERVICE)
      .update('one', { spec: { ports: [port(80), port(443)] } })
      .update('two', { spec: { ports: [port(443, 30443), port(80)] } });
    assert.deepEqual(scene.owned('two'), {
      'f:spec': { 'f:ports': { 'k:{"port":443,"protocol":"TCP"}': { 'f:nodePort': {} } } },
    });
  });

  it('owns as a whole what is atomic', () => {
    const scene = new Scene(POD).update('one', {
      metadata: { ownerReferences: [{ uid: 'u', kind: 'K', name: 'n', apiVersion: 'v1' }] },
      spec: { imagePullSecrets: [{ name: 's' }], tolerations: [{ key: 'a' }] },
    });
    assert.deepEqual(scene.owned('one'), {
      'f:metadata': { 'f:ownerReferences': { '.': {}, 'k:{"uid":"u"}': {} } },
      'f:spec': { 'f:imagePullSecrets': { '.': {}, 'k:{"name":"s"}': {} }, 'f:tolerations': {} },
    });
  });

  it('takes custom resources apart as their schema says, and free form by maps', () => {
    const scene = new Scene(CUSTOM).update('one', {
      spec: {
        whole: { a: '1' },
        plain: ['a'],
        set: ['b'],
        items: [{ id: 1, note: 'n' }],
        lists: { l: ['c'] },
        free: { deep: { er: [1], on: true } },
      },
    });
    assert.deepEqual(scene.owned('one'), {
      'f:spec': {
        '.': {},
        'f:free': { '.': {}, 'f:deep': { '.': {}, 'f:er': {}, 'f:on': {} } },
        'f:items': { '.': {}, 'k:{"id":1}': { '.': {}, 'f:id': {}, 'f:note': {} } },
        'f:lists': { '.': {}, 'f:l': { '.': {}, 'v:"c"': {} } },
        'f:plain': {},
        'f:set': { '.': {}, 'v:"b"': {} },
        'f:whole': {},
      },
    });
  });

  it('counts names that every object inherits as names', () => {
    const scene = new Scene(typeOf('', 'v1', 'configmaps'));
    scene.update('one', { data: JSON.parse('{"__proto__":"1","constructor":"2"}') as Loose });
    assert.deepEqual(scene.owned('one'), { 'f:data': { '.': {}, 'f:__proto__': {}, 'f:constructor': {} } });
    scene.update('two', { data: {} });
    assert.deepEqual(scene.owned('one'), { 'f:data': {} });
  });

  it('merges the oldest of more than ten updaters', () => {
    const scene = new Scene(POD);
    for (let i = 0; i < 14; i++) {
      const labels = Object.fromEntries(Array.from({ length: i + 1 }, (_, n) => [`l${n}`, '1']));
      scene.update(`m${i}`, { metadata: { labels } });
    }
    assert.equal(scene.managers.length, 10);
    assert.deepEqual(
      Object.keys(
        (scene.owned('ancient-changes') as { 'f:metadata': { 'f:labels': object } })['f:metadata']['f:labels'],
      ),
      ['.', 'f:l0', 'f:l1', 'f:l2', 'f:l3', 'f:l4'],
    );
    assert.equal(scene.owned('m4'), undefined);
    const many = Array.from({ length: 11 }, (_, i) =>
      entryOf({ manager: `m${i}`, operation: 'Apply', apiVersion: 'v1', subresource: '' }, { 'f:a': {} }, undefined),
    );
    assert.equal(capUpdates(many), many);
  });

  it('reads and refuses entries that clients send', () => {
    const good = {
      manager: 'm',
      operation: 'Update',
      apiVersion: 'v1',
      fieldsType: 'FieldsV1',
      fieldsV1: { 'f:a': {} },
    };
    assert.equal(parseManagers([good])?.length, 1);
    for (const bad of [{ operation: 'Do' }, { apiVersion: '' }, { fieldsType: 'FieldsV2' }, { fieldsV1: { x: 1 } }]) {
      assert.equal(parseManagers([{ ...good, ...bad } as never]), undefined, JSON.stringify(bad));
    }
    assert.equal(isReset([{}]), true);
    assert.equal(isReset([]), false);
    assert.equal(isReset([good]), false);
  });

  it('leaves to each subresource what is its own', () => {
    const info = registry.find('apps', 'v1', 'deployments') ?? assert.fail();
    const versions = (subresource: string): Versions => ({
      ...versionsOf(DEPLOYMENT),
      written: () => writtenThrough(info, subresource),
    });
    const next = { metadata: { labels: { a: '1' } }, spec: { replicas: 1 }, status: { replicas: 1 } };
    const track = (subresource: string) =>
      trackUpdate(
        [],
        { manager: 'm', operation: 'Update', apiVersion: 'v1', subresource },
        {},
        next,
        '',
        versions(subresource),
      );
    assert.deepEqual(Object.keys(setOf(track('')[0] ?? {})), ['f:metadata', 'f:spec']);
    assert.deepEqual(Object.keys(setOf(track('status')[0] ?? {})), ['f:status']);
  });
});

describe('applying', () => {
  it('shares equal values and is in conflict over others', () => {
    const scene = new Scene(DEPLOYMENT);
    assert.equal(scene.apply('one', { spec: { replicas: 1, paused: true } }), undefined);
    assert.equal(scene.apply('two', { spec: { replicas: 1 } }), undefined);
    assert.equal(
      scene.apply('two', { spec: { replicas: 2 } }),
      'Apply failed with 1 conflict: conflict with "one": .spec.replicas',
    );
    assert.equal(scene.apply('two', { spec: { replicas: 2 } }, true), undefined);
    assert.deepEqual(scene.object, { spec: { replicas: 2, paused: true } });
    assert.deepEqual(scene.owned('one'), { 'f:spec': { 'f:paused': {} } });
  });

  it('removes what its applier gives up and nobody else owns', () => {
    const scene = new Scene(DEPLOYMENT).update('user', { metadata: { labels: { mine: '1' } } });
    scene.apply('one', { metadata: { labels: { a: '1', b: '1' } } });
    scene.apply('two', { metadata: { labels: { b: '1' } } });
    scene.apply('one', { metadata: {} });
    assert.deepEqual(scene.object, { metadata: { labels: { mine: '1', b: '1' } } });
    assert.equal(scene.owned('one'), undefined);
  });

  it('removes items with all that is in them, but keeps those that somebody else applies', () => {
    const scene = new Scene(POD);
    scene.apply('one', {
      spec: {
        containers: [
          { name: 'a', image: '1' },
          { name: 'b', image: '1' },
        ],
      },
    });
    scene.update('defaults', {
      spec: {
        containers: [
          { name: 'a', image: '1', tty: true },
          { name: 'b', image: '1' },
        ],
      },
    });
    scene.apply('two', { spec: { containers: [{ name: 'b', stdin: true }] } });
    scene.apply('one', { spec: { containers: [] } });
    assert.deepEqual(scene.object, { spec: { containers: [{ name: 'b', stdin: true }] } });
  });

  it('puts applied items in the order applied, and leaves others where they were', () => {
    const named = (...names: string[]) => ({ spec: { containers: names.map((name) => ({ name })) } });
    const scene = new Scene(POD).update('user', named('x', 'a', 'y', 'b', 'z'));
    scene.apply('one', named('b', 'n', 'a'));
    assert.deepEqual(scene.object, named('x', 'y', 'b', 'z', 'n', 'a'));
  });

  const wrong: [string, OwnedType, Loose, string][] = [
    ['unknown fields', DEPLOYMENT, { spec: { foo: 1 } }, '.spec.foo: field not declared in schema'],
    ['numbers', DEPLOYMENT, { spec: { replicas: 'x' } }, '.spec.replicas: expected numeric (int or float), got string'],
    [
      'strings',
      POD,
      { spec: { nodeName: 1 } },
      '.spec.nodeName: expected string, got &value.valueUnstructured{Value:1}',
    ],
    ['lists', POD, { spec: { containers: 'x' } }, '.spec.containers: expected list, got &{x}'],
    ['maps', POD, { spec: 'x' }, '.spec: expected map, got &{x}'],
    [
      'items without keys',
      CUSTOM,
      { spec: { items: [{ note: 'x' }] } },
      '.spec.items: element 0: associative list with keys has an element that omits key field "id" (and doesn\'t have default value)',
    ],
    [
      'duplicates',
      POD,
      { spec: { containers: [{ name: 'x' }, { name: 'x' }] } },
      '.spec.containers: duplicate entries for key [name="x"]',
    ],
    [
      'several',
      POD,
      { spec: { a: 1 }, b: 2 },
      'errors:\n  .spec.a: field not declared in schema\n  .b: field not declared in schema',
    ],
  ];
  for (const [what, type, config, message] of wrong) {
    it(`refuses ${what} that do not fit`, () => {
      assert.throws(
        () => appliedFields(type, config),
        (error) => error instanceof TypedValueError && error.message === message,
      );
    });
  }

  const label = fc.dictionary(fc.constantFrom('a', 'b', 'c'), fc.constantFrom('1', '2'), { noNullPrototype: true });
  const containers = fc.uniqueArray(
    fc.record(
      { name: fc.constantFrom('x', 'y', 'z'), image: fc.constantFrom('1', '2') },
      { requiredKeys: ['name'], noNullPrototype: true },
    ),
    { selector: ({ name }) => name, maxLength: 3 },
  );
  const config = fc.record({
    metadata: fc.record({ labels: label }),
    spec: fc.record({ containers }),
  }) as fc.Arbitrary<Loose>;

  it('is done when it is done: a second time changes nothing', () => {
    fc.assert(
      fc.property(config, config, config, (live, other, mine) => {
        const scene = new Scene(POD).update('user', live);
        scene.apply('other', other, true);
        scene.apply('me', mine, true);
        const { object, managers } = scene;
        assert.equal(scene.apply('me', mine), undefined);
        assert.deepEqual(scene.object, object);
        assert.deepEqual(scene.managers, managers);
      }),
    );
  });

  it('leaves no trace of what was applied alone and given up', () => {
    fc.assert(
      fc.property(config, config, (live, mine) => {
        const scene = new Scene(POD).update('user', live);
        const before = new Map(Object.entries((live['metadata'] as { labels: Loose }).labels));
        if (scene.apply('me', mine) !== undefined) return;
        scene.apply('me', {});
        const after = ((scene.object?.['metadata'] ?? {}) as { labels?: Loose }).labels ?? {};
        assert.deepEqual(new Map(Object.entries(after)), before);
        assert.equal(scene.owned('me'), undefined);
      }),
    );
  });

  it('has what was applied in the object afterwards', () => {
    fc.assert(
      fc.property(config, config, (live, mine) => {
        const scene = new Scene(POD).update('user', live);
        scene.apply('me', mine, true);
        const { labels } = (scene.object as { metadata: { labels: Loose } }).metadata;
        for (const [key, value] of Object.entries((mine['metadata'] as { labels: Loose }).labels)) {
          assert.equal(labels[key], value);
        }
      }),
    );
  });
});
