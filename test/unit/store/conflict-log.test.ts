/** The sequencer's account of the conflicts that are kept agrees with the state, whoever puts records there. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { KubeObject } from '../../../src/api/object.js';
import { keyString, type WriteTransaction } from '../../../src/store/object-store.js';
import { ConflictLog, conflictsIn, type MergeReport } from '../../../src/store/replication/conflict-log.js';

const LIMITS = { values: 5, bytes: 1_500 };

/** The newest state, and writing to it. */
class State implements WriteTransaction {
  nowMs = 0;
  lists = 0;
  private readonly objects = new Map<string, KubeObject>();

  get = (key: Parameters<WriteTransaction['get']>[0]) => this.objects.get(keyString(key));
  list() {
    this.lists += 1;
    return [...this.objects.values()];
  }
  put(key: Parameters<WriteTransaction['put']>[0], object: KubeObject) {
    this.objects.set(keyString(key), object);
    return object;
  }
  delete(key: Parameters<WriteTransaction['delete']>[0]) {
    const before = this.get(key);
    this.objects.delete(keyString(key));
    return before;
  }
  names = () => conflictsIn(this).map(({ metadata }) => metadata.name);
}

const reportOf = (object: number, size: number): MergeReport => ({
  key: `/configmaps/default/c${object}`,
  parts: { ours: ['a'], theirs: ['b'] },
  isDerived: false,
  conflicts: [
    {
      path: 'data.k',
      kept: { value: 'x'.repeat(size), atMs: 1, side: 'ours' },
      dropped: [{ value: 'y', atMs: 2, side: 'theirs' }],
    },
  ],
});

describe('the list of what merges overrode', () => {
  const step = fc.record({
    /** Noted here, or brought by a merge from the other side, where it was noted `ageMs` earlier. */
    how: fc.constantFrom('note' as const, 'bring' as const),
    reports: fc.array(fc.tuple(fc.nat(12), fc.constantFrom(1, 50, 600)), { minLength: 1, maxLength: 4 }),
    ageMs: fc.nat(40),
  });

  it('keeps the newest that there is room for, as if all of it were read each time', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
        const [one, other] = [new State(), new State()];
        const log = new ConflictLog(LIMITS);
        for (const { how, reports, ageMs } of steps) {
          one.nowMs += 10;
          other.nowMs = one.nowMs;
          const all = reports.map(([object, size]) => reportOf(object, size));
          if (how === 'bring') {
            const there = new State();
            there.nowMs = one.nowMs - ageMs;
            new ConflictLog({ values: 100, bytes: 1e6 }).note(there, all);
            for (const conflict of conflictsIn(there)) {
              const key = { group: 'internal.skein.dev', resource: 'mergeconflicts', namespace: '' };
              const name = conflict.metadata.name ?? '';
              if (one.get({ ...key, name })) continue;
              for (const state of [one, other]) state.put({ ...key, name }, conflict);
              log.add(conflict);
            }
          }
          const news = log.note(one, how === 'note' ? all : []);
          assert.deepEqual(new ConflictLog(LIMITS).note(other, how === 'note' ? all : []), news);
          assert.deepEqual(one.names(), other.names());
          assert.ok(one.names().length <= LIMITS.values);
        }
      }),
      { numRuns: 200 },
    );
  });

  it('is not read again for each few objects of a merge', () => {
    const state = new State();
    const log = new ConflictLog({ values: 2_000, bytes: 1e6 });
    for (let i = 0; i < 100; i++) log.note(state, [reportOf(i, 1)]);
    assert.equal(state.lists, 1);
    assert.equal(state.names().length, 100);
  });
});
