/** Writes of which nothing is left are not kept: the documents come to be the same. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { KubeObject } from '../../../src/api/object.js';
import { treeWith } from '../../../src/store/crdt/document.js';
import { mergeRecords } from '../../../src/store/crdt/merge.js';
import { GENERIC_LAYOUT, type Layout } from '../../../src/store/crdt/shape.js';
import type { KindPolicy } from '../../../src/store/kind-policy.js';
import { afterPut, deepFreeze, documentSide, MAX_PENDING, type ObjectRecord } from '../../../src/store/record.js';
import type { Stamp } from '../../../src/store/stamp.js';

const leaf: Layout = { kind: 'leaf' };
const item: Layout = {
  kind: 'map',
  fields: new Map([['env', { kind: 'list', keys: ['name'], item: leaf }]]),
  other: leaf,
};
const layout: Layout = {
  kind: 'map',
  fields: new Map<string, Layout>([
    ['metadata', GENERIC_LAYOUT],
    ['data', GENERIC_LAYOUT],
    ['list', { kind: 'list', keys: ['name'], item }],
    ['set', { kind: 'set' }],
  ]),
  other: leaf,
};
const policy: KindPolicy = { merge: 'document', layout, tombstones: true };

const at = (ms: number, writer: string): Stamp =>
  (ms.toString(16).padStart(12, '0') + '0000' + writer.repeat(16)) as Stamp;

type Body = Readonly<Record<string, unknown>>;

function put(before: ObjectRecord | undefined, ms: number, writer: string, body: Body): ObjectRecord {
  const { labels, ...rest } = body;
  const metadata = { name: 'x', uid: 'u', resourceVersion: String(ms), ...(labels ? { labels } : {}) };
  const value = deepFreeze({ ...structuredClone(rest), metadata } as KubeObject);
  return afterPut(before, '/r/n/x', value, ms, at(ms, writer), policy);
}

const treeOf = (record: ObjectRecord) => treeWith(documentSide(record, policy));

const value = fc.constantFrom('1', '2', '3');
const entry = fc.record(
  {
    name: fc.constantFrom('a', 'b'),
    image: value,
    env: fc.uniqueArray(fc.record({ name: value, value }), { maxLength: 2 }),
  },
  { requiredKeys: ['name'] },
);
const fields: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  labels: fc.dictionary(fc.constantFrom('a', 'b'), value, { maxKeys: 2 }),
  data: fc.dictionary(
    fc.constantFrom('k', 'l', 'm'),
    fc.oneof(value, fc.dictionary(fc.constantFrom('x', 'y'), value, { maxKeys: 2 })),
    { maxKeys: 3 },
  ),
  list: fc.uniqueArray(entry, { maxLength: 2, selector: ({ name }) => name }),
  set: fc.uniqueArray(value, { maxLength: 2 }),
  other: fc.oneof(value, fc.record({ a: value })),
};
const body = fc.record(fields, { requiredKeys: [] });
/** Mostly of one field, as writes are; of several writers, as when the sequencer changes. */
const write = fc.record({
  part: fc.oneof(
    { weight: 12, arbitrary: value.map((other): Body => ({ other })) },
    ...Object.entries(fields).map(([name, of]) => of.map((one): Body => ({ [name]: one }))),
    fc.constantFrom(...Object.keys(fields)).map((name): Body => ({ [name]: undefined })),
  ),
  writer: fc.oneof({ weight: 5, arbitrary: fc.constant('a') }, { weight: 1, arbitrary: fc.constant('b') }),
});

const present = (whole: Body): Body => Object.fromEntries(Object.entries(whole).filter(([, one]) => one !== undefined));

describe('writes that were overwritten', function () {
  this.timeout(120_000);

  it('leave the fields, the stamps and what was seen as if they had been kept, whatever the document holds', () => {
    let left = 0;
    fc.assert(
      fc.property(body, body, fc.array(write, { minLength: 2, maxLength: 12 }), (one, two, writes) => {
        const [ours, theirs] = [put(undefined, 1, 'c', one), put(undefined, 2, 'd', two)];
        const base = mergeRecords(ours, theirs, policy, at(3, 'c')).record;
        for (const start of [ours, base]) {
          let [record, state, ms] = [start, one, 10];
          const all = [...start.pending];
          for (const { part, writer } of writes) {
            state = present({ ...state, ...part });
            const { pending } = record;
            record = put(record, ++ms, writer, state);
            // What changes nothing that is merged waits for nothing.
            if (pending !== record.pending) all.push({ stamp: record.version, value: record.value as KubeObject });
            const { fields, context } = treeWith(documentSide({ ...start, pending: all }, policy));
            const { fields: mine, context: seen } = treeOf(record);
            assert.deepEqual({ fields: mine, context: seen }, { fields, context });
          }
          if (record.document === start.document) left += all.length - record.pending.length;
        }
      }),
      { numRuns: Number(process.env['RUNS'] ?? 40) },
    );
    assert.ok(left > 10, `${left} writes were not kept: this tests nothing`);
  });

  it('are not kept, however many there are of one field', () => {
    let record = put(undefined, 1, 'a', { data: { k: '0', other: 'x' } });
    for (let ms = 2; ms < 500; ms++) record = put(record, ms, 'a', { data: { k: String(ms), other: 'x' } });
    assert.equal(record.document, undefined);
    assert.equal(record.pending.length, 2);
  });

  it('are kept when the field gets the value it had', () => {
    let record = put(undefined, 1, 'a', { data: { k: '1' } });
    for (const [ms, k] of [
      [2, '2'],
      [3, '1'],
    ] as const)
      record = put(record, ms, 'a', { data: { k } });
    assert.equal(record.pending.length, 3);
  });

  it('are appended when too many fields change in turn', () => {
    let record = put(undefined, 1, 'a', { data: { k: '1', l: '1' } });
    for (let ms = 2; ms < 2 + MAX_PENDING; ms++) {
      record = put(record, ms, 'a', {
        data: { ...(record.value as KubeObject & { data: Body }).data, [`${ms % 2}`]: ms },
      });
    }
    assert.notEqual(record.document, undefined);
  });

  it('do not bring back to others what was removed: the last write must be seen to have been', () => {
    const start = put(undefined, 1, 'a', { data: { k: '1' } });
    const added = put(start, 2, 'a', { data: { k: '1', gone: 'x' } });
    const removed = put(put(added, 3, 'a', { data: { k: '1' } }), 4, 'a', { data: { k: '2' } });
    const theirs = put(added, 5, 'b', { data: { k: '1', gone: 'x', more: 'y' } });
    const { record } = mergeRecords(removed, theirs, policy, at(6, 'c'));
    assert.deepEqual((record.value as KubeObject & { data: Body }).data, { k: '2', more: 'y' });
  });
});
