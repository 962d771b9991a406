/** What a peer remembers of an object's changes, and the way back through them. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { KubeObject } from '../../../src/api/object.js';
import { GENERIC_LAYOUT } from '../../../src/store/crdt/shape.js';
import {
  decodeChanges,
  HISTORY_LIMITS,
  HistoryGone,
  ObjectHistory,
  type HistoryLimits,
} from '../../../src/store/object-history.js';
import { afterDelete, afterPut, deepFreeze, type ObjectRecord } from '../../../src/store/record.js';
import type { Stamp } from '../../../src/store/stamp.js';

const KEY = 'apps/deployments/d/web';
const POLICY = { merge: 'register', layout: GENERIC_LAYOUT, tombstones: true } as const;
const at = (ms: number): Stamp => (ms.toString(16).padStart(12, '0') + 'a'.repeat(20)) as Stamp;

/** One object's life; revision and time are `10 × step`. */
class Life {
  readonly states = new Map<number, KubeObject | undefined>();
  record: ObjectRecord | undefined;
  private step = 0;

  constructor(
    readonly history: ObjectHistory,
    readonly key = KEY,
  ) {}

  put(body: object, manager?: string): this {
    const revision = ++this.step * 10;
    const managedFields = manager ? [{ manager, operation: 'Update', time: `${revision}`, fieldsV1: {} }] : undefined;
    const metadata = {
      name: 'web',
      uid: 'u',
      resourceVersion: String(revision),
      ...(managedFields ? { managedFields } : {}),
    };
    const value = deepFreeze({ metadata, ...body } as KubeObject);
    return this.follow(afterPut(this.record, this.key, value, revision, at(revision), POLICY));
  }

  remove(): this {
    const revision = ++this.step * 10;
    return this.follow(afterDelete(this.record as ObjectRecord, revision, at(revision)));
  }

  private follow(record: ObjectRecord): this {
    this.history.add(this.record, record, false);
    this.record = record;
    this.states.set(record.revision, record.value);
    return this;
  }

  at(moment: { revision: number } | { atMs: number }) {
    return this.history.stateAt(this.record, this.key, moment);
  }
}

const life = (limits: Partial<HistoryLimits> = {}) => new Life(new ObjectHistory({ ...HISTORY_LIMITS, ...limits }));

describe('the history of an object', () => {
  it('tells when, by whom and which fields with both values', () => {
    const one = life()
      .put({ spec: { replicas: 1, args: ['a', 'b'] } }, 'kubectl-create')
      .put({ spec: { replicas: 2, args: ['a', 'c'], paused: true } }, 'kubectl-edit')
      .remove();
    const [created, changed, deleted] = one.history.changesOf(KEY);
    assert.deepEqual(
      [created?.kind, created?.by, created?.revision, created?.atMs],
      ['created', 'kubectl-create', 10, 10],
    );
    assert.equal(changed?.by, 'kubectl-edit');
    const spec = changed?.fields.filter(({ path }) => path[0] === 'spec');
    assert.deepEqual(spec, [
      { path: ['spec', 'replicas'], old: 1, new: 2 },
      { path: ['spec', 'args', 1], old: 'b', new: 'c' },
      { path: ['spec', 'paused'], new: true },
    ]);
    assert.equal(deleted?.kind, 'deleted');
  });

  it('leads back to every state, by revision and by time', () => {
    const value = fc.jsonValue({ maxDepth: 3 });
    fc.assert(
      fc.property(
        fc.array(fc.option(fc.record({ spec: value, status: value }), { nil: undefined }), { maxLength: 12 }),
        (steps) => {
          const one = life();
          for (const body of steps) {
            if (body) one.put(body);
            else if (one.record?.value) one.remove();
          }
          for (const [revision, state] of one.states) {
            assert.deepEqual(one.at({ revision }), state);
            assert.deepEqual(one.at({ revision: revision + 9 }), state);
            assert.deepEqual(one.at({ atMs: revision + 1 }), state);
          }
          assert.equal(one.at({ revision: 1 }), undefined);
        },
      ),
      { numRuns: 200 },
    );
  });

  it('is cut at the oldest end, and says so', () => {
    const one = life({ changes: 3 });
    for (let i = 1; i <= 10; i++) one.put({ spec: { i } });
    assert.equal(one.history.changesOf(KEY).length, 3);
    assert.deepEqual(one.at({ revision: 70 }), one.states.get(70));
    assert.throws(
      () => one.at({ revision: 69 }),
      (error) => error instanceof HistoryGone && error.reaches.revision === 70,
    );
    assert.throws(() => one.at({ atMs: 65 }), HistoryGone);
    assert.deepEqual(one.history.reachOf(one.record, KEY), { revision: 70, atMs: 70 });
  });

  it('knows of an object that it saw no change of only the present', () => {
    const one = life().put({ spec: {} });
    const restarted = new ObjectHistory();
    assert.deepEqual(restarted.stateAt(one.record, KEY, { revision: 10 }), one.record?.value);
    assert.throws(() => restarted.stateAt(one.record, KEY, { revision: 9 }), HistoryGone);
    assert.equal(restarted.stateAt(undefined, KEY, { revision: 9 }), undefined);
  });

  it('comes back from the disk as it was, however it was cut', () => {
    const disk = new Map<string, Uint8Array>();
    const write = (history: ObjectHistory) => {
      for (const operation of history.takeUnwritten())
        if (operation.type === 'put') disk.set(operation.key, operation.value);
        else disk.delete(operation.key);
    };
    const limits = { ...HISTORY_LIMITS, changes: 3, totalBytes: 6_000 };
    const one = new Life(new ObjectHistory(limits));
    const others = [KEY + '2', '/configmaps/d/with space'].map((key) => new Life(one.history, key));
    for (let i = 1; i <= 5; i++) {
      for (const life of [one, ...others]) life.put({ spec: { i, ['__proto__']: 'x' } }, 'm');
      write(one.history);
    }
    others[0]?.remove();
    write(one.history);
    const lives = [one, ...others];
    const record = (key: string) => lives.find((life) => life.key === key)?.record;
    const stored = () =>
      [...disk].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([key, value]) => [key, decodeChanges(value)] as const);
    const back = new ObjectHistory(limits);
    back.load(stored(), record);
    for (const { key } of lives) assert.deepEqual(back.changesOf(key), one.history.changesOf(key), key);
    assert.equal(back.bytes, one.history.bytes);
    assert.deepEqual([...back.takeUnwritten()], []);
    // Written to by a build that keeps no history: what is known does not lead to the present any more.
    const ahead = new ObjectHistory(limits);
    ahead.load(stored(), (key) => (key === KEY ? { ...(one.record as ObjectRecord), revision: 999 } : record(key)));
    assert.deepEqual(ahead.changesOf(KEY), []);
    write(ahead);
    assert.ok(![...disk.keys()].some((key) => key.startsWith(`h/${KEY} `)));
  });

  it('does not take an earlier object of the name for none', () => {
    const one = life({ changes: 2 })
      .put({ spec: {} })
      .remove()
      .put({ spec: {} })
      .put({ spec: { a: 1 } });
    assert.throws(() => one.at({ revision: 15 }), HistoryGone);
  });

  it('stays within its size, object by object and in all', () => {
    const one = life({ bytes: 2_000, totalBytes: 5_000 });
    for (let i = 0; i < 20; i++) one.put({ spec: { text: `${i}`.repeat(200) } });
    assert.ok(one.history.bytes <= 2_000, String(one.history.bytes));
    const others = Array.from({ length: 10 }, (_, i) => new Life(one.history, `/configmaps/d/c${i}`));
    for (const other of others) other.put({ data: {} }).put({ data: { a: 'x'.repeat(500) } });
    assert.ok(one.history.bytes <= 5_000, String(one.history.bytes));
    assert.deepEqual(one.history.changesOf(KEY), []);
    assert.equal(one.history.changesOf('/configmaps/d/c9').length, 2);
    for (const other of others) one.history.forget(other.key);
    assert.equal(one.history.bytes, 0);
  });
});
