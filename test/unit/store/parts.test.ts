/** The small parts of the store: stamps, log window, table, storage, disk. */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { seededRandom } from '../../../src/base/random.js';
import { DiskCorrupt, type Disk } from '../../../src/store/disk.js';
import { LevelDisk } from '../../../src/store/level-disk.js';
import {
  NO_EPOCH,
  seal,
  START,
  unseal,
  UnreadableData,
  type Frame,
  type Position,
} from '../../../src/store/log-entry.js';
import { RevisionGone, type StoreEvent } from '../../../src/store/object-store.js';
import { ObjectTable } from '../../../src/store/object-table.js';
import { afterPut, deepFreeze, type ObjectRecord } from '../../../src/store/record.js';
import { FrameLog, frameKey } from '../../../src/store/replication/frame-log.js';
import { ReplicaStorage } from '../../../src/store/replication/storage.js';
import {
  assignRoles,
  compareComponents,
  nextEpoch,
  quorum,
  successionOrder,
} from '../../../src/store/replication/view.js';
import { NO_STAMP, StampClock, stampMs, type Stamp } from '../../../src/store/stamp.js';
import { GENERIC_LAYOUT } from '../../../src/store/crdt/shape.js';
import { SimClock } from '../../../src/testing/sim-clock.js';
import { SimDisk } from '../../../src/testing/sim-disk.js';

const epoch = { n: 1, leader: 'a' };

function frameAfter(
  previous: Position,
  revisions: readonly number[],
  payload = '',
): { frame: Frame; bytes: Uint8Array } {
  const entries = revisions.map((revision) => ({
    op: 'put' as const,
    key: `/configmaps/d/${revision}`,
    value: JSON.stringify({ metadata: { name: String(revision), resourceVersion: String(revision) }, payload }),
    revision,
    stamp: NO_STAMP,
  }));
  const frame: Frame = { epoch, previous, entries, replies: [] };
  return { frame, bytes: seal(frame) };
}

const recordOf = (
  name: string,
  revision: number,
  namespace = 'd',
  stamp = String(revision).padStart(32, '0'),
): ObjectRecord =>
  afterPut(
    undefined,
    `/configmaps/${namespace}/${name}`,
    deepFreeze({ metadata: { name, namespace, uid: name, resourceVersion: String(revision) } }),
    revision,
    stamp as Stamp,
    { merge: 'register', layout: GENERIC_LAYOUT, tombstones: true },
  );

const tombstone = (record: ObjectRecord, revision: number): ObjectRecord => ({ ...record, revision, value: undefined });

describe('stamps', () => {
  it('rise though the clock stands still, jumps back, or others are ahead', () => {
    let now = 1_000;
    const clock = new StampClock('p', () => now);
    const other = new StampClock('q', () => 5_000);
    const seen: string[] = [];
    for (let i = 0; i < 70_000; i++) seen.push(clock.next());
    now = 10;
    seen.push(clock.next());
    const ahead = other.next();
    clock.observe(ahead);
    seen.push(clock.next());
    assert.ok((seen.at(-1) as string) > ahead);
    assert.ok(seen.every((stamp, i) => i === 0 || stamp > (seen[i - 1] as string)));
    assert.equal(stampMs(seen.at(-1) as Stamp), 5_000);
    assert.equal(new Set(seen.map((stamp) => stamp.length)).size, 1);
  });
});

describe('sealed data', () => {
  it('comes back, or is refused when a bit is wrong or the version is another', () => {
    const bytes = seal({ a: 1, b: [true, null, 'ü'], big: 2 ** 40 });
    assert.deepEqual(unseal(bytes), { a: 1, b: [true, null, 'ü'], big: 2 ** 40 });
    for (const at of [0, 1, 7, bytes.length - 1]) {
      const broken = bytes.slice();
      broken[at] = (broken[at] as number) ^ 0x10;
      assert.throws(() => unseal(broken), UnreadableData);
    }
    assert.throws(() => unseal(bytes.subarray(0, bytes.length - 1)), UnreadableData);
  });
});

describe('the window of the log', () => {
  function filled() {
    const log = new FrameLog();
    for (const revisions of [[1, 2], [3], [7, 8, 9], [10]]) {
      const { frame, bytes } = frameAfter(log.head, revisions);
      log.append(frame, bytes);
    }
    return log;
  }

  it('knows the positions between frames and no others', () => {
    const log = filled();
    assert.equal(log.head.revision, 10);
    for (const revision of [2, 3, 9, 10]) assert.ok(log.has({ revision, epoch }), String(revision));
    for (const revision of [1, 4, 7, 11]) assert.ok(!log.has({ revision, epoch }), String(revision));
    assert.ok(log.has(START));
    assert.ok(!log.has({ revision: 3, epoch: { n: 2, leader: 'a' } }));
  });

  it('gives what follows a position', () => {
    const log = filled();
    const ends = (from: Position, limit?: number) => log.after(from, limit).map(({ end }) => end.revision);
    assert.deepEqual(ends(START), [2, 3, 9, 10]);
    assert.deepEqual(ends({ revision: 3, epoch }), [9, 10]);
    assert.deepEqual(ends({ revision: 3, epoch }, 1), [9]);
    assert.deepEqual(ends(log.head), []);
    assert.deepEqual(
      log.since(3).map(({ end }) => end.revision),
      [9, 10],
    );
  });

  it('drops the oldest that are applied, within its limits', () => {
    const log = filled();
    assert.deepEqual(
      log.trim(3, 0, 0).map(({ key }) => key),
      [frameKey(2), frameKey(3)],
    );
    assert.equal(log.base.revision, 3);
    assert.deepEqual(
      log.trim(10, Infinity, 1).map(({ key }) => key),
      [frameKey(9)],
    );
    assert.equal(log.length, 1);
    assert.deepEqual(log.trim(10, Infinity, 1), []);
    assert.deepEqual(
      log.reset({ revision: 20, epoch }).map(({ key }) => key),
      [frameKey(10)],
    );
    assert.equal(log.head.revision, 20);
    assert.equal(log.bytes, 0);
  });
});

describe('the table', () => {
  const apply = (table: ObjectTable, record: ObjectRecord) =>
    table.apply([{ record, keepTombstone: true }], record.revision);
  const watcher = () => {
    const seen: StoreEvent[] = [];
    const state = { seen, ended: 0 };
    return {
      ...state,
      state,
      watcher: {
        onEvents: (events: readonly StoreEvent[]) => void seen.push(...events),
        onEnd: () => void state.ended++,
      },
    };
  };

  it('lists in the order of namespaces and names, which do not mix', () => {
    const table = new ObjectTable({ historyEvents: 10 });
    const places = [
      ['b', 'n'],
      ['a', 'n'],
      ['a', 'n-x'],
      ['c', 'n'],
      ['a', 'm'],
    ] as const;
    for (const [i, [name, namespace]] of places.entries()) apply(table, recordOf(name, i + 1, namespace));
    const names = (namespace?: string) =>
      table.list('', 'configmaps', namespace).map(({ metadata }) => `${metadata.namespace}/${metadata.name}`);
    assert.deepEqual(names(), ['m/a', 'n/a', 'n/b', 'n/c', 'n-x/a']);
    assert.deepEqual(names('n'), ['n/a', 'n/b', 'n/c']);
    assert.deepEqual(names('none'), []);
    assert.deepEqual(table.list('apps', 'configmaps'), []);
  });

  it('resumes watches from its history and refuses what is older', () => {
    const table = new ObjectTable({ historyEvents: 4 });
    for (let revision = 1; revision <= 20; revision++) apply(table, recordOf('a', revision));
    const oldest = table.oldest;
    assert.ok(oldest > 0 && oldest <= 16);
    assert.throws(() => table.watch('', 'configmaps', undefined, oldest - 1, watcher().watcher), RevisionGone);
    const { seen, watcher: late } = watcher();
    const stop = table.watch('', 'configmaps', 'd', oldest, late);
    assert.deepEqual(
      seen.map(({ revision }) => revision),
      Array.from({ length: 20 - oldest }, (_, i) => oldest + 1 + i),
    );
    apply(table, recordOf('b', 21));
    apply(table, recordOf('c', 22, 'other'));
    assert.deepEqual(
      seen.slice(-1).map(({ type, revision }) => [type, revision]),
      [['ADDED', 21]],
    );
    stop();
    apply(table, recordOf('d', 23));
    assert.equal(seen.at(-1)?.revision, 21);
  });

  it('shows a deletion with the last state and the revision of the deletion', () => {
    const table = new ObjectTable({ historyEvents: 10 });
    const { seen, watcher: all } = watcher();
    table.watch('', 'configmaps', undefined, 0, all);
    const record = recordOf('a', 1);
    apply(table, record);
    apply(table, tombstone(record, 2));
    apply(table, tombstone(record, 3));
    assert.deepEqual(
      seen.map(({ type, object }) => [type, object.metadata.resourceVersion]),
      [
        ['ADDED', '1'],
        ['DELETED', '2'],
      ],
    );
    assert.equal(table.get(record.key), undefined);
    assert.equal(table.size, 1);
    table.forget(record.key);
    assert.equal(table.size, 0);
    assert.equal(table.eventAt(2)?.type, 'DELETED');
    assert.equal(table.eventAt(3), undefined);
  });

  it('ends all watches when its history line is lost', () => {
    const table = new ObjectTable({ historyEvents: 10 });
    apply(table, recordOf('a', 1));
    const { state, watcher: one } = watcher();
    table.watch('', 'configmaps', undefined, 1, one);
    table.replace([recordOf('b', 7)], [], 9);
    assert.equal(state.ended, 1);
    assert.equal(table.revision, 9);
    assert.throws(() => table.watch('', 'configmaps', undefined, 8, one), RevisionGone);
  });
});

describe('views', () => {
  it('need the configured share of the voters', () => {
    assert.deepEqual(
      [1, 2, 3, 4, 5].map((n) => quorum(n, 'majority')),
      [1, 2, 2, 3, 3],
    );
    assert.deepEqual(
      [1, 3].map((n) => quorum(n, 'one')),
      [1, 1],
    );
    assert.deepEqual(
      [1, 3].map((n) => quorum(n, 'all')),
      [1, 3],
    );
  });

  it('prefer the larger group, then the higher epoch', () => {
    assert.ok(compareComponents({ size: 2, epoch: NO_EPOCH }, { size: 1, epoch }) > 0);
    assert.ok(compareComponents({ size: 2, epoch: NO_EPOCH }, { size: 2, epoch }) < 0);
    assert.deepEqual(nextEpoch('b', epoch, NO_EPOCH, { n: 7, leader: 'x' }), { n: 8, leader: 'b' });
  });

  it('let the fullest log stand first', () => {
    const heads: Record<string, Position> = { a: { revision: 5, epoch }, b: { revision: 9, epoch } };
    assert.deepEqual(
      successionOrder(['a', 'b', 'c', 'd'], (peer) => heads[peer]),
      ['b', 'a', 'c', 'd'],
    );
  });

  it('spread roles, and leave them with healthy holders', () => {
    const first = assignRoles(['scheduler', 'controllers'], 'a', ['a', 'b', 'c'], {}, 10);
    assert.deepEqual(first, {
      api: { holder: 'a', epoch: 10 },
      scheduler: { holder: 'b', epoch: 10 },
      controllers: { holder: 'c', epoch: 10 },
    });
    const second = assignRoles(['scheduler', 'controllers'], 'b', ['b', 'c'], first, 20);
    assert.deepEqual(second, {
      api: { holder: 'b', epoch: 20 },
      scheduler: { holder: 'b', epoch: 10 },
      controllers: { holder: 'c', epoch: 10 },
    });
  });
});

describe('storage', () => {
  async function stored(change?: (disk: Disk) => Promise<void>) {
    const clock = new SimClock();
    const medium = new SimDisk(clock, seededRandom(1));
    const run = async <T>(promise: Promise<T>): Promise<T> => {
      let settled = false;
      promise.then(
        () => (settled = true),
        () => (settled = true),
      );
      await clock.run(() => settled);
      return promise;
    };
    const disk = medium.handle();
    const storage = new ReplicaStorage(disk, true);
    const log = new FrameLog();
    await run(storage.promise({ n: 3, leader: 'a' }));
    for (const revisions of [[1, 2], [3], [4, 5]]) {
      const { frame, bytes } = frameAfter(log.head, revisions);
      await run(storage.appendFrames([log.append(frame, bytes)]));
    }
    if (change) await run(change(disk));
    const loaded = new FrameLog();
    const again = new ReplicaStorage(disk, true);
    return { ...(await run(again.load(loaded))), log: loaded, run, disk, storage: again };
  }

  it('brings back promise, records and log', async () => {
    const { meta, log, fresh } = await stored();
    assert.equal(fresh, false);
    assert.deepEqual(meta.promised, { n: 3, leader: 'a' });
    assert.equal(log.head.revision, 5);
    assert.equal(log.length, 3);
  });

  it('cuts off a last frame that was not written to its end', async () => {
    const { log } = await stored(async (disk) => {
      const bytes = (await disk.get(frameKey(5))) as Uint8Array;
      await disk.write([{ type: 'put', key: frameKey(5), value: bytes.subarray(0, 20) }], { sync: true });
    });
    assert.equal(log.head.revision, 3);
  });

  it('reports damage in the middle, in records and in what it promised', async () => {
    const damage = (key: string) => async (disk: Disk) => {
      await new ReplicaStorage(disk, true).flush([], [], { revision: 5, epoch }, START);
      await disk.write([{ type: 'put', key, value: new Uint8Array([1, 2, 3, 4, 5, 6, 7]) }], { sync: true });
    };
    for (const key of [frameKey(3), 'o/configmaps/d/x', 'm/meta'])
      await assert.rejects(stored(damage(key)), DiskCorrupt, key);
  });

  it('goes on from its records when they say more than the log', async () => {
    const { log } = await stored(async (disk) => {
      const applied = { revision: 9, epoch };
      await new ReplicaStorage(disk, true).flush([recordOf('a', 9)], [], applied, START);
    });
    assert.deepEqual(log.head, { revision: 9, epoch });
  });
});

describe('the disk on LevelDB', () => {
  let folder = '';
  let path = '';
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'skein-disk-'));
    path = join(folder, 'store');
  });
  afterEach(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  const text = (value: string) => new TextEncoder().encode(value);
  async function entries(disk: Disk, from: string, to: string) {
    const out: [string, string][] = [];
    for await (const [key, value] of disk.scan(from, to)) out.push([key, Buffer.from(value).toString()]);
    return out;
  }

  it('keeps the order of writes that were not waited for', async () => {
    const disk = new LevelDisk(path);
    await disk.open();
    const done: number[] = [];
    const writes = Array.from({ length: 300 }, (_, i) =>
      disk
        .write([{ type: i % 3 === 2 ? 'del' : 'put', key: `k${i % 7}`, value: text(String(i)) }], {
          sync: i % 50 === 0,
        })
        .then(() => done.push(i)),
    );
    const close = disk.close();
    await Promise.all(writes);
    await close;
    assert.deepEqual(
      done,
      Array.from({ length: 300 }, (_, i) => i),
    );
    const again = new LevelDisk(path);
    await again.open();
    const expected = new Map<string, string>();
    for (let i = 0; i < 300; i++) {
      if (i % 3 === 2) expected.delete(`k${i % 7}`);
      else expected.set(`k${i % 7}`, String(i));
    }
    assert.deepEqual(
      await entries(again, 'k', 'l'),
      [...expected].toSorted(([a], [b]) => (a < b ? -1 : 1)),
    );
    await again.close();
  });

  it('scans a range in key order', async () => {
    const disk = new LevelDisk(path);
    await disk.open();
    await disk.write(
      ['a/2', 'a/1', 'a0', 'b'].map((key) => ({ type: 'put', key, value: text(key) })),
      { sync: false },
    );
    assert.deepEqual(await entries(disk, 'a/', 'a0'), [
      ['a/1', 'a/1'],
      ['a/2', 'a/2'],
    ]);
    assert.equal(await disk.get('c'), undefined);
    await disk.close();
  });

  it('says that damaged files are damaged, and that a directory is in use', async () => {
    const disk = new LevelDisk(path);
    await disk.open();
    await disk.write([{ type: 'put', key: 'a', value: text('a') }], { sync: true });
    await assert.rejects(new LevelDisk(path).open(), /is in use by another process/);
    await disk.close();
    const manifest = (await readdir(path)).find((name) => name.startsWith('MANIFEST')) as string;
    await truncate(join(path, manifest), 3);
    await writeFile(join(path, 'CURRENT'), `${manifest}\n`);
    const damaged = new LevelDisk(path);
    await assert.rejects(damaged.open(), DiskCorrupt);
    const aside = await damaged.setAside();
    assert.ok((await readdir(aside)).includes(manifest), 'nothing of it is thrown away');
    await damaged.open();
    assert.equal(await damaged.get('a'), undefined);
    await damaged.close();
  });
});
