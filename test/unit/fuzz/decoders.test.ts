import assert from 'node:assert/strict';
import fc from 'fast-check';
import { parseBody, parseJsonBody, parseYamlBody } from '../../../src/api/body.js';
import { encodeProtobuf } from '../../../src/api/protobuf/encode.js';
import type { KubeObject } from '../../../src/api/object.js';
import { applyJsonPatch } from '../../../src/api/patch/json.js';
import { applyMergePatch } from '../../../src/api/patch/merge.js';
import { applyStrategicMergePatch } from '../../../src/api/patch/strategic.js';
import { PODS } from '../../../src/api/resource.js';
import { decodeObject } from '../../../src/api/schema/decode.js';
import { KindRegistry } from '../../../src/api/schema/registry.js';
import { parseFieldSelector } from '../../../src/api/selectors/field.js';
import { parseLabelSelector } from '../../../src/api/selectors/label.js';
import { parseQuantity, QuantityError } from '../../../src/api/quantity.js';
import { parseAccept } from '../../../src/control/apiserver/http/negotiation.js';
import { parseResourcePath } from '../../../src/control/apiserver/http/request-info.js';
import { fuzz, mutated, refusesOrReturns } from './fuzz.js';

const POD = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'p', labels: { a: 'b' }, creationTimestamp: '2026-01-01T00:00:00Z' },
  spec: {
    containers: [
      {
        name: 'c',
        image: 'i',
        ports: [{ containerPort: 80, protocol: 'TCP' }],
        env: [{ name: 'A', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } }],
        resources: { requests: { cpu: '100m', memory: '1Gi' } },
        livenessProbe: { httpGet: { path: '/', port: 'web' } },
      },
    ],
    terminationGracePeriodSeconds: 30,
  },
};
const JSON_SEEDS = [JSON.stringify(POD), '[]', '{"a":[1,2,{"b":null}]}', '"text"', '-1.5e-7'];
const YAML_SEEDS = [
  'apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n  - name: c\n    command: ["a", "b"]\n',
  'a: &x [1, 2]\nb: *x\nc: |\n  text\n  more\nd: >-\n  folded\n<<: {e: 1}\n',
  '? complex\n: value\n--- # two\n!!binary aGk=\n',
];
const SCHEMA = { type: 'object', properties: { a: { items: { type: 'string' }, default: ['x'] } } };
const DEFINITION = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'd' },
  spec: { versions: [{ name: 'v1', schema: { openAPIV3Schema: { ...SCHEMA, additionalProperties: SCHEMA } } }] },
};
/** A `runtime.Unknown` envelope around the beginning of a Pod, as kubectl sends it. */
const PROTOBUF_SEEDS = [
  Buffer.from('6b3873000a090a02763112035 06f64'.replaceAll(' ', ''), 'hex'),
  Buffer.from(
    '6b3873000a090a0276311203506f6412150a070a01701a0001621 20a12080a0163120169 5000'.replaceAll(' ', ''),
    'hex',
  ),
  ...[POD, DEFINITION].flatMap((object) => encodeProtobuf(object) ?? []),
];

describe('decoders under garbage', () => {
  const registry = KindRegistry.load();
  const pods = registry.find('', 'v1', 'pods');
  const deployments = registry.find('apps', 'v1', 'deployments');
  if (!pods || !deployments) throw new Error('the registry has no pods');
  const garbage = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes));

  it('refuse JSON that is none with a 400', () => {
    fuzz(fc.oneof(mutated(JSON_SEEDS), garbage), (bytes) => refusesOrReturns(() => parseJsonBody(bytes)));
  });

  it('refuse YAML that is none with a 400', () => {
    fuzz(fc.oneof(mutated(YAML_SEEDS), garbage), (bytes) => refusesOrReturns(() => parseYamlBody(bytes)), [
      Buffer.from('? ? ? ?'),
      Buffer.from('a: !!int x\n'),
      Buffer.from('{'.repeat(5_000)),
      Buffer.from('- '.repeat(5_000)),
      Buffer.from(`${'a: &a0 x\n'}${Array.from({ length: 200 }, (_, i) => `b${i}: *a0\n`).join('')}`),
    ]);
  });

  it('refuse protobuf that is none with a 400', () => {
    const type = 'application/vnd.kubernetes.protobuf';
    const bytes = fc.oneof(
      mutated(PROTOBUF_SEEDS),
      garbage.map((rest) => Buffer.concat([Buffer.from('k8s\0'), rest])),
    );
    fuzz(bytes, (body) => refusesOrReturns(() => parseBody(body, type)));
  });

  it('turn any JSON value into an object of its kind, or refuse it', () => {
    const values = fc.oneof(fc.jsonValue({ maxDepth: 5 }), mutatedObject(POD));
    fuzz(values, (value) => {
      for (const mode of ['Strict', 'Warn', 'Ignore'] as const) {
        refusesOrReturns(() => decodeObject(pods, value, mode));
      }
    });
  });

  it('apply any patch to an object, or refuse it, and leave the object alone', () => {
    const frozen = deepFreeze(structuredClone(POD)) as KubeObject;
    const operation = fc.record(
      {
        op: fc.constantFrom('add', 'remove', 'replace', 'move', 'copy', 'test', 'other'),
        path: pointer,
        from: pointer,
        value: fc.jsonValue({ maxDepth: 2 }),
      },
      { requiredKeys: ['op'] },
    );
    fuzz(fc.oneof(fc.array(operation, { maxLength: 8 }), fc.jsonValue()), (patch) => {
      refusesOrReturns(() => applyJsonPatch(frozen, patch));
    });
    fuzz(fc.oneof(mutatedObject(POD), fc.jsonValue()), (patch) => {
      refusesOrReturns(() => applyMergePatch(frozen, patch));
      refusesOrReturns(() => applyStrategicMergePatch(pods, frozen, patch));
      refusesOrReturns(() => applyStrategicMergePatch(deployments, frozen, patch));
    });
  });

  it('refuse a patch that copies copies until memory is full', () => {
    const patch = Array.from({ length: 60 }, (_, i) => ({ op: 'copy', from: '', path: `/metadata/c${i}` }));
    assert.throws(() => applyJsonPatch(POD, patch), { code: 422 });
  });

  it('parse selectors, quantities, paths and headers, or refuse them', () => {
    const text = fc.oneof(
      fc.string({ maxLength: 80 }),
      fc.string({ unit: fc.constantFrom(...'a1!=,()<> in-./:;*\t"\\é'.split('')), maxLength: 80 }),
      mutated([
        'a in (b,c),!d,e=f,g!=h',
        'metadata.name=x,spec.nodeName!=y',
        '1.5e3Mi',
        'application/json;q=0.5,*/*',
      ]).map(String),
    );
    fuzz(
      text,
      (input) => {
        refusesOrReturns(() => parseLabelSelector(input));
        refusesOrReturns(() => parseFieldSelector(PODS, input));
        try {
          parseQuantity(input);
        } catch (error) {
          if (!(error instanceof QuantityError)) throw error;
        }
        parseAccept(input);
        parseResourcePath(`/api/v1/${input}`);
        parseResourcePath(input);
      },
      ['9'.repeat(5_000), '1e99999', `a in (${'b,'.repeat(5_000)})`, '/'.repeat(5_000), '('.repeat(5_000)],
    );
  });
});

const pointer = fc.oneof(
  fc.constantFrom(
    '',
    '/',
    '/metadata',
    '/metadata/labels/a',
    '/spec/containers/0',
    '/spec/containers/-',
    '/spec/containers/99',
  ),
  fc.constantFrom('/__proto__/x', '/constructor/prototype/x', '/metadata/~2', '/spec/containers/-1', 'metadata'),
  fc.string({ maxLength: 20 }),
);

const STRANGE = [
  null,
  '',
  0,
  -1,
  1.5,
  1e300,
  true,
  [],
  {},
  [null],
  [[]],
  { $patch: 'delete' },
  { $patch: 7 },
  '$retainKeys',
];
const KEYS = [
  '$patch',
  '$retainKeys',
  '$setElementOrder/containers',
  '$deleteFromPrimitiveList/finalizers',
  '__proto__',
  'name',
];

/** The object with some of its parts replaced by, or given, what does not belong there. */
function mutatedObject(seed: object): fc.Arbitrary<unknown> {
  const change = fc.tuple(fc.nat(40), fc.constantFrom(...STRANGE), fc.option(fc.constantFrom(...KEYS)));
  return fc.array(change, { maxLength: 4 }).map((changes) => {
    const root = structuredClone(seed) as Record<string, unknown>;
    for (const [at, strange, key] of changes) {
      const value = structuredClone(strange);
      const slots = slotsOf(root);
      const slot = slots[at % slots.length];
      if (!slot) continue;
      const [parent, name] = slot;
      if (key !== null && !Array.isArray(parent)) {
        Object.defineProperty(parent, key, { value, enumerable: true, configurable: true, writable: true });
      } else (parent as Record<string, unknown>)[name] = value;
    }
    return root;
  });
}

function slotsOf(value: unknown): [object, string][] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, item]): [object, string][] => [[value, name], ...slotsOf(item)]);
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    for (const item of Object.values(value)) deepFreeze(item);
    Object.freeze(value);
  }
  return value;
}
