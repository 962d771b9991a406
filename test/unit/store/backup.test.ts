/** The form of backups, and the stores that are made of them. */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { checkBackup, saveBackup } from '../../../src/agent/offline/backup-saving.js';
import { restore } from '../../../src/agent/offline/restore.js';
import { readFoundingFacts } from '../../../src/agent/offline/founding-file.js';
import { dumpObjects } from '../../../src/agent/offline/dump.js';
import { verifyStore } from '../../../src/agent/offline/store-files.js';
import { BackupUnreadable, readBackup, writeBackup, type BackupHeader } from '../../../src/store/backup/backup-file.js';
import { REVISION_GAP } from '../../../src/store/backup/restored-store.js';
import { LevelDisk } from '../../../src/store/level-disk.js';
import { deepFreeze, type ObjectRecord } from '../../../src/store/record.js';
import { FrameLog } from '../../../src/store/replication/frame-log.js';
import { ReplicaStorage } from '../../../src/store/replication/storage.js';
import { NO_STAMP, StampClock } from '../../../src/store/stamp.js';

const stamps = new StampClock('a', () => 1_700_000_000_000);

function recordOf(key: string, revision: number, data: object | null = { n: String(revision) }): ObjectRecord {
  const [, , namespace = '', name = ''] = key.split('/');
  const stamp = stamps.next();
  const metadata = { name, namespace, uid: key, resourceVersion: String(revision) };
  return {
    key,
    revision,
    version: stamp,
    birth: stamp,
    buried: NO_STAMP,
    value: data === null ? undefined : deepFreeze({ metadata, data }),
    parts: { metadata: stamp, spec: stamp, status: stamp },
    document: undefined,
    pending: [],
  };
}

const RECORDS = Array.from({ length: 300 }, (_, i) => recordOf(`/configmaps/default/c${i}`, 100 + i));
const HEADER: BackupHeader = {
  clusterId: 'one',
  revision: 400,
  epoch: { n: 7, leader: 'a' },
  createdMs: 1_700_000_000_000,
  version: 'v1',
  clusterCidr: '10.244.0.0/16',
  serviceCidr: '10.96.0.0/12',
  records: RECORDS.length,
};

async function bytesOf(records: readonly ObjectRecord[] = RECORDS, header = HEADER): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of writeBackup(header, records)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function* inPieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield await Promise.resolve(bytes.subarray(at, at + size));
}

async function read(bytes: Uint8Array, size = 1000) {
  let header: BackupHeader | undefined;
  const records: ObjectRecord[] = [];
  for await (const record of readBackup(inPieces(bytes, size), (one) => (header = one))) records.push(record);
  return { header, records };
}

describe('a backup', () => {
  it('comes back as it went, in whatever pieces', async () => {
    const bytes = await bytesOf();
    for (const size of [7, 1000, bytes.length]) {
      const { header, records } = await read(bytes, size);
      assert.deepEqual(header, HEADER);
      assert.deepEqual(records, RECORDS);
    }
  });

  it('is refused when it is cut off, wherever', async () => {
    const bytes = await bytesOf(RECORDS.slice(0, 3));
    for (let length = 0; length < bytes.length; length++) {
      await assert.rejects(
        read(bytes.subarray(0, length)),
        /^Error: the backup is cut off (at its beginning|in the middle)$/,
      );
    }
  });

  it('is refused when any byte of it is another, or something follows', async () => {
    const bytes = await bytesOf(RECORDS.slice(0, 3));
    await fc.assert(
      fc.asyncProperty(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), async (at, mask) => {
        const other = Buffer.from(bytes);
        other[at] = (other[at] ?? 0) ^ mask;
        await assert.rejects(read(other), BackupUnreadable);
      }),
      { numRuns: 300 },
    );
    await assert.rejects(read(Buffer.concat([bytes, Buffer.of(0)])), /there is more after its end/);
  });

  it('is refused when a record was left out', async () => {
    const whole = await bytesOf(RECORDS.slice(0, 3));
    const without = await bytesOf(RECORDS.slice(0, 2));
    const end = (bytes: Buffer) => bytes.lastIndexOf(Buffer.from([0x45]), bytes.length - 60);
    const mixed = Buffer.concat([without.subarray(0, end(without)), whole.subarray(end(whole))]);
    await assert.rejects(read(mixed), BackupUnreadable);
  });

  it('of another version, and what is none, are told apart', async () => {
    await assert.rejects(
      read(Buffer.from('skein backup 2\nwhatever')),
      /the backup has format 2, this version reads format 1/,
    );
    await assert.rejects(read(Buffer.from('apiVersion: v1\nkind: List\n')), /this is no backup of skein/);
  });
});

describe('files and directories of backups', () => {
  let dir: string;
  beforeEach(async () => (dir = await mkdtemp(join(tmpdir(), 'skein-backup-'))));
  afterEach(() => rm(dir, { recursive: true, force: true }));

  it('are whole or not there, and never overwritten', async () => {
    const file = join(dir, 'b');
    const bytes = await bytesOf();
    await assert.rejects(saveBackup(file, inPieces(bytes.subarray(0, -1), 999)), /cut off/);
    assert.deepEqual(await readdir(dir), []);
    const { records } = await saveBackup(file, inPieces(bytes, 999));
    assert.equal(records, RECORDS.length);
    await assert.rejects(saveBackup(file, inPieces(bytes, 999)), { code: 'EEXIST' });
    assert.deepEqual(await readdir(dir), ['b']);
    assert.deepEqual((await checkBackup(file)).header, HEADER);
  });

  async function restored(records: readonly ObjectRecord[], header = HEADER) {
    await writeFile(join(dir, 'b'), await bytesOf(records, header));
    await restore(join(dir, 'b'), join(dir, 'data'), { replace: false });
    return join(dir, 'data');
  }

  it('become a store that goes on far above the backup, under a higher epoch', async () => {
    const data = await restored(RECORDS);
    const disk = new LevelDisk(join(data, 'store'));
    await disk.open();
    const records: ObjectRecord[] = [];
    const { meta } = await new ReplicaStorage(disk, true).load(new FrameLog(), (record) => records.push(record));
    await disk.close();
    assert.equal(meta.applied.revision, HEADER.revision + REVISION_GAP);
    assert.equal(meta.promised.n, HEADER.epoch.n + 1);
    assert.deepEqual(meta.peers, []);
    const byKey = (a: ObjectRecord, b: ObjectRecord) => (a.key < b.key ? -1 : 1);
    assert.deepEqual(records.toSorted(byKey), RECORDS.toSorted(byKey));
    assert.deepEqual(await readFoundingFacts(data), {
      clusterCidr: HEADER.clusterCidr,
      serviceCidr: HEADER.serviceCidr,
    });
  });

  it('carry the keys only when they are in the backup', async () => {
    const keys = { caCertPem: 'cert', caKeyPem: 'key', clusterSecret: Buffer.from('secret') };
    const data = await restored([], { ...HEADER, keys });
    assert.deepEqual((await readFoundingFacts(data))?.keys, keys);
  });

  it('leave behind what belongs to the old peers', async () => {
    const data = await restored([
      recordOf('internal.skein.dev/peerregistries//peers', 3),
      recordOf('/configmaps/default/gone', 4, null),
    ]);
    const report = await verifyStore(join(data, 'store'), (problem) => assert.fail(JSON.stringify(problem)));
    assert.deepEqual([report.objects, report.tombstones], [0, 0]);
  });

  it('change nothing when the backup is bad or the directory is taken', async () => {
    const bytes = await bytesOf();
    await writeFile(join(dir, 'bad'), bytes.subarray(0, 5000));
    await assert.rejects(restore(join(dir, 'bad'), join(dir, 'data'), { replace: true }), BackupUnreadable);
    assert.deepEqual(await readdir(dir), ['bad']);
    const data = await restored(RECORDS);
    const before = await readdir(data);
    await assert.rejects(restore(join(dir, 'b'), data, { replace: false }), { code: 'ERR_NOT_EMPTY' });
    assert.deepEqual(await readdir(data), before);
    const { aside } = await restore(join(dir, 'b'), data, { replace: true });
    assert.equal(aside, join(data, 'replaced-1'));
    assert.deepEqual((await readdir(join(data, 'replaced-1'))).toSorted(), before.toSorted());
  });

  it('can be printed, without Secrets unless they are asked for', async () => {
    const data = await restored([
      recordOf('/configmaps/default/x', 1),
      recordOf('/configmaps/kube-system/x', 2),
      recordOf('/secrets/default/s', 3),
      recordOf('apps/deployments/default/web', 4),
    ]);
    async function names(selection: object) {
      const found: string[] = [];
      let hidden = 0;
      const events = { onProblem: () => assert.fail(), onSecret: () => (hidden += 1) };
      for await (const { apiVersion, kind, metadata } of dumpObjects(
        join(data, 'store'),
        { secrets: false, ...selection },
        events,
      )) {
        found.push(`${apiVersion} ${kind} ${metadata.namespace}/${metadata.name}`);
      }
      return [found, hidden];
    }
    assert.deepEqual(await names({ type: 'cm' }), [['v1 ConfigMap default/x', 'v1 ConfigMap kube-system/x'], 0]);
    assert.deepEqual(await names({ type: 'cm', namespace: 'default', name: 'x' }), [['v1 ConfigMap default/x'], 0]);
    assert.deepEqual(await names({ type: 'Deployment.apps' }), [['apps/v1 Deployment default/web'], 0]);
    assert.deepEqual(await names({ type: 'secrets' }), [[], 1]);
    assert.deepEqual(await names({ type: 'secrets', secrets: true }), [['v1 Secret default/s'], 0]);
    const [all] = await names({});
    assert.equal((all as string[]).length, 3);
  });
});
