/** The merge rules, one by one, and that both sides of a split come to the same. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { KubeObject } from '../../../src/api/object.js';
import { mergeRecords, type MergeResult } from '../../../src/store/crdt/merge.js';
import { GENERIC_LAYOUT, type Layout } from '../../../src/store/crdt/shape.js';
import type { KindPolicy } from '../../../src/store/kind-policy.js';
import {
  afterDelete,
  afterPut,
  decodeRecord,
  deepFreeze,
  encodeRecord,
  type ObjectRecord,
} from '../../../src/store/record.js';
import type { Stamp } from '../../../src/store/stamp.js';

const leaf: Layout = { kind: 'leaf' };
const env: Layout = { kind: 'list', keys: ['name'], item: leaf };
const container: Layout = { kind: 'map', fields: new Map([['env', env]]), other: leaf };
const spec: Layout = {
  kind: 'map',
  fields: new Map<string, Layout>([
    ['containers', { kind: 'list', keys: ['name'], item: container }],
    ['tags', { kind: 'set' }],
    ['selector', leaf],
  ]),
  other: leaf,
};
const layout: Layout = {
  kind: 'map',
  fields: new Map<string, Layout>([
    ['spec', spec],
    ['metadata', GENERIC_LAYOUT],
    ['data', GENERIC_LAYOUT],
  ]),
  other: leaf,
};
const DOCUMENT: KindPolicy = { merge: 'document', layout, tombstones: true };
const REGISTER: KindPolicy = { merge: 'register', layout, tombstones: true };

type Loose = KubeObject & { data?: Record<string, string>; spec?: Record<string, unknown> };

const at = (ms: number, peer: string): Stamp => (ms.toString(16).padStart(12, '0') + '0000' + peer.repeat(16)) as Stamp;

const sorted = (entries: [string, string][]) => entries.toSorted(([a], [b]) => (a < b ? -1 : 1));

/** One peer's line of history of one object. */
class Line {
  private revision = 10;
  constructor(
    readonly peer: string,
    readonly policy: KindPolicy,
    public record?: ObjectRecord,
  ) {}

  put(ms: number, object: Partial<Loose>, uid = 'u1'): this {
    const metadata = { name: 'x', uid, ...object.metadata, resourceVersion: String(++this.revision) };
    const value = deepFreeze({ ...object, metadata } as KubeObject);
    this.record = afterPut(this.record, '/r/n/x', value, this.revision, at(ms, this.peer), this.policy);
    return this;
  }

  change(ms: number, edit: (object: Loose) => void): this {
    const object = structuredClone(this.record?.value) as Loose;
    edit(object);
    return this.put(ms, object, object.metadata.uid);
  }

  remove(ms: number): this {
    this.record = afterDelete(this.record as ObjectRecord, ++this.revision, at(ms, this.peer));
    return this;
  }

  /** The other side of a split: the same record, another peer. */
  fork(peer: string): Line {
    return new Line(peer, this.policy, this.record);
  }
}

/** Merges both ways round and requires the same outcome; returns it. */
function merge(a: Line, b: Line): MergeResult & { value: Loose | undefined } {
  const [one, two] = [a.record as ObjectRecord, b.record as ObjectRecord];
  const left = mergeRecords(one, two, a.policy, at(900, 'e'));
  const right = mergeRecords(two, one, a.policy, at(900, 'e'));
  assert.deepEqual(bare(left.record), bare(right.record));
  return { ...left, value: left.record.value as Loose | undefined };
}

const texts = ({ conflicts }: Pick<MergeResult, 'conflicts'>) =>
  conflicts.map(({ path, kept, dropped }) => {
    const [one, ...others] = [kept, ...dropped].map(({ value }) => JSON.stringify(value));
    return `${path}: ${one} over ${others.join(' and ')}`;
  });

/** Without what the sequencer sets, and without the order in which keys happen to be written. */
function bare(record: ObjectRecord) {
  const { birth, buried, value } = record;
  return {
    birth,
    buried,
    value: value && { ...value, metadata: { ...value.metadata, resourceVersion: '', generation: 0 } },
  };
}

for (const policy of [DOCUMENT, REGISTER]) {
  describe(`merging ${policy.merge} records`, () => {
    const base = () => new Line('a', policy).put(1, { data: { a: '1', b: '1' }, status: { phase: 'A' } });

    it('takes what it has nothing of', () => {
      const { record } = base();
      assert.equal(mergeRecords(undefined, record as ObjectRecord, policy, at(9, 'e')).record, record);
    });

    it('keeps a record against an older version of itself', () => {
      const a = base();
      const b = a.fork('b');
      a.change(5, (object) => (object.data = { a: '2' }));
      const result = merge(a, b);
      assert.equal(result.record, a.record);
      assert.deepEqual(result.conflicts, []);
    });

    it('keeps the later of two tombstones', () => {
      const a = base();
      const b = a.fork('b').remove(7);
      a.remove(5);
      assert.equal(merge(a, b).record, b.record);
    });

    it('lets a deletion win over a concurrent change, and says so', () => {
      const a = base();
      const b = a.fork('b').remove(5);
      a.change(9, (object) => (object.data = { a: '2' }));
      const result = merge(a, b);
      assert.equal(result.value, undefined);
      const [conflict] = result.conflicts;
      assert.deepEqual([conflict?.path, conflict?.kept], ['', { atMs: 5, side: 'theirs' }]);
      assert.deepEqual(conflict?.dropped, [{ value: a.record?.value, atMs: 9, side: 'ours' }]);
    });

    it('lets an object that was created again live on', () => {
      const a = base();
      const b = a
        .fork('b')
        .remove(5)
        .put(6, { data: { z: '1' } }, 'u2');
      a.change(9, (object) => (object.data = { a: '2' }));
      const result = merge(a, b);
      assert.equal(result.value?.metadata.uid, 'u2');
      assert.deepEqual(result.value?.data, { z: '1' });
    });

    it('lets a tombstone that never met the newer incarnation lose', () => {
      const a = base();
      const b = a.fork('b').remove(5);
      a.remove(6).put(7, { data: { z: '1' } }, 'u2');
      assert.equal(merge(a, b).value?.metadata.uid, 'u2');
    });

    it('gives an object created on both sides the identity of the elder', () => {
      const a = new Line('a', policy).put(5, { data: { a: '1' } }, 'elder');
      const b = new Line('b', policy).put(6, { data: { b: '1' } }, 'younger');
      const { value } = merge(a, b);
      assert.equal(value?.metadata.uid, 'elder');
      assert.deepEqual(value?.data, policy === DOCUMENT ? { a: '1', b: '1' } : { b: '1' });
    });

    it('takes the status of the later stamp whatever happens to the rest', () => {
      const a = base();
      const b = a.fork('b').change(6, (object) => (object.status = { phase: 'B' }));
      a.change(5, (object) => (object.status = { phase: 'C' })).change(9, (object) => (object.data = { a: '3' }));
      const { value } = merge(a, b);
      assert.deepEqual(value?.status, { phase: 'B' });
      assert.deepEqual(value?.data, { a: '3' });
    });

    it('does not count a change of owners as one of the metadata, and unites owners', () => {
      const owner = (manager: string, time: string, ...fields: string[]) => ({
        manager,
        operation: 'Update',
        apiVersion: 'v1',
        time,
        fieldsV1: Object.fromEntries(fields.map((field) => [field, {}])),
      });
      const a = base().change(2, (object) => (object.metadata.managedFields = [owner('x', '1', 'f:a')]));
      const b = a.fork('b').change(5, (object) => (object.metadata.labels = { l: '1' }));
      a.change(9, (object) => {
        object.status = { phase: 'B' };
        object.metadata.managedFields = [owner('x', '2', 'f:b'), owner('y', '3', 'f:c')];
      });
      const { value } = merge(a, b);
      assert.deepEqual(value?.metadata.labels, { l: '1' });
      assert.deepEqual(value?.status, { phase: 'B' });
      assert.deepEqual(value?.metadata.managedFields, [owner('x', '2', 'f:a', 'f:b'), owner('y', '3', 'f:c')]);
    });

    it('goes on with a deletion that one side began', () => {
      const a = base();
      const b = a.fork('b').change(6, (object) => (object.metadata.deletionTimestamp = '2026-01-01T00:00:00Z'));
      a.change(7, (object) => (object.metadata.labels = { l: '1' }));
      const { value } = merge(a, b);
      assert.equal(value?.metadata.deletionTimestamp, '2026-01-01T00:00:00Z');
      assert.deepEqual(value?.metadata.labels, { l: '1' });
    });
  });
}

describe('merging shared kinds field by field', () => {
  const base = () =>
    new Line('a', DOCUMENT).put(1, {
      data: { a: '1', b: '1' },
      spec: { replicas: 1, containers: [{ name: 'c', image: 'i1' }], tags: ['t'], selector: { k: 'v' } },
    });

  const table: [rule: string, one: (o: Loose) => void, two: (o: Loose) => void, expected: (o: Loose) => void][] = [
    [
      'changes to different fields both survive',
      (o) => ((o.data ??= {})['a'] = '2'),
      (o) => ((o.data ??= {})['b'] = '3'),
      (o) => (o.data = { a: '2', b: '3' }),
    ],
    [
      'of one field the later change stands',
      (o) => ((o.data ??= {})['a'] = '2'),
      (o) => ((o.data ??= {})['a'] = '3'),
      (o) => (o.data = { a: '3', b: '1' }),
    ],
    [
      'additions to one map both survive',
      (o) => (o.metadata.labels = { x: '1' }),
      (o) => (o.metadata.labels = { y: '1' }),
      (o) => (o.metadata.labels = { x: '1', y: '1' }),
    ],
    [
      'a removed field stays removed',
      (o) => delete o.data?.['a'],
      (o) => ((o.data ??= {})['b'] = '3'),
      (o) => (o.data = { b: '3' }),
    ],
    [
      'a change wins over a concurrent removal of the same field',
      (o) => delete o.data?.['a'],
      (o) => ((o.data ??= {})['a'] = '3'),
      (o) => (o.data = { a: '3', b: '1' }),
    ],
    [
      'entries of an associative list merge by their key',
      (o) => (o.spec = { ...o.spec, containers: [{ name: 'c', image: 'i2' }] }),
      (o) =>
        (o.spec = {
          ...o.spec,
          containers: [
            { name: 'c', image: 'i1' },
            { name: 'd', image: 'j' },
          ],
        }),
      (o) =>
        (o.spec = {
          ...o.spec,
          containers: [
            { name: 'c', image: 'i2' },
            { name: 'd', image: 'j' },
          ],
        }),
    ],
    [
      'entries of a list that both sides began both survive',
      (o) => (o.spec = { ...o.spec, containers: [{ name: 'c', image: 'i1', env: [{ name: 'A', value: '1' }] }] }),
      (o) => (o.spec = { ...o.spec, containers: [{ name: 'c', image: 'i1', env: [{ name: 'B', value: '1' }] }] }),
      (o) =>
        (o.spec = {
          ...o.spec,
          containers: [
            {
              name: 'c',
              image: 'i1',
              env: [
                { name: 'B', value: '1' },
                { name: 'A', value: '1' },
              ],
            },
          ],
        }),
    ],
    [
      'members of a set both survive',
      (o) => (o.spec = { ...o.spec, tags: ['t', 'u'] }),
      (o) => (o.spec = { ...o.spec, tags: ['t', 'v'] }),
      (o) => (o.spec = { ...o.spec, tags: ['t', 'v', 'u'] }),
    ],
    [
      'an atomic value is taken whole',
      (o) => (o.spec = { ...o.spec, selector: { k: 'v', one: '1' } }),
      (o) => (o.spec = { ...o.spec, selector: { k: 'v', two: '2' } }),
      (o) => (o.spec = { ...o.spec, selector: { k: 'v', two: '2' } }),
    ],
  ];
  for (const [rule, one, two, expected] of table) {
    it(rule, () => {
      const start = base();
      const other = start.fork('b').change(6, two);
      const wanted = structuredClone(start.record?.value) as Loose;
      expected(wanted);
      start.change(5, one);
      const { value } = merge(start, other);
      assert.deepEqual({ ...value?.data }, { ...wanted.data });
      assert.deepEqual(value?.spec, wanted.spec);
      assert.deepEqual(value?.metadata.labels, wanted.metadata.labels);
    });
  }

  it('decides by the time of the write, not by how many there were', () => {
    const a = base();
    const b = a.fork('b').change(50, (object) => ((object.data ??= {})['a'] = 'late'));
    for (let i = 0; i < 20; i++) a.change(5 + i, (object) => ((object.data ??= {})['a'] = `early ${i}`));
    const result = merge(a, b);
    assert.equal(result.value?.data?.['a'], 'late');
    assert.deepEqual(texts(result), ['data.a: "late" over "early 19"']);
  });

  it('reports what a merge overrode inside a map that both sides made', () => {
    const a = base();
    const b = a.fork('b').change(6, (object) => (object.metadata.annotations = { note: 'b' }));
    a.change(5, (object) => (object.metadata.annotations = { note: 'a' }));
    const { conflicts } = merge(a, b);
    assert.deepEqual(texts({ conflicts }), ['metadata.annotations.note: "b" over "a"']);
  });

  it('merges again after a merge', () => {
    const a = base();
    const b = a.fork('b').change(6, (object) => ((object.data ??= {})['b'] = '6'));
    const c = a.fork('c').change(7, (object) => ((object.data ??= {})['c'] = '7'));
    a.change(5, (object) => ((object.data ??= {})['a'] = '5'));
    const ab = new Line('a', DOCUMENT, merge(a, b).record);
    ab.change(20, (object) => ((object.data ??= {})['d'] = '8'));
    assert.deepEqual(merge(ab, c).value?.data, { a: '5', b: '6', c: '7', d: '8' });
  });

  it('survives hostile keys', () => {
    const data = JSON.parse('{"__proto__":"x","constructor":"y","\\u0000order":"z","":"e","a/b":"f"}') as Record<
      string,
      string
    >;
    const a = new Line('a', DOCUMENT).put(1, { data });
    const b = a.fork('b').change(6, (object) => ((object.data ??= {})['b'] = '1'));
    a.change(5, (object) => ((object.data ??= {})['a'] = '1'));
    const { value } = merge(a, b);
    assert.deepEqual(
      sorted(Object.entries(value?.data ?? {})),
      sorted([...Object.entries(data), ['a', '1'], ['b', '1']]),
    );
  });
});

describe('records', () => {
  it('are equal on every peer that applied the same writes, on disk and in memory', () => {
    const lines = ['x', 'y'].map(() => {
      const line = new Line('a', DOCUMENT).put(1, { data: { a: '0' } });
      for (let i = 0; i < 30; i++) line.change(2 + i, (object) => ((object.data ??= {})[`k${i % 7}`] = String(i)));
      return line.record as ObjectRecord;
    });
    assert.deepEqual(lines[0], lines[1]);
    const copy = decodeRecord(encodeRecord(lines[0] as ObjectRecord));
    assert.deepEqual(copy, lines[0]);
    assert.ok(Object.isFrozen(copy.value?.metadata));
  });

  it('do not remember writes to the status as history', () => {
    const line = new Line('a', DOCUMENT).put(1, { data: { a: '0' } });
    const before = line.record?.pending.length;
    for (let i = 0; i < 100; i++) line.change(2 + i, (object) => (object.status = { i }));
    assert.equal(line.record?.pending.length, before);
    assert.equal(line.record?.document, undefined);
  });
});

describe('merging in any order', () => {
  const key = fc.constantFrom('a', 'b', 'c');
  const step = fc.oneof(
    fc.record({ op: fc.constant('set' as const), key, value: fc.constantFrom('1', '2', '3') }),
    fc.record({ op: fc.constant('unset' as const), key, value: fc.constant('') }),
    fc.record({ op: fc.constant('env' as const), key, value: fc.constantFrom('1', '2') }),
    fc.record({ op: fc.constant('unenv' as const), key, value: fc.constant('') }),
    fc.record({ op: fc.constant('status' as const), key, value: fc.constantFrom('1', '2') }),
    fc.record({ op: fc.constant('delete' as const), key, value: fc.constant('') }),
  );
  type Step = { op: 'set' | 'unset' | 'env' | 'unenv' | 'status' | 'delete'; key: string; value: string };

  function run(line: Line, steps: readonly Step[], from: number): void {
    let ms = from;
    for (const { op, key: name, value } of steps) {
      ms += 3;
      if (!line.record?.value) line.put(ms, { data: {}, spec: { containers: [{ name: 'c' }] } }, `${line.peer}${ms}`);
      else if (op === 'delete') line.remove(ms);
      else {
        line.change(ms, (object) => {
          const containers = (object.spec?.['containers'] ?? []) as {
            name: string;
            env?: { name: string; value: string }[];
          }[];
          const [first] = containers;
          if (op === 'set') (object.data ??= {})[name] = value;
          else if (op === 'unset') delete object.data?.[name];
          else if (op === 'status') object.status = { [name]: value };
          else if (first) {
            const others = (first.env ?? []).filter((entry) => entry.name !== name);
            first.env = op === 'env' ? [...others, { name, value }] : others;
          }
        });
      }
    }
  }

  for (const policy of [DOCUMENT, REGISTER]) {
    it(`gives equal values (${policy.merge})`, () => {
      const steps = fc.array(step, { maxLength: 12 });
      fc.assert(
        fc.property(fc.array(step, { maxLength: 4 }), steps, steps, (shared, left, right) => {
          const a = new Line('a', policy);
          run(a, shared, 0);
          const b = a.fork('b');
          run(a, left, 100);
          run(b, right, 101);
          if (a.record && b.record) merge(a, b);
        }),
        { numRuns: 150, seed: 7 },
      );
    });
  }
});

describe('an object whose wishes only one side changed', () => {
  const refuse = () => {
    throw new Error('the engine was asked');
  };
  const WITHOUT_ENGINE: KindPolicy = { ...DOCUMENT, documents: { append: refuse, merge: refuse } };
  const base = (policy = WITHOUT_ENGINE) =>
    new Line('a', policy).put(1, { data: { a: '1', b: '1' }, status: { phase: 'A' } });
  const set = (a: string) => (object: Loose) => (object.data = { ...object.data, a });
  /** Of different fields in turn, so that none is overwritten by the next, and all get into a document. */
  const writeMany = (line: Line) => {
    for (let ms = 2; ms < 12; ms++) {
      line.change(ms, (object) => (object.data = { ...object.data, [ms % 2 ? 'a' : 'b']: String(ms) }));
    }
  };

  it('is taken as that side has it, without a look into documents', () => {
    const a = base();
    const b = a.fork('b').change(5, set('2')).change(6, set('3'));
    const result = merge(a, b);
    assert.equal(result.record, b.record);
    assert.deepEqual(result.conflicts, []);
  });

  it('is so too where both go on from one document', () => {
    const a = base(DOCUMENT);
    writeMany(a);
    assert.ok(a.record?.document);
    // Each has read the document from its own disk.
    const copy = decodeRecord(encodeRecord(a.record));
    const b = new Line('b', WITHOUT_ENGINE, copy).change(20, set('20'));
    const result = merge(new Line('a', WITHOUT_ENGINE, a.record), b);
    assert.equal(result.record, b.record);
  });

  it('keeps the document of that side and the later status of the other', () => {
    const a = base();
    const b = a.fork('b').change(5, set('2'));
    a.change(9, (object) => (object.status = { phase: 'B' }));
    const { record, value } = merge(a, b);
    assert.deepEqual([value?.data?.['a'], value?.status], ['2', { phase: 'B' }]);
    assert.deepEqual(record.pending, b.record?.pending);
    // A later merge with either side has nothing to add.
    for (const side of [a, b]) {
      const again = mergeRecords(record, side.record as ObjectRecord, WITHOUT_ENGINE, at(901, 'e'));
      assert.equal(again.record, record);
    }
  });

  it('is what the side has that wrote a status only, when neither wrote more', () => {
    const a = base();
    const b = a.fork('b').change(9, (object) => (object.status = { phase: 'B' }));
    assert.equal(merge(a, b).record, b.record);
  });

  it('goes through the engine as soon as both wrote, or one knows a writer that the other does not', () => {
    const a = base().change(4, set('4'));
    const b = base().fork('b').change(5, set('5'));
    assert.throws(() => merge(a, b), /the engine was asked/);
    const old = base(DOCUMENT);
    const far = old.fork('b');
    writeMany(far);
    assert.ok(far.record?.document && !old.record?.document);
    assert.equal(merge(old, far).record, far.record);
    assert.throws(() => merge(new Line('a', WITHOUT_ENGINE, old.record), far), /the engine was asked/);
  });
});
