/** A data directory on which bytes rot, files are cut off or vanish: found before anything is served from it. */
import assert from 'node:assert/strict';
import { cp, mkdtemp, readdir, readFile, rename, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { DiskCorrupt, type Disk } from '../../../src/store/disk.js';
import { crc32c } from '../../../src/store/level/crc32c.js';
import { checkFiles, logRecords } from '../../../src/store/level/files.js';
import { BadSnappy, uncompress } from '../../../src/store/level/snappy.js';
import { lockStore, viewStore } from '../../../src/store/level/view.js';
import { LevelDisk, markOf, MAX_SET_ASIDE } from '../../../src/store/level-disk.js';

async function content(disk: Pick<Disk, 'scan'>): Promise<Map<string, string>> {
  const all = new Map<string, string>();
  for await (const [key, value] of disk.scan('k', 'l')) all.set(key, Buffer.from(value).toString('base64'));
  return all;
}

async function problemsIn(path: string): Promise<string[]> {
  const problems: string[] = [];
  for await (const { file, problem } of checkFiles(path)) problems.push(`${file} ${problem}`);
  return problems;
}

describe('checksums of LevelDB', () => {
  it('are CRC-32C', () => {
    assert.equal(crc32c(Buffer.from('123456789')), 0xe3069283);
    assert.equal(crc32c(Buffer.alloc(32)), 0x8a9136aa);
    assert.equal(crc32c(new Uint8Array()), 0);
  });

  it('uncompress what Snappy made', () => {
    // The literal "abc", then a copy of 7 bytes from 3 back, which overlaps with itself.
    const compressed = Uint8Array.of(10, (3 - 1) << 2, 0x61, 0x62, 0x63, ((7 - 4) << 2) | 1, 3);
    assert.equal(Buffer.from(uncompress(compressed)).toString(), 'abcabcabca');
    for (const bad of [[10, 8, 0x61], [200], [3, 0x0d, 9], [2, 8, 1, 2, 3]]) {
      assert.throws(() => uncompress(Uint8Array.from(bad)), BadSnappy);
    }
  });

  it('leave out the end of a log that was not written whole', () => {
    const record = (text: string, type = 1) => {
      const body = Buffer.concat([Buffer.of(type), Buffer.from(text)]);
      const crc = crc32c(body);
      const head = Buffer.alloc(6);
      head.writeUInt32LE((((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0);
      head.writeUInt16LE(text.length, 4);
      return Buffer.concat([head, body]);
    };
    const log = Buffer.concat([record('one'), record('two')]);
    const texts = (bytes: Uint8Array) => logRecords(bytes).records.map((one) => Buffer.from(one).toString());
    assert.deepEqual(texts(log), ['one', 'two']);
    assert.deepEqual(texts(log.subarray(0, log.length - 1)), ['one']);
    assert.equal(logRecords(log.subarray(0, log.length - 1)).isWhole, true);
    // The next block is where LevelDB goes on reading.
    const filled = Buffer.concat([Buffer.alloc(32_768 - log.length, 1), log]);
    assert.equal(logRecords(Buffer.concat([filled.fill(1, 0, 100), record('three')])).isWhole, false);
  });
});

describe('a damaged data directory', () => {
  const LIVES = 3;
  let dir: string;
  let whole: string;
  let expected: Map<string, string>;

  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'skein-damage-'));
    whole = join(dir, 'whole', 'store');
    // Each life of a process leaves a table and a log.
    for (let life = 0; life < LIVES; life++) {
      const disk = new LevelDisk(whole);
      await disk.open();
      for (let i = 0; i < 60; i++) {
        const value = Buffer.from(`${life} ${i}:${'abcdefgh'.repeat(100 + i)}${Math.sin(i)}`);
        await disk.write(
          [
            { type: 'put', key: `k${life * 20 + i}`, value },
            { type: i % 7 === 0 ? 'del' : 'put', key: `k${i % 11}`, value },
          ],
          { sync: i % 20 === 0 },
        );
      }
      expected = await content(disk);
      await disk.close();
    }
    assert.ok((await readdir(whole)).filter((name) => name.endsWith('.ldb')).length >= 2, 'several tables');
  });
  after(() => rm(dir, { recursive: true, force: true }));

  async function copied(): Promise<string> {
    const parent = await mkdtemp(join(dir, 'case-'));
    await cp(join(dir, 'whole'), parent, { recursive: true });
    return join(parent, 'store');
  }

  /** What an agent does: serve what is there, or set it aside. */
  async function outcome(path: string): Promise<'served' | 'set aside'> {
    const disk = new LevelDisk(path);
    try {
      await disk.open();
    } catch (error) {
      assert.ok(error instanceof DiskCorrupt, `${String(error)} is no finding`);
      const aside = await disk.setAside();
      assert.ok((await stat(aside)).isDirectory());
      await disk.open();
      assert.deepEqual(await content(disk), new Map(), 'begins empty');
      await disk.close();
      return 'set aside';
    }
    assert.deepEqual(await content(disk), expected);
    await disk.close();
    return 'served';
  }

  it('is served when nothing happened to it, any number of times', async () => {
    const path = await copied();
    assert.deepEqual(await problemsIn(path), []);
    for (let i = 0; i < 3; i++) assert.equal(await outcome(path), 'served');
  });

  it('is either served exactly as it was acknowledged or set aside, whatever byte changes or wherever a file is cut off', async () => {
    const names = (await readdir(whole)).toSorted();
    const damage = fc.record({
      file: fc.constantFrom(...names.filter((name) => !name.startsWith('LO')), 'store.mark'),
      at: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
      how: fc.oneof(
        fc.integer({ min: 1, max: 255 }).map((mask) => ({ type: 'flip' as const, mask })),
        fc.constant({ type: 'cut' as const }),
        fc.constant({ type: 'remove' as const }),
        fc.integer({ min: 1, max: 64 }).map((length) => ({ type: 'zero' as const, length })),
      ),
    });
    const seen = { served: 0, 'set aside': 0 };
    await fc.assert(
      fc.asyncProperty(damage, async ({ file, at, how }) => {
        const path = await copied();
        const target = file === 'store.mark' ? markOf(path) : join(path, file);
        const bytes = await readFile(target);
        const offset = Math.floor(at * bytes.length);
        if (how.type === 'remove') await rm(target);
        else if (how.type === 'cut') await truncate(target, offset);
        else {
          if (how.type === 'flip') bytes[offset] = (bytes[offset] ?? 0) ^ how.mask;
          else bytes.fill(0, offset, Math.min(bytes.length, offset + how.length));
          await writeFile(target, bytes);
        }
        seen[await outcome(path)] += 1;
        await rm(join(path, '..'), { recursive: true });
      }),
      { numRuns: 60 },
    );
    assert.ok(seen['set aside'] > 15, JSON.stringify(seen));
  }).timeout(60_000);

  const FINDINGS: readonly (readonly [what: string, break_: (path: string) => Promise<void>, message: RegExp])[] = [
    ['the store is gone', (path) => rm(path, { recursive: true }), /is gone/],
    ['CURRENT is missing', (path) => rm(join(path, 'CURRENT')), /CURRENT is missing/],
    ['the manifest is missing', (path) => removed(path, /^MANIFEST/), /MANIFEST-\d+ is missing/],
    ['a table is missing', (path) => removed(path, /\.ldb$/), /\.ldb is missing/],
    ['the log is missing', (path) => removed(path, /\.log$/), /\.log is missing/],
    ['the log is empty', (path) => emptied(path, /\.log$/), /lacks its end: \d+ batches were written/],
  ];
  const fileLike = async (path: string, pattern: RegExp) =>
    join(path, (await readdir(path)).find((name) => pattern.test(name)) ?? 'none');
  async function removed(path: string, pattern: RegExp) {
    await rm(await fileLike(path, pattern));
  }
  async function emptied(path: string, pattern: RegExp) {
    await truncate(await fileLike(path, pattern), 0);
  }
  for (const [what, break_, message] of FINDINGS) {
    it(`is found when ${what}`, async () => {
      const path = await copied();
      await break_(path);
      const disk = new LevelDisk(path);
      await assert.rejects(disk.open(), (error) => error instanceof DiskCorrupt && message.test(error.message));
    });
  }

  it('is kept when it is set aside, but only so many of them', async () => {
    const path = await copied();
    const asides: string[] = [];
    for (let i = 0; i < MAX_SET_ASIDE + 2; i++) {
      const disk = new LevelDisk(path);
      await disk.open();
      await disk.write([{ type: 'put', key: 'k', value: Buffer.from('v') }], { sync: true });
      asides.push(await disk.setAside());
    }
    const kept = (await readdir(join(path, '..'))).filter((name) => name.includes('damaged')).toSorted();
    assert.deepEqual(
      kept,
      asides.slice(-MAX_SET_ASIDE).map((aside) => aside.slice(aside.lastIndexOf('/') + 1)),
    );
  });

  it('gives back what can still be read', async () => {
    const path = await copied();
    const table = await fileLike(path, /\.ldb$/);
    const bytes = await readFile(table);
    await writeFile(table, bytes.fill(0, 1000, 5000));
    await rm(join(path, 'CURRENT'));
    const disk = new LevelDisk(path);
    await assert.rejects(disk.open(), DiskCorrupt);
    const aside = await disk.setAside();
    const before = (await readdir(aside)).toSorted();
    let same = 0;
    for await (const [key, value] of disk.salvage(aside)) {
      if (expected.get(key) === Buffer.from(value).toString('base64')) same += 1;
    }
    assert.ok(same > expected.size / 3, `${same} of ${expected.size}`);
    assert.deepEqual((await readdir(aside)).toSorted(), before, 'nothing of it changes');
  });

  it('is not mistaken: a store that cannot be reached is no damaged one', async () => {
    const path = await copied();
    await rename(path, `${path}.elsewhere`);
    await writeFile(path, 'a file where a directory should be');
    const disk = new LevelDisk(path);
    await assert.rejects(disk.open(), (error) => !(error instanceof DiskCorrupt));
  });
});

describe('a view of a store', () => {
  let dir: string;
  beforeEach(async () => (dir = await mkdtemp(join(tmpdir(), 'skein-view-'))));
  afterEach(() => rm(dir, { recursive: true, force: true }));

  it('shows what is there and changes nothing', async () => {
    const path = join(dir, 'store');
    const disk = new LevelDisk(path);
    await disk.open();
    for (let i = 0; i < 50; i++) await disk.write([{ type: 'put', key: `k${i}`, value: Buffer.of(i) }], { sync: true });
    await disk.close();
    const bytes = async () =>
      Promise.all(
        (await readdir(path)).toSorted().map(async (name) => [name, await readFile(join(path, name), 'hex')]),
      );
    const before = await bytes();
    const view = await viewStore(path);
    assert.equal((await content(view)).size, 50);
    await view.close();
    assert.deepEqual(await bytes(), before);
  });

  it('takes the place of whoever has it open', async () => {
    const path = join(dir, 'store');
    const disk = new LevelDisk(path);
    await disk.open();
    await disk.close();
    const unlock = await lockStore(path);
    await unlock();
    await disk.open();
    await disk.close();
  });
});
