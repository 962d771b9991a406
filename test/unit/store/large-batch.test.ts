import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../../src/base/clock.js';
import type { DiskOperation } from '../../../src/store/disk.js';
import { LevelDisk } from '../../../src/store/level-disk.js';

const OPERATIONS = 5_000;

describe('a large batch on LevelDB', () => {
  let directory: string;
  let disk: LevelDisk;
  let turns: number;

  beforeEach(async () => {
    turns = 0;
    directory = await mkdtemp(join(tmpdir(), 'skein-batch-'));
    disk = new LevelDisk(join(directory, 'store'), {
      ...systemClock,
      sleep: (ms) => {
        turns += 1;
        return systemClock.sleep(ms);
      },
    });
    await disk.open();
  });
  afterEach(async () => {
    await disk.close();
    await rm(directory, { recursive: true });
  });

  async function keys(): Promise<string[]> {
    const out: string[] = [];
    for await (const [key] of disk.scan('o/', 'o0')) out.push(key);
    return out;
  }

  it('is handed over in slices, shows all at once, and keeps its place among other writes', async () => {
    const put = (i: number): DiskOperation => ({ type: 'put', key: `o/${i}`, value: new Uint8Array([i % 256]) });
    await disk.write([put(1)], { sync: true });
    const all = Array.from({ length: OPERATIONS }, (_, i) => put(i));
    const written = disk.write([...all, { type: 'del', key: 'o/1' }], { sync: true });
    // The first slice is there, but nothing of it shows.
    while (turns === 0) await systemClock.sleep(0);
    const later = disk.write([{ type: 'del', key: 'o/2' }], { sync: true });
    const between = await keys();
    assert.ok([1, OPERATIONS - 1].includes(between.length), String(between.length));
    await Promise.all([written, later]);
    assert.ok(turns >= OPERATIONS / 200 - 1, `${turns} turns`);
    const left = await keys();
    assert.equal(left.length, OPERATIONS - 2);
    assert.ok(!left.includes('o/1') && !left.includes('o/2'));
    assert.deepEqual(await disk.get('o/300'), Buffer.from([300 % 256]));
  });
});
