/** A replica on a real LevelDB whose process is killed, whose files rot, and whose disk fills up. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { systemClock } from '../../../src/base/clock.js';
import { silentLogger } from '../../../src/base/log.js';
import type { Replica } from '../../../src/store/replication/replica.js';
import { REVISION_GAP } from '../../../src/store/backup/restored-store.js';
import { LevelDisk } from '../../../src/store/level-disk.js';
import { REGISTRY_KEY } from '../../../src/store/replication/peer-registry.js';
import { StoreUnavailable } from '../../../src/store/object-store.js';
import { ReplicaStorage, storedRecord } from '../../../src/store/replication/storage.js';
import { FrameLog } from '../../../src/store/replication/frame-log.js';
import { makeReplica, put, textOf, type LoneOptions } from './lone-replica.js';

async function until(what: string, condition: () => boolean, ms = 20_000): Promise<void> {
  for (let waited = 0; !condition(); waited += 10) {
    assert.ok(waited < ms, `waited for ${what}`);
    await systemClock.sleep(10);
  }
}

describe('a replica and its disk', () => {
  let dir: string;
  let path: string;
  let running: Replica | undefined;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'skein-faults-'));
    path = join(dir, 'store');
  });
  afterEach(async () => {
    await running?.stop();
    running = undefined;
    await rm(dir, { recursive: true, force: true });
  });

  async function started(options: LoneOptions = {}): Promise<Replica> {
    running = makeReplica(path, options);
    await running.start();
    return running;
  }
  async function stopped(): Promise<void> {
    await running?.stop();
    running = undefined;
  }

  it('loses nothing that it acknowledged when its process is killed, wherever it is', async () => {
    const script = fileURLToPath(new URL('lone-replica.ts', import.meta.url));
    let acknowledged = 0;
    for (let round = 0; round < 3; round++) {
      const child = spawn(process.execPath, ['--import', 'tsx', script, path, String(acknowledged + 1)], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const kill = acknowledged + 60 + round * 37;
      for await (const line of createInterface(child.stdout)) {
        acknowledged = Number(line);
        if (acknowledged >= kill) child.kill('SIGKILL');
      }
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
      assert.equal(child.signalCode, 'SIGKILL');
      const replica = await started();
      assert.equal(replica.storeDamage, undefined, 'a kill damages nothing');
      await until('the sequencer', () => replica.view !== undefined);
      await replica.barrier();
      for (let n = Math.max(1, acknowledged - 39); n <= acknowledged; n++) {
        for (const name of ['x', 'y', 'z']) {
          const there = Number(textOf(replica, `${name}${n % 40}`)?.split(' ')[0]);
          // A later write of that name may have been on its way.
          assert.ok(there === n || there > acknowledged, `${name}${n % 40} is ${there}, acknowledged was ${n}`);
        }
      }
      await stopped();
    }
  }).timeout(120_000);

  async function fill(count = 150): Promise<void> {
    const replica = await started();
    for (let i = 0; i < count; i++) await put(replica, `n${i}`, `${i} ${'abc'.repeat(300)}`);
    await stopped();
    // Another life puts what is in the log into a table.
    await started();
    await stopped();
  }

  async function damageTable(): Promise<void> {
    const table = (await readdir(path)).find((name) => name.endsWith('.ldb')) as string;
    const bytes = await readFile(join(path, table));
    await writeFile(join(path, table), bytes.fill(0, bytes.length >> 1, (bytes.length >> 1) + 40));
  }

  it('alone in its cluster, takes over what can be read of a damaged store, loudly', async () => {
    await fill();
    await damageTable();
    const told: string[] = [];
    const log = { ...silentLogger, error: (text: string) => void told.push(text) };
    const replica = await started({ log });
    assert.match(told[0] ?? '', /the store is damaged and was set aside; no other peer has the data/);
    assert.equal(replica.storeDamage?.aside, `${path}.damaged-1`);
    const { salvaged = 0 } = replica.storeDamage ?? {};
    assert.ok(salvaged > 0, 'something was saved');
    for (let i = 0; i < 150; i++) {
      const text = textOf(replica, `n${i}`);
      assert.ok(text === undefined || text.startsWith(`${i} `), 'nothing wrong is served');
    }
    await until('the sequencer', () => replica.view !== undefined);
    assert.ok(replica.revision > REVISION_GAP, 'no revision means two states');
    await put(replica, 'after', 'goes on');
    await stopped();
    const again = await started();
    assert.equal(again.storeDamage, undefined);
    assert.equal(textOf(again, 'after'), 'goes on');
  }).timeout(60_000);

  /** As if another peer had been registered. */
  async function registerAnother(): Promise<void> {
    const disk = new LevelDisk(path);
    await disk.open();
    const storage = new ReplicaStorage(disk, true);
    const { meta } = await storage.load(new FrameLog());
    const key = `o/${REGISTRY_KEY}`;
    const record = storedRecord([key, (await disk.get(key)) as Uint8Array]);
    const peers = [
      { id: 'a', name: 'a' },
      { id: 'b', name: 'b' },
    ];
    const value = { ...record.value, peers } as typeof record.value;
    // Newer than what the log says of it.
    const revision = meta.applied.revision + 1_000;
    await storage.flush([{ ...record, value, revision }], [], meta.applied, meta.base, { durable: true });
    await disk.close();
  }

  it('with other peers, waits for them with an empty store, and founds nothing, however often it is started', async () => {
    await fill();
    await registerAnother();
    await truncate(join(path, 'CURRENT'), 0);
    for (let start = 0; start < 2; start++) {
      const replica = await started({ mayFound: true });
      assert.equal(replica.storeDamage?.salvaged, undefined);
      await systemClock.sleep(400);
      assert.deepEqual([replica.view, replica.revision, textOf(replica, 'n1')], [undefined, 0, undefined]);
      await stopped();
    }
    assert.deepEqual((await readdir(dir)).toSorted(), ['store', 'store.damaged-1', 'store.mark']);
  }).timeout(60_000);

  it('does not take a store that is gone for a new cluster', async () => {
    await fill(5);
    await rm(path, { recursive: true });
    const replica = await started({ mayFound: true });
    await systemClock.sleep(400);
    assert.match(replica.storeDamage?.problem ?? '', /is gone/);
    assert.equal(replica.view, undefined);
  });

  describe('that is full', () => {
    let mounted = '';
    before(function () {
      if (process.getuid?.() === 0) return;
      process.stderr.write('SKIPPED: a small file system of its own needs root\n');
      this.skip();
    });
    beforeEach(async () => {
      mounted = await mkdtemp(join(tmpdir(), 'skein-full-'));
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=12m', 'tmpfs', mounted]);
      path = join(mounted, 'store');
    });
    afterEach(async () => {
      await stopped();
      execFileSync('umount', ['-l', mounted]);
      await rm(mounted, { recursive: true, force: true });
    });

    it('answers writes at once that there is no room, goes on reading, and recovers without a restart', async () => {
      const replica = await started();
      await until('the sequencer', () => replica.view !== undefined);
      await put(replica, 'before', 'kept');
      const ballast = join(mounted, 'ballast');
      try {
        await writeFile(ballast, Buffer.alloc(12 << 20));
      } catch (error) {
        assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC');
      }
      const large = 'x'.repeat(200_000);
      const stuck = put(replica, 'stuck', large).catch((error: unknown) => error);
      await until('the disk to be full', () => replica.diskTrouble !== undefined);
      await assert.rejects(put(replica, 'refused', 'r'), (error) => {
        assert.match(String(error), /there is no room left on the disk/);
        return error instanceof StoreUnavailable && error.refused;
      });
      await replica.barrier();
      assert.equal(textOf(replica, 'before'), 'kept');
      await rm(ballast);
      await until('room', () => replica.diskTrouble === undefined);
      assert.equal(await stuck, undefined, 'what was under way is acknowledged in the end');
      await put(replica, 'after', 'written');
      await stopped();
      const again = await started();
      assert.equal(again.storeDamage, undefined);
      assert.deepEqual(
        ['before', 'stuck', 'after', 'refused'].map((name) => textOf(again, name)),
        ['kept', large, 'written', undefined],
      );
    }).timeout(60_000);
  });
});
