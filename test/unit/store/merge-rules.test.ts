/** How a merge decides, rule by rule, on the real kinds; the same whichever side takes the other in. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { createKindPolicies } from '../../../src/agent/kind-policies.js';
import { PARTITION_ANNOTATION } from '../../../src/agent/partitions.js';
import type { KubeObject } from '../../../src/api/object.js';
import { KindRegistry } from '../../../src/api/schema/registry.js';
import type { ConflictValue } from '../../../src/store/crdt/conflicts.js';
import { squashDocument } from '../../../src/store/crdt/document.js';
import { mergeRecords } from '../../../src/store/crdt/merge.js';
import { parseKey } from '../../../src/store/object-store.js';
import { afterDelete, afterPut, deepFreeze, settled, type ObjectRecord } from '../../../src/store/record.js';
import type { Stamp } from '../../../src/store/stamp.js';
import { assertDocumented, documentedRules } from './merge-table.js';

const policies = createKindPolicies(KindRegistry.load());
const policyOf = (key: string) => policies.policyOf(parseKey(key).group, parseKey(key).resource);
const at = (ms: number, peer: string): Stamp => (ms.toString(16).padStart(12, '0') + '0000' + peer.repeat(16)) as Stamp;

// Objects are written here without their types: each rule looks at a field or two.
type Loose = KubeObject & { spec: Record<string, unknown>; status?: unknown; data?: Record<string, string> };
type Body = Partial<Omit<Loose, 'metadata'>> & { metadata?: object };
/** A write of one side: at that millisecond; `null` deletes, an object with a new uid creates. */
type Write = readonly [ms: number, edit: ((object: Loose) => void) | Body | null];

interface Rule {
  /** As in the document. */
  readonly rule: string;
  readonly key: string;
  /** Before the split; absent: there was none. */
  readonly base?: Body;
  readonly ours: readonly Write[];
  readonly theirs: readonly Write[];
  readonly check: (merged: Loose | undefined) => void;
  /** What is reported: `path: kept over dropped`. */
  readonly reports?: readonly string[];
}

function written(before: ObjectRecord | undefined, key: string, peer: string, writes: readonly Write[]): ObjectRecord {
  let record = before;
  for (const [ms, edit] of writes) {
    const stamp = at(ms, peer);
    if (edit === null) {
      record = afterDelete(record as ObjectRecord, ms, stamp);
      continue;
    }
    const object = structuredClone(record?.value ?? {}) as Loose;
    if (typeof edit === 'function') edit(object);
    else Object.assign(object, structuredClone(edit));
    const metadata = { name: parseKey(key).name, uid: 'u', creationTimestamp: `${ms}`, ...object.metadata };
    const value = deepFreeze({ ...object, metadata: { ...metadata, resourceVersion: `${ms}` } } as KubeObject);
    record = afterPut(record, key, value, ms, stamp, policyOf(key));
  }
  return record as ObjectRecord;
}

/** What of a record does not depend on who merged it: the value, and the bytes of its document. */
function essence({ birth, buried, value, document, pending }: ObjectRecord) {
  assert.ok(document === undefined || pending.length === 0);
  return {
    birth,
    buried,
    value: value && { ...value, metadata: { ...value.metadata, resourceVersion: '', generation: 0 } },
    // The engine keeps changes in the order in which they came; squashed, nothing of that is left.
    bytes: document && Buffer.from(squashDocument(document)).toString('base64'),
  };
}

/** The split begins after this millisecond. */
const SPLIT_MS = 10;

function decide({ key, base, ours, theirs }: Rule) {
  const before = base && written(undefined, key, 'a', [[1, base]]);
  const [mine, other] = [written(before, key, 'a', ours), written(before, key, 'b', theirs)];
  const merge = (a: ObjectRecord, b: ObjectRecord) =>
    mergeRecords(a, b, policyOf(key), at(900, 'e'), at(SPLIT_MS, '0'));
  const [one, two] = [merge(mine, other), merge(other, mine)];
  assert.deepEqual(essence(one.record), essence(two.record), 'either side may take the other in');
  const reports = one.conflicts.map(({ path, kept, dropped }) => {
    const text = ({ value }: ConflictValue) => {
      if (value === undefined) return 'nothing';
      return path === '' ? 'the object' : JSON.stringify(value);
    };
    return `${path}: ${text(kept)} over ${dropped.map(text).join(' and ')}`;
  });
  return { value: one.record.value as Loose | undefined, reports };
}

const DEPLOYMENT = 'apps/deployments/d/web';
const CONFIG = '/configmaps/d/web';
const SERVICE = '/services/d/web';
const POD = '/pods/d/web';
const containers = (...names: string[]) => names.map((name) => ({ name, image: `${name}:1` }));
const deployment = (...names: string[]): Body => ({
  spec: { replicas: 1, template: { spec: { containers: containers(...names) } } },
});
type Container = { name: string; image?: string; command?: string[]; env?: object[] };
const containersOf = (object: Loose | undefined) =>
  ((object as Loose).spec['template'] as { spec: { containers: Container[] } }).spec.containers;
const service = (...ports: object[]): Body => ({ spec: { ports } });
const labels = (object: Loose, more: Record<string, string>) =>
  Object.assign(object.metadata, { labels: { ...object.metadata.labels, ...more } });
const owner = (name: string) => ({ apiVersion: 'v1', kind: 'ConfigMap', name, uid: name });
const names = (values: unknown) => (values as { name: string }[]).map(({ name }) => name);

const RULES: readonly Rule[] = [
  {
    rule: 'different fields of one object: both changes stand',
    key: DEPLOYMENT,
    base: deployment('a'),
    ours: [[20, (d) => (d.spec['replicas'] = 5)]],
    theirs: [[30, (d) => Object.assign(containersOf(d)[0] as Container, { image: 'a:2' })]],
    check: (d) => assert.deepEqual([d?.spec['replicas'], containersOf(d)[0]?.image], [5, 'a:2']),
    reports: [],
  },
  {
    rule: 'the same field: the later write stands, whichever side has more of them; reported',
    key: DEPLOYMENT,
    base: deployment('a'),
    ours: [
      [20, (d) => (d.spec['replicas'] = 3)],
      [21, (d) => (d.spec['replicas'] = 4)],
      [22, (d) => (d.spec['replicas'] = 5)],
    ],
    theirs: [[30, (d) => (d.spec['replicas'] = 7)]],
    check: (d) => assert.equal(d?.spec['replicas'], 7),
    reports: ['spec.replicas: 7 over 5'],
  },
  {
    rule: 'the same field in the same millisecond: the id of the writer decides, the same everywhere; reported',
    key: CONFIG,
    base: { data: { k: '0' } },
    ours: [[20, { data: { k: 'a' } }]],
    theirs: [[20, { data: { k: 'b' } }]],
    check: (c) => assert.equal(c?.data?.['k'], 'b'),
    reports: ['data.k: "b" over "a"'],
  },
  {
    rule: 'the same field to the same value: it stands; nothing to report',
    key: CONFIG,
    base: { data: { k: '0' } },
    ours: [[20, { data: { k: 'x' } }]],
    theirs: [[30, { data: { k: 'x' } }]],
    check: (c) => assert.deepEqual(c?.data, { k: 'x' }),
    reports: [],
  },
  {
    rule: 'a field removed on one side, unchanged on the other: it is gone',
    key: CONFIG,
    base: { data: { k: '0', other: '0' } },
    ours: [[20, { data: { other: '0' } }]],
    theirs: [[30, { data: { k: '0', other: '1' } }]],
    check: (c) => assert.deepEqual(c?.data, { other: '1' }),
    reports: [],
  },
  {
    rule: 'a field removed on one side, changed on the other: the change stands, whichever is later',
    key: CONFIG,
    base: { data: { k: '0', other: '0' } },
    ours: [[40, { data: { other: '0' } }]],
    theirs: [[30, { data: { k: '1', other: '0' } }]],
    check: (c) => assert.deepEqual(c?.data, { k: '1', other: '0' }),
    reports: [],
  },
  {
    rule: 'scaled on one side, rolled out on the other: both',
    key: DEPLOYMENT,
    base: deployment('a'),
    ours: [[20, (d) => Object.assign(d, { spec: { ...d.spec, replicas: 9 } })]],
    theirs: [[19, (d) => Object.assign(d.spec, deployment('a', 'sidecar').spec, { replicas: 1 })]],
    check: (d) => {
      assert.equal(d?.spec['replicas'], 9);
      assert.deepEqual(names(containersOf(d)), ['a', 'sidecar']);
    },
    reports: [],
  },
  {
    rule: 'maps (labels, annotations, data): key by key',
    key: CONFIG,
    base: { metadata: { labels: { a: '0', b: '0' } }, data: { x: '0' } },
    ours: [[20, (c) => Object.assign(labels(c, { a: '1', mine: '1' }), { annotations: { n: '1' } })]],
    theirs: [[30, (c) => Object.assign(c, { data: { x: '0', y: '1' } }) && labels(c, { b: '1', theirs: '1' })]],
    check: (c) => {
      assert.deepEqual(c?.metadata.labels, { a: '1', b: '1', mine: '1', theirs: '1' });
      assert.deepEqual([c.metadata.annotations, c.data], [{ n: '1' }, { x: '0', y: '1' }]);
    },
    reports: [],
  },
  {
    rule: 'a Secret: as other data, key by key; its values are in no Event',
    key: '/secrets/d/web',
    base: { data: { user: 'a', password: 'b' } },
    ours: [[20, { data: { user: 'a', password: 'c' } }]],
    theirs: [[30, { data: { user: 'd', password: 'b' } }]],
    check: (s) => assert.deepEqual(s?.data, { user: 'd', password: 'c' }),
    reports: [],
  },
  {
    rule: 'associative lists of containers: container by container, field by field',
    key: DEPLOYMENT,
    base: deployment('a', 'b'),
    ours: [[20, (d) => Object.assign(containersOf(d)[0] as Container, { image: 'a:2' })]],
    theirs: [
      [30, (d) => Object.assign(containersOf(d)[0] as Container, { env: [{ name: 'X', value: '1' }] })],
      [31, (d) => containersOf(d).push({ name: 'c', image: 'c:1' })],
    ],
    check: (d) =>
      assert.deepEqual(containersOf(d), [
        { name: 'a', image: 'a:2', env: [{ name: 'X', value: '1' }] },
        { name: 'b', image: 'b:1' },
        { name: 'c', image: 'c:1' },
      ]),
    reports: [],
  },
  {
    rule: 'entries of an associative list removed on one side, added on the other: both',
    key: DEPLOYMENT,
    base: deployment('a', 'b'),
    ours: [[20, (d) => containersOf(d).shift()]],
    theirs: [[30, (d) => containersOf(d).push({ name: 'c', image: 'c:1' })]],
    check: (d) => assert.deepEqual(names(containersOf(d)), ['b', 'c']),
    reports: [],
  },
  {
    rule: 'other entries of associative lists (ports by port and protocol, env by name): each entry is one value',
    key: SERVICE,
    base: service({ port: 80, protocol: 'TCP', targetPort: 8080 }, { port: 53, protocol: 'UDP' }),
    ours: [[20, service({ port: 80, protocol: 'TCP', targetPort: 9000 }, { port: 53, protocol: 'UDP' })]],
    theirs: [
      [
        30,
        service(
          { port: 80, protocol: 'TCP', targetPort: 9001 },
          { port: 53, protocol: 'UDP' },
          { port: 53, protocol: 'TCP' },
        ),
      ],
    ],
    check: (s) =>
      assert.deepEqual(s?.spec['ports'], [
        { port: 80, protocol: 'TCP', targetPort: 9001 },
        { port: 53, protocol: 'UDP' },
        { port: 53, protocol: 'TCP' },
      ]),
    reports: [
      'spec.ports[port=80,protocol=TCP]: {"port":80,"protocol":"TCP","targetPort":9001} over {"port":80,"protocol":"TCP","targetPort":9000}',
    ],
  },
  {
    rule: 'the order of an associative list: that of the later write; what it does not know follows',
    key: DEPLOYMENT,
    base: deployment('a', 'b', 'c'),
    ours: [[20, (d) => containersOf(d).push({ name: 'z', image: 'z:1' })]],
    theirs: [[30, (d) => containersOf(d).reverse()]],
    check: (d) => assert.deepEqual(names(containersOf(d)), ['c', 'b', 'a', 'z']),
    reports: [],
  },
  {
    rule: 'atomic lists and structures (command, a label selector): one value, the later',
    key: DEPLOYMENT,
    base: deployment('a'),
    ours: [[20, (d) => Object.assign(containersOf(d)[0] as Container, { command: ['x', 'y'] })]],
    theirs: [[30, (d) => Object.assign(containersOf(d)[0] as Container, { command: ['z'] })]],
    check: (d) => assert.deepEqual(containersOf(d)[0]?.command, ['z']),
    reports: ['spec.template.spec.containers[name=a].command: ["z"] over ["x","y"]'],
  },
  {
    rule: 'finalizers: a set; each side’s additions and removals stand',
    key: CONFIG,
    base: { metadata: { finalizers: ['x/one', 'x/two'] } },
    ours: [[20, (c) => Object.assign(c.metadata, { finalizers: ['x/two', 'x/mine'] })]],
    theirs: [[30, (c) => Object.assign(c.metadata, { finalizers: ['x/one', 'x/two', 'x/theirs'] })]],
    check: (c) => assert.deepEqual(c?.metadata.finalizers?.toSorted(), ['x/mine', 'x/theirs', 'x/two']),
    reports: [],
  },
  {
    rule: 'owner references: by uid; each side’s additions and removals stand',
    key: CONFIG,
    base: { metadata: { ownerReferences: [owner('old')] } },
    ours: [[20, (c) => Object.assign(c.metadata, { ownerReferences: [owner('old'), owner('mine')] })]],
    theirs: [[30, (c) => Object.assign(c.metadata, { ownerReferences: [owner('theirs')] })]],
    check: (c) => assert.deepEqual(names(c?.metadata.ownerReferences).toSorted(), ['mine', 'theirs']),
    reports: [],
  },
  {
    rule: 'managedFields: united, entry by entry',
    key: CONFIG,
    base: { data: { k: '0' } },
    ours: [[20, (c) => Object.assign(c.metadata, { managedFields: [entry('a', 'f:x')] }, { labels: { a: '1' } })]],
    theirs: [[30, (c) => Object.assign(c.metadata, { managedFields: [entry('a', 'f:y'), entry('b', 'f:z')] })]],
    check: (c) =>
      assert.deepEqual(
        c?.metadata.managedFields?.map(({ manager, fieldsV1 }) => [manager, Object.keys(fieldsV1 ?? {})]),
        [
          ['a', ['f:x', 'f:y']],
          ['b', ['f:z']],
        ],
      ),
    reports: [],
  },
  {
    rule: 'the annotation `skein.dev/partition`: as any annotation; to and from `majority` only one side can change it',
    key: DEPLOYMENT,
    base: deployment('a'),
    ours: [[20, (d) => Object.assign(d.metadata, { annotations: { [PARTITION_ANNOTATION]: 'hold' } })]],
    theirs: [[30, (d) => Object.assign(d.metadata, { annotations: { [PARTITION_ANNOTATION]: 'replicate' } })]],
    check: (d) => assert.equal(d?.metadata.annotations?.[PARTITION_ANNOTATION], 'replicate'),
    reports: ['metadata.annotations[skein.dev/partition]: "replicate" over "hold"'],
  },
  {
    rule: 'custom resources: maps key by key; every list is one value, whatever its `x-kubernetes-list-type`',
    key: 'example.com/widgets/d/web',
    base: { spec: { size: 1, parts: [{ name: 'a' }], more: { deep: 1 } } },
    ours: [[20, (w) => Object.assign(w.spec, { size: 2, parts: [{ name: 'a' }, { name: 'b' }] })]],
    theirs: [[30, (w) => Object.assign(w.spec, { more: { deep: 2 }, parts: [{ name: 'c' }] })]],
    check: (w) => assert.deepEqual(w?.spec, { size: 2, more: { deep: 2 }, parts: [{ name: 'c' }] }),
    reports: ['spec.parts: [{"name":"c"}] over [{"name":"a"},{"name":"b"}]'],
  },
  {
    rule: 'status: the later one, whole; counted, not listed',
    key: DEPLOYMENT,
    base: { ...deployment('a'), status: { replicas: 1 } },
    ours: [[40, { status: { replicas: 2, readyReplicas: 2 } }]],
    theirs: [[30, { status: { replicas: 3 } }]],
    check: (d) => assert.deepEqual(d?.status, { replicas: 2, readyReplicas: 2 }),
    reports: ['status.replicas: 2 over 3', 'status.readyReplicas: 2 over nothing'],
  },
  {
    rule: 'status on one side, spec on the other: both',
    key: DEPLOYMENT,
    base: { ...deployment('a'), status: { replicas: 1 } },
    ours: [[40, { status: { replicas: 2 } }]],
    theirs: [[30, (d) => (d.spec['replicas'] = 2)]],
    check: (d) => assert.deepEqual([d?.spec['replicas'], d?.status], [2, { replicas: 2 }]),
    reports: [],
  },
  {
    rule: 'what machines make (Pods, ReplicaSets, EndpointSlices, …): metadata, spec and status are one value each, the later; reported',
    key: POD,
    base: { metadata: { labels: { a: '0' } }, spec: { x: 1 } },
    ours: [[20, (p) => labels(p, { mine: '1' })]],
    theirs: [
      [30, (p) => labels(p, { theirs: '1' })],
      [31, { status: { phase: 'Running' } }],
    ],
    check: (p) => assert.deepEqual([p?.metadata.labels, p?.status], [{ a: '0', theirs: '1' }, { phase: 'Running' }]),
    reports: ['metadata.labels.mine: nothing over "1"', 'metadata.labels.theirs: "1" over nothing'],
  },
  {
    rule: 'deleted on one side, unchanged on the other: deleted',
    key: CONFIG,
    base: { data: { k: '0' } },
    ours: [[20, null]],
    theirs: [],
    check: (c) => assert.equal(c, undefined),
    reports: [],
  },
  {
    rule: 'deleted on one side, changed on the other: deleted, whichever is later; reported with the whole object',
    key: CONFIG,
    base: { data: { k: '0' } },
    ours: [[20, null]],
    theirs: [[30, { data: { k: '1' } }]],
    check: (c) => assert.equal(c, undefined),
    reports: [': nothing over the object'],
  },
  {
    rule: 'a deletion begun on one side (finalizers, grace): goes on',
    key: CONFIG,
    base: { metadata: { finalizers: ['x/y'] }, data: { k: '0' } },
    ours: [[20, (c) => Object.assign(c.metadata, { deletionTimestamp: 'T' })]],
    theirs: [[30, { data: { k: '1' } }]],
    check: (c) => assert.deepEqual([c?.metadata.deletionTimestamp, c?.data], ['T', { k: '1' }]),
    reports: [],
  },
  {
    rule: 'deleted and created anew on one side, changed on the other: the new object; reported with the whole old one',
    key: CONFIG,
    base: { data: { k: '0' } },
    ours: [
      [20, null],
      [21, { metadata: { uid: 'new' }, data: { n: '1' } }],
    ],
    theirs: [[30, { data: { k: '1' } }]],
    check: (c) => assert.deepEqual([c?.metadata.uid, c?.data], ['new', { n: '1' }]),
    reports: [': the object over the object'],
  },
  {
    rule: 'created on both sides under one name: one object, merged field by field; the uid of the earlier; reported',
    key: CONFIG,
    ours: [[20, { metadata: { uid: 'first' }, data: { a: '1', both: 'early' } }]],
    theirs: [[30, { metadata: { uid: 'second' }, data: { b: '2', both: 'late' } }]],
    check: (c) => assert.deepEqual([c?.metadata.uid, c?.data], ['first', { a: '1', b: '2', both: 'late' }]),
    reports: ['data.both: "late" over "early"'],
  },
  {
    rule: 'deleted and created anew on both sides: one object, as if created on both',
    key: CONFIG,
    base: { data: { k: '0' } },
    ours: [
      [20, null],
      [21, { metadata: { uid: 'first' }, data: { a: '1' } }],
    ],
    theirs: [
      [22, null],
      [23, { metadata: { uid: 'second' }, data: { b: '1' } }],
    ],
    check: (c) => assert.deepEqual([c?.metadata.uid, c?.data], ['first', { a: '1', b: '1' }]),
    reports: [],
  },
];

function entry(manager: string, field: string) {
  return {
    manager,
    operation: 'Update',
    apiVersion: 'v1',
    time: 'T',
    fieldsType: 'FieldsV1',
    fieldsV1: { [field]: {} },
  };
}

describe('how a merge decides', () => {
  for (const rule of RULES) {
    it(rule.rule, () => {
      assertDocumented(rule.rule);
      const { value, reports } = decide(rule);
      rule.check(value);
      if (rule.reports) assert.deepEqual(reports, rule.reports);
    });
  }

  it('has no rule in the document that is not tested', () => {
    const elsewhere = documentedRules.filter((rule) => !RULES.some((one) => one.rule === rule));
    // Those take a cluster: test/simulation/merge-rules.test.ts.
    for (const rule of elsewhere) assert.match(rule, /^in a cluster, /);
  });
});

describe('merging whatever was written on three sides', function () {
  this.timeout(120_000);
  const NAMES = ['a', 'b', 'c'] as const;
  const name = fc.constantFrom(...NAMES);
  const value = fc.constantFrom('1', '2', '3');
  type Edit = (object: Loose, name: string, value: string) => void;
  const common: readonly Edit[] = [
    (o, k, v) => labels(o, { [k]: v }),
    (o, k) => delete o.metadata.labels?.[k],
    (o, k) => Object.assign(o.metadata, { finalizers: [...new Set([...(o.metadata.finalizers ?? []), `x/${k}`])] }),
    (o, k) => Object.assign(o.metadata, { finalizers: o.metadata.finalizers?.filter((one) => one !== `x/${k}`) ?? [] }),
    (o, k, v) => (o.status = { [k]: v }),
  ];
  const kinds: Readonly<Record<string, { base: Body; edits: readonly Edit[] }>> = {
    [DEPLOYMENT]: {
      base: deployment('a', 'b'),
      edits: [
        (o, _, v) => (o.spec['replicas'] = Number(v)),
        (o, k, v) => {
          const others = containersOf(o).filter((one) => one.name !== k);
          containersOf(o).splice(0, Infinity, ...others, { name: k, image: v });
        },
        (o, k, v) => containersOf(o).forEach((one) => one.name === k && Object.assign(one, { env: [{ name: v }] })),
        (o, k) => containersOf(o).splice(0, Infinity, ...containersOf(o).filter((one) => one.name !== k)),
      ],
    },
    [SERVICE]: {
      base: service({ port: 1, protocol: 'TCP' }),
      edits: [
        (o, k, v) => {
          const rest = (o.spec['ports'] as { port: number }[]).filter(({ port }) => port !== Number(v));
          o.spec['ports'] = [...rest, { port: Number(v), protocol: 'TCP', name: k }];
        },
        (o, _, v) => (o.spec['clusterIP'] = `10.0.0.${v}`),
      ],
    },
    [CONFIG]: {
      base: { data: { a: '0' } },
      edits: [(o, k, v) => (o.data = { ...o.data, [k]: v }), (o, k) => delete o.data?.[k], (o) => delete o.data],
    },
    [POD]: { base: { spec: { x: 1 } }, edits: [(o, k) => (o.spec['nodeName'] = k)] },
  };
  const step = fc.record({ what: fc.nat({ max: 20 }), name, value, gap: fc.nat({ max: 3 }) });
  const side = fc.array(step, { maxLength: 4 });

  /** The writes of one side; some of them delete, or create anew. */
  function writesOf(
    key: string,
    steps: readonly (typeof step extends fc.Arbitrary<infer S> ? S : never)[],
    peer: string,
  ) {
    let ms = SPLIT_MS + 10;
    let gone = false;
    const { base, edits } = kinds[key] as { base: Body; edits: readonly Edit[] };
    const all = [...common, ...edits];
    return steps.map(({ what, name: k, value: v, gap }): Write => {
      ms += 1 + gap;
      if (gone) {
        gone = false;
        return [ms, { ...base, metadata: { uid: `${peer}${ms}` } }];
      }
      if (what === 20) {
        gone = true;
        return [ms, null];
      }
      const edit = all[what % all.length] as Edit;
      return [ms, (object) => edit(object, k, v)];
    });
  }

  it('gives one value and the same bytes in any order, however often', () => {
    fc.assert(
      fc.property(fc.constantFrom(...Object.keys(kinds)), side, side, side, (key, one, two, three) => {
        const policy = policyOf(key);
        const before = written(undefined, key, 'a', [[1, kinds[key]?.base ?? {}]]);
        const [a, b, c] = [one, two, three].map((steps, i) => {
          const peer = NAMES[i] as string;
          return settled(written(before, key, peer, writesOf(key, steps, peer)), policy);
        }) as [ObjectRecord, ObjectRecord, ObjectRecord];
        let ms = 900;
        const merge = (x: ObjectRecord, y: ObjectRecord) => mergeRecords(x, y, policy, at(++ms, 'e')).record;
        const whole = merge(merge(a, b), c);
        for (const other of [merge(a, merge(b, c)), merge(merge(c, a), b), merge(c, merge(b, a))])
          assert.deepEqual(essence(other), essence(whole), 'in any order');
        for (const part of [a, b, c, merge(a, b), whole]) assert.equal(merge(whole, part), whole, 'again');
      }),
      { numRuns: 40, seed: 11 },
    );
  });
});
