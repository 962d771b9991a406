import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createKindPolicies } from '../../../src/agent/kind-policies.js';
import { KindRegistry } from '../../../src/api/schema/registry.js';
import { systemClock } from '../../../src/base/clock.js';
import { silentLogger } from '../../../src/base/log.js';
import { LevelDisk } from '../../../src/store/level-disk.js';
import { afterPut, deepFreeze, encodeRecord, type ObjectRecord } from '../../../src/store/record.js';
import { ReplicaState } from '../../../src/store/replication/replica-state.js';
import { ReplicaStorage } from '../../../src/store/replication/storage.js';
import { StampClock } from '../../../src/store/stamp.js';

const policies = createKindPolicies(KindRegistry.load());
const stamps = new StampClock('test', () => 1_700_000_000_000);
const epoch = { n: 1, leader: 'a' };
const at = (revision: number) => ({ revision, epoch });

function recordOf(name: string, revision: number): ObjectRecord {
  const value = deepFreeze({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name, namespace: 'default', uid: name, resourceVersion: String(revision) },
  });
  const policy = policies.policyOf('', 'configmaps');
  return afterPut(undefined, `/configmaps/default/${name}`, value, revision, stamps.next(), policy);
}

const records = (count: number, prefix = 'c') =>
  Array.from({ length: count }, (_, i) => recordOf(`${prefix}${i}`, i + 1));

describe('a state that is taken over', () => {
  let dir: string;
  let disk: LevelDisk;
  let state: ReplicaState;

  async function open(): Promise<void> {
    disk = new LevelDisk(join(dir, 'store'));
    await disk.open();
    const storage = new ReplicaStorage(disk, true);
    const deps = { clock: systemClock, log: silentLogger, storage, policies, stamps };
    const limits = { historyEvents: 100, logBytes: 1 << 20, logFrames: 100, replies: 10 };
    state = new ReplicaState(deps, { ...limits, tombstoneRetentionMs: 86_400_000, flushDelayMs: 10 });
    await state.load();
    await storage.promise(epoch);
  }
  async function close(): Promise<void> {
    await state.close();
    await disk.close();
  }
  async function reopen(): Promise<void> {
    await close();
    await open();
  }
  /** Gives the state those records in pieces of ten, and installs them when `revision` is told. */
  async function take(
    given: readonly ObjectRecord[],
    revision?: number,
    absent: readonly string[] = [],
  ): Promise<void> {
    const installation = state.beginInstallation(4);
    for (let from = 0; from < given.length; from += 10) {
      const piece = given.slice(from, from + 10).map((record) => encodeRecord(record));
      await installation.add(piece, () => [], from === 0 ? absent : []);
    }
    if (revision !== undefined) assert.equal(await state.install(installation, at(revision), () => true), true);
  }
  const names = () => state.table.list('', 'configmaps').map(({ metadata }) => metadata.name);

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'skein-installation-'));
    await open();
  });
  afterEach(async () => {
    await close();
    await rm(dir, { recursive: true, force: true });
  });

  it('shows nothing before its end, then all of it, also after a restart', async () => {
    const given = records(35);
    await take(given);
    assert.deepEqual(names(), []);
    await take(given, 35);
    assert.equal(names().length, 35);
    const digests = state.table.digests.buckets();
    await reopen();
    assert.equal(names().length, 35);
    assert.deepEqual(state.table.digests.buckets(), digests);
    assert.deepEqual(state.applied, at(35));
  });

  it('leaves nothing behind when an empty peer ends in the middle', async () => {
    await take(records(25));
    await reopen();
    assert.deepEqual(names(), []);
    assert.equal(state.head.revision, 0);
    for await (const [key] of disk.scan('o/', 'o0')) assert.fail(`${key} is still there`);
  });

  it('does not bring back what an earlier attempt had and the later has not', async () => {
    await take(records(25, 'old'));
    await take(records(12, 'new'), 40);
    assert.ok(names().every((name) => name?.startsWith('new')));
    await reopen();
    assert.equal(names().length, 12);
    assert.ok(names().every((name) => name?.startsWith('new')));
  });

  for (const [size, what] of [
    [3, 'a few'],
    [30, 'many'],
  ] as const) {
    it(`replaces ${what} records of a peer that has others, at once`, async () => {
      await take(records(50), 50);
      const changed = records(size).map((record) => ({ ...recordOf(record.value?.metadata.name ?? '', 100) }));
      let ended = 0;
      state.table.watch('', 'configmaps', undefined, 50, { onEvents: () => undefined, onEnd: () => ended++ });
      await take(changed, 101, ['/configmaps/default/c49']);
      assert.equal(ended, 1);
      for (const again of [false, true]) {
        if (again) await reopen();
        assert.equal(names().length, 49);
        const versions = state.table
          .list('', 'configmaps')
          .filter(({ metadata }) => metadata.resourceVersion === '100');
        assert.equal(versions.length, size);
      }
    });
  }
});
