/** Squashed documents merge as if they had all of their history. */
import assert from 'node:assert/strict';
import * as Automerge from '@automerge/automerge';
import fc from 'fast-check';
import {
  appendWrites,
  DOCUMENT_LIMITS,
  knownWhole,
  mergeDocuments,
  readDocument,
  squashDocument,
  treeOf,
  treeWith,
  type DocumentLimits,
} from '../../../src/store/crdt/document.js';
import { conflictsOf, contextOf, includes, joinTrees, MAX_WRITERS } from '../../../src/store/crdt/field-tree.js';
import { ORDER, type Shaped } from '../../../src/store/crdt/shape.js';
import { laterStamp, NO_STAMP, type Stamp } from '../../../src/store/stamp.js';

const NEVER: DocumentLimits = { changes: Number.POSITIVE_INFINITY, bytes: Number.POSITIVE_INFINITY };
const ALWAYS: DocumentLimits = { changes: 0, bytes: 0 };

const at = (ms: number, writer: string): Stamp =>
  (ms.toString(16).padStart(12, '0') + '0000' + writer.repeat(16)) as Stamp;
const hash = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64');

type Map = { [key: string]: Shaped };

/** One peer's document, squashed when told so, and the same with all of its history. */
class Line {
  ms: number;
  constructor(
    readonly writer: string,
    readonly document: Uint8Array,
    readonly whole: Uint8Array,
    ms: number,
  ) {
    this.ms = ms;
  }

  write(edit: (shown: Map) => void, pause: number, limits: DocumentLimits): Line {
    const shown = structuredClone(readDocument(this.document)) as Map;
    edit(shown);
    const ms = this.ms + pause;
    const writes = [{ stamp: at(ms, this.writer), shaped: shown }];
    const document = appendWrites(this.document, writes, limits);
    return new Line(this.writer, document, appendWrites(this.whole, writes, NEVER), ms);
  }

  merge(other: Line): Line {
    const one = merge(this.document, other.document);
    const two = mergeByEngine(this.whole, other.whole);
    assert.deepEqual(one.conflicts, two.conflicts);
    assert.deepEqual(one.shaped, two.shaped);
    assert.equal(one.whole, two.whole);
    return new Line(this.writer, one.bytes, two.bytes, Math.max(this.ms, other.ms));
  }

  check(): void {
    assert.deepEqual(treeless(this.document), treeless(this.whole));
    assert.deepEqual(readDocument(this.document), readDocument(this.whole));
  }
}

/** Merges documents in which nothing waits, and tells what comes of it also where one is taken as it is. */
function merge(ours: Uint8Array, theirs: Uint8Array) {
  const merged = mergeDocuments({ bytes: ours, pending: [] }, { bytes: theirs, pending: [] });
  if (!merged.whole) return merged;
  const bytes = merged.whole === 'theirs' ? theirs : ours;
  return { whole: merged.whole, bytes, shaped: readDocument(bytes), conflicts: [] };
}

/** The same by an engine that has all of the history. */
function mergeByEngine(ours: Uint8Array, theirs: Uint8Array): ReturnType<typeof merge> {
  const [mine, others] = [treeOf(ours), treeOf(theirs)];
  const [a, b] = [includes(mine.context, others.context), includes(others.context, mine.context)];
  const bytes = Automerge.save(Automerge.merge(Automerge.load(ours), Automerge.load(theirs)));
  const shaped = readDocument(bytes);
  if (a || b) return { whole: a ? (b ? 'both' : 'ours') : 'theirs', bytes, shaped, conflicts: [] };
  const conflicts = conflictsOf(treeOf(bytes).fields, mine, others).filter(({ path }) => path.at(-1) !== ORDER);
  return { bytes, shaped, conflicts };
}

const treeless = (bytes: Uint8Array) => {
  const { fields, context } = treeOf(bytes);
  return { fields, context };
};

/** Conflicts in words; a leaf is its JSON text, and so a number here. */
const texts = ({ conflicts }: Pick<ReturnType<typeof merge>, 'conflicts'>) => {
  const text = (shaped: Shaped | undefined) =>
    typeof shaped === 'string' ? shaped : shaped ? JSON.stringify(shaped) : 'nothing';
  return conflicts.map(
    ({ path, kept, dropped }) =>
      `${path.join('.')}: ${text(kept.shaped)} over ${dropped.map(({ shaped }) => text(shaped)).join(' and ')}`,
  );
};

const EMPTY: Map = { metadata: { labels: {} }, spec: {}, data: {} };

function founded(): Line {
  const shaped = {
    metadata: {},
    spec: { replicas: '1', c: { a: { image: '"i"', env: { x: '1' } } } },
    data: { k: '"v"' },
  };
  const document = appendWrites(undefined, [{ stamp: at(1, 'a'), shaped }], NEVER);
  return new Line('a', document, document, 1);
}

/** What may happen to a document: a path of keys, and what becomes of what is there. */
const key = fc.constantFrom('a', 'b', 'image', 'env', 'k');
const edit = fc.record({
  parent: fc.constantFrom('spec', 'data', 'metadata'),
  path: fc.array(key, { minLength: 1, maxLength: 3 }),
  what: fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom('"1"', '"2"', '"3"') },
    { weight: 3, arbitrary: fc.constant('remove') },
    { weight: 1, arbitrary: fc.constant('map') },
    { weight: 1, arbitrary: fc.constant('anew') },
  ),
});
type Edit = typeof edit extends fc.Arbitrary<infer T> ? T : never;

const editor =
  ({ parent, path, what }: Edit) =>
  (shown: Map) => {
    let map = (shown[parent] ??= {}) as Map;
    for (const name of path.slice(0, -1)) {
      const inner = map[name];
      map = typeof inner === 'object' ? inner : ((map[name] = {}) as Map);
    }
    const name = path.at(-1) as string;
    if (what === 'remove') delete map[name];
    else if (what === 'map') map[name] = typeof map[name] === 'object' ? map[name] : {};
    else if (what === 'anew') map[name] = { image: '"new"' };
    else map[name] = what;
  };

const limits = fc.constantFrom(NEVER, ALWAYS, { changes: 2, bytes: 1e6 });
const line = fc.nat({ max: 2 });
const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      op: fc.constant('write' as const),
      line,
      edit,
      pause: fc.integer({ min: 1, max: 20 }),
      limits,
    }),
  },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('merge' as const), line, from: line }) },
);

const WRITERS = ['a', 'b', 'c'];
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** Three peers that grew apart, and merged now and then. */
function play(steps: readonly Step[]): Line[] {
  const start = founded();
  const lines = WRITERS.map((writer) => new Line(writer, start.document, start.whole, 1));
  for (const one of steps) {
    const mine = lines[one.line] as Line;
    lines[one.line] =
      one.op === 'write' ? mine.write(editor(one.edit), one.pause, one.limits) : mine.merge(lines[one.from] as Line);
    lines[one.line]?.check();
  }
  return lines;
}

/** Writes that wait to be appended to a line's document, and the document to which they were. */
function waiting({ document, ms }: Line, edits: readonly Edit[], writer: string) {
  const shown = structuredClone(readDocument(document)) as Map;
  const pending = edits.map((one, i) => {
    editor(one)(shown);
    return { stamp: at(ms + 100 + i, writer), shaped: structuredClone(shown) };
  });
  return { side: { bytes: document, pending }, appended: appendWrites(document, pending, NEVER) };
}

describe('squashed documents', function () {
  this.timeout(300_000);
  const runs = { numRuns: Number(process.env['RUNS'] ?? 60) };

  it('merge as if they had all of their history, whichever sides are squashed and when', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 14 }), (steps) => {
        const [a, b, c] = play(steps) as [Line, Line, Line];
        a.merge(b).merge(c).check();
      }),
      runs,
    );
  });

  it('merge in any order to the same bytes', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 14 }), (steps) => {
        const [a, b, c] = play(steps) as [Line, Line, Line];
        const results = [
          a.merge(b).merge(c),
          b.merge(a).merge(c),
          c.merge(b).merge(a),
          a.merge(b.merge(c)),
          c.merge(a).merge(b.merge(a)),
        ];
        const [first, ...others] = results.map(({ document }) => hash(squashDocument(document)));
        for (const other of others) assert.equal(other, first);
        // Once more changes nothing.
        const [whole] = results as [Line];
        for (const one of [a, b, c, whole]) {
          const again = merge(whole.document, one.document);
          assert.equal(again.bytes, whole.document);
          assert.deepEqual(again.conflicts, []);
        }
      }),
      runs,
    );
  });

  it('merge alike whether the last writes were appended or wait', () => {
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 8 }),
        fc.tuple(line, line),
        fc.tuple(fc.array(edit, { maxLength: 3 }), fc.array(edit, { maxLength: 3 })),
        (steps, which, edits) => {
          const lines = play(steps);
          const [ours, theirs] = which.map((number, i) =>
            waiting(lines[number] as Line, edits[i] ?? [], 'de'[i] ?? ''),
          );
          assert.ok(ours && theirs);
          for (const { side, appended } of [ours, theirs]) {
            const { fields, context } = treeWith(side);
            assert.deepEqual({ fields, context }, treeless(appended));
          }
          const expected = merge(ours.appended, theirs.appended);
          for (const one of [ours.side, { bytes: ours.appended, pending: [] }]) {
            const { whole, ...merged } = mergeDocuments(one, theirs.side);
            assert.equal(whole, expected.whole);
            if (!whole) assert.deepEqual({ ...merged }, expected);
            // A write that changed nothing leaves no trace once it is appended.
            const known = knownWhole(one, theirs.side);
            assert.ok(known === undefined || expected.whole === known || expected.whole === 'both', `${known}`);
          }
          if (which[0] === which[1] && edits.some((some) => some.length === 0)) {
            assert.ok(knownWhole(ours.side, theirs.side));
          }
        },
      ),
      runs,
    );
  });

  it('hold and have seen what they did before', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 10 }), (steps) => {
        for (const { document, whole } of play(steps)) {
          assert.deepEqual(treeless(squashDocument(whole)), treeless(whole));
          assert.equal(hash(squashDocument(document)), hash(squashDocument(whole)));
          assert.equal(hash(squashDocument(squashDocument(whole))), hash(squashDocument(whole)));
        }
      }),
      runs,
    );
  });

  it('let a peer merge that comes back after thousands of writes', () => {
    let document = appendWrites(undefined, [
      { stamp: at(1, 'a'), shaped: { ...EMPTY, data: { k: '0', gone: '1', mine: '0' } } },
    ]);
    const late = appendWrites(document, [
      { stamp: at(2, 'b'), shaped: { ...EMPTY, data: { k: '0', gone: '1', mine: '"late"' } } },
    ]);
    for (let i = 0; i < 3_000; i += 50) {
      const writes = Array.from({ length: 50 }, (_, j) => ({
        stamp: at(10 + i + j, 'a'),
        shaped: { ...EMPTY, data: { k: String(i + j), mine: '0' } },
      }));
      document = appendWrites(document, writes);
    }
    for (const merged of [merge(document, late), merge(late, document)]) {
      assert.deepEqual(merged.shaped, { metadata: {}, data: { k: '2999', mine: '"late"' } });
      assert.deepEqual(merged.conflicts, []);
    }
  });

  it('report what the later write overrode, once', () => {
    const start = appendWrites(undefined, [{ stamp: at(1, 'a'), shaped: { ...EMPTY, data: { k: '0' } } }]);
    const write = (ms: number, writer: string, value: string, limit: DocumentLimits) =>
      appendWrites(start, [{ stamp: at(ms, writer), shaped: { ...EMPTY, data: { k: value } } }], limit);
    const [one, two, three] = [write(5, 'a', '5', ALWAYS), write(7, 'b', '7', ALWAYS), write(6, 'c', '6', NEVER)];
    const first = merge(one, two);
    assert.deepEqual(texts(first), ['data.k: 7 over 5']);
    const second = merge(first.bytes, three);
    assert.deepEqual(texts(second), ['data.k: 7 over 6 and 5']);
    assert.deepEqual(merge(second.bytes, two).conflicts, []);
    const written = appendWrites(second.bytes, [{ stamp: at(9, 'a'), shaped: { ...EMPTY } }]);
    assert.deepEqual(merge(one, written).shaped, { metadata: {} });
  });

  it('report what was written in a map that the other side removed', () => {
    const shaped = (image: string) => ({ ...EMPTY, spec: { c: { a: { image }, b: { image: '1' } } } });
    const start = appendWrites(undefined, [{ stamp: at(1, 'a'), shaped: shaped('1') }]);
    const edited = appendWrites(start, [{ stamp: at(9, 'a'), shaped: shaped('2') }], ALWAYS);
    const without = { ...EMPTY, spec: { c: { b: { image: '1' } } } };
    const removed = appendWrites(start, [{ stamp: at(5, 'b'), shaped: without }], NEVER);
    for (const merged of [merge(edited, removed), merge(removed, edited)]) {
      assert.deepEqual(merged.shaped, { metadata: {}, spec: without.spec });
      assert.deepEqual(texts(merged), ['spec.c.a: nothing over {"image":"2"}']);
    }
  });

  it('do not bring back what was removed from a map that both sides had made', () => {
    const start = appendWrites(undefined, [{ stamp: at(1, 'a'), shaped: EMPTY }]);
    const made = (ms: number, writer: string) =>
      appendWrites(start, [{ stamp: at(ms, writer), shaped: { ...EMPTY, spec: { env: { [writer]: '1' } } } }]);
    const [one, two] = [made(5, 'a'), made(6, 'b')];
    const merged = merge(one, two).bytes;
    const removed = appendWrites(merged, [{ stamp: at(9, 'a'), shaped: { ...EMPTY, spec: { env: { b: '1' } } } }]);
    for (const other of [one, two, merged])
      assert.deepEqual(merge(removed, other).shaped, { metadata: {}, spec: { env: { b: '1' } } });
  });

  it('are written alike, appended or waiting, where both sides had made one map', () => {
    const start = appendWrites(undefined, [{ stamp: at(1, 'a'), shaped: EMPTY }]);
    const made = (ms: number, writer: string) => {
      const env = { k: `"${writer}"`, [writer]: '1', inner: { [writer]: '1', k: `"${writer}"` } };
      return appendWrites(start, [{ stamp: at(ms, writer), shaped: { ...EMPTY, spec: { env } } }]);
    };
    const bytes = merge(made(5, 'a'), made(6, 'b')).bytes;
    const { env } = (readDocument(bytes) as { spec: { env: Map } }).spec;
    const { k: _, ...without } = env;
    const wishes: Map[] = [
      { env: { ...env, k: '3' } },
      { env: without },
      { env: { ...env, k: { x: '1' } } },
      { env: { ...env, inner: { k: '3', a: '1' } } },
      { env: { ...env, inner: '"text"' } },
      { env: '"text"' },
      {},
    ];
    for (const spec of wishes) {
      const pending = [{ stamp: at(9, 'a'), shaped: { ...EMPTY, spec } }];
      const { fields, context } = treeWith({ bytes, pending });
      assert.deepEqual({ fields, context }, treeless(appendWrites(bytes, pending, NEVER)), JSON.stringify(spec));
    }
  });

  it('stay as large as what they show, however often it is written', () => {
    const shaped = (i: number): Shaped => ({
      ...EMPTY,
      data: Object.fromEntries(Array.from({ length: 20 }, (_, k) => [`k${k}`, k === i % 20 ? `"${i}"` : '"-"'])),
    });
    const sizes: number[] = [];
    let document: Uint8Array | undefined;
    for (let i = 0; i < 2_000; i += 10) {
      const writes = Array.from({ length: 10 }, (_, j) => ({ stamp: at(10 + i + j, 'a'), shaped: shaped(i + j) }));
      document = appendWrites(document, writes);
      sizes.push(document.length);
    }
    const early = Math.max(...sizes.slice(10, 40));
    assert.ok(Math.max(...sizes.slice(100)) <= early * 1.2, `${Math.max(...sizes.slice(100))} against ${early}`);
  });

  it('are squashed early when values are large', () => {
    let document: Uint8Array | undefined;
    for (let i = 0; i < 20; i++) {
      const noise = Array.from({ length: 8_000 }, (_, j) => ((i * 7919 + j * 104_729) % 99_991).toString(36)).join('');
      document = appendWrites(document, [
        { stamp: at(1 + i, 'a'), shaped: { ...EMPTY, data: { k: JSON.stringify(noise) } } },
      ]);
      assert.ok(document.length < DOCUMENT_LIMITS.bytes + 2.5 * noise.length, String(document.length));
    }
  });
});

describe('what a document has seen', () => {
  it('is the newest of each writer, of a bounded number of them', () => {
    const stamps = Array.from({ length: 100 }, (_, i) =>
      at(i, (i % 80).toString(16).padStart(2, '0').repeat(8).slice(0, 1)),
    );
    assert.ok(includes(contextOf(stamps), contextOf(stamps.slice(0, 50))));
    const many = Array.from(
      { length: 200 },
      (_, i) => (i.toString(16).padStart(16, '0') + i.toString(16).padStart(16, 'f')) as Stamp,
    );
    const context = contextOf(many);
    assert.equal(context.size, MAX_WRITERS);
    assert.ok([...context.values()].includes(many.reduce(laterStamp, NO_STAMP)));
  });

  it('decides whether an entry that the other side lacks was removed there or is new', () => {
    const leaf = (ms: number, writer: string) => new Map([['k', [{ stamp: at(ms, writer), text: '1' }]]]);
    const has = { fields: leaf(5, 'a'), context: contextOf([at(5, 'a')]) };
    const removed = { fields: new Map(), context: contextOf([at(5, 'a'), at(6, 'b')]) };
    const ignorant = { fields: new Map(), context: contextOf([at(4, 'a'), at(9, 'b')]) };
    assert.equal(joinTrees(has, removed).fields.size, 0);
    assert.deepEqual(joinTrees(has, ignorant).fields, has.fields);
  });
});

/** Documents as they were written before they were ever squashed. */
describe('documents of before', () => {
  const load = (...lines: string[]) => new Uint8Array(Buffer.from(lines.join(''), 'base64'));
  const start = load(
    'hW9Kg2X7Tp8AzgECEAAAAAAAAAAAAAAAAAAAAAAQAAAAAAABAACqqqqqqqqqqgE5IgsFnBPaoL6ZAYoXXlGDlMqWClvsbRBxkf8a',
    'hgFvngcBAwMDEwMjAkADQwJWAgoBBAIGFS4hBCMJNAFCBFYEVwKAAQJ+AAF+AQB+BQICAH4AAX8AAgcAAwQAAAMCAQIFeQRkYXRh',
    'CG1ldGFkYXRhBHNwZWMLYW5ub3RhdGlvbnMGbGFiZWxzBGdvbmUBawUAAgF9BXwDAn9+BX8HBQACAQUAAhYxMAcAAQ==',
  );
  const one = load(
    'hW9Kg/BZ3ycAiwIDEAAAAAAAAAAAAAAAAAAAAAAQAAAAAAABAACqqqqqqqqqqhAAAAAAAAUAAKqqqqqqqqqqAZI8sDbBmqCy7aiv',
    '6TkUsalit5vPoLijEeBCuKwC26erBwEEAwQTBCMCQARDA1YCDAEGAgoVNiEIIw00AUIEVgRXBIABBoEBAoMBA30AAQJ/AQIAfQUC',
    'BAMAfwACAX4AAQMHAAMGAH8CAAMCAX8EAwV/CHkEZGF0YQhtZXRhZGF0YQRzcGVjC2Fubm90YXRpb25zBmxhYmVscwNlbnYEZ29u',
    'ZQIBa38BYQUAfwICAQICfQV8AwJ/fwYCf34FfgoGAAQBBgAEFjEwNTEGAAIBAgACAn4KAQI=',
  );
  const two = load(
    'hW9KgxEER7MAigIDEAAAAAAAAAAAAAAAAAAAAAAQAAAAAAABAACqqqqqqqqqqhAAAAAAAAYAALu7u7u7u7u7AVoL3Lje1dIor5H6',
    'E2JebrUbEUN+/bqy3gAnS17GvXjzBwEEAwQTBCMCQARDA1YCDAEGAgoVNiEIIw00AUIEVgRXBIABBoEBAoMBAn0AAQJ/AQIAfQUC',
    'AwMAfwACAX4AAQMHAAMGAH8CAAMCAX8EAwV/CHkEZGF0YQhtZXRhZGF0YQRzcGVjC2Fubm90YXRpb25zBmxhYmVscwNlbnYEZ29u',
    'ZQIBa38BYgUAfwICAQICfQV8AwJ/fwYCf34EfwoGAAQBBgAEFjEwNjEHAH8BAgB/An8KAg==',
  );
  const after = load(
    'hW9Kg2YW7pcA8wIGEAAAAAAAAAAAAAAAAAAAAAAQAAAAAAABAACqqqqqqqqqqhAAAAAAAAUAAKqqqqqqqqqqEAAAAAAABgAAu7u7',
    'u7u7u7sQAAAAAAAHAACqqqqqqqqqqhAAAAAAAAkAAKqqqqqqqqqqAQ8bGK5FbiKd5/gMRSPJt2DcAqKSP31YxXcnsjCWz5iqBwEH',
    'AwQTByMCQAdDB1YCDAEIAgoVOyEOIxM0AUIEVgRXCIABDIEBCIMBCHoAAQIDBAV/AQUAegUCBH8DAQYAfwADAX4CAXoAAQACfwIG',
    'BwADCQB/AgIDAAMCAQIEBQUDCHsEZGF0YQhtZXRhZGF0YQRzcGVjC2Fubm90YXRpb25zBmxhYmVscwIDZW52fwRnb25lBAFrAgFh',
    'fwFiBQB+AgMCAXoDAgQCBAN9BXwDAn9+BgACf38EAgF9fQR8DwcACAEHAAgWMTA2NTYxMTEHAH4BAgIBAgB+AQB9AgMCAgR/BX4K',
    'AAIBfgACBQ==',
  );

  it('are read, and written on', () => {
    assert.deepEqual(readDocument(start), { metadata: {}, data: { k: '0', gone: '1' } });
    // What one side of a merge had put into the map that lost is not shown, nor does it come back.
    assert.deepEqual(readDocument(after), { metadata: {}, spec: { env: { b: '1' } }, data: { k: '6' } });
    const next = appendWrites(after, [{ stamp: at(12, 'c'), shaped: { ...EMPTY, data: { k: '12' } } }]);
    assert.deepEqual(readDocument(next), { metadata: {}, data: { k: '12' } });
  });

  it('merge with each other and with newer ones', () => {
    const both = merge(one, two);
    assert.deepEqual(both.shaped, { metadata: {}, spec: { env: { a: '1', b: '1' } }, data: { k: '6' } });
    assert.deepEqual(texts(both), ['data.k: 6 over 5']);
    assert.equal(hash(merge(two, one).bytes), hash(both.bytes));
    const next = appendWrites(start, [{ stamp: at(12, 'c'), shaped: { ...EMPTY, data: { k: '12', gone: '1' } } }]);
    const late = merge(next, one);
    assert.deepEqual(late.shaped, { metadata: {}, spec: { env: { a: '1' } }, data: { k: '12' } });
    for (const old of [start, one, two]) assert.deepEqual(merge(after, old).shaped, readDocument(after));
  });
});
