/** Which builds can work together. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { commonVersion, parseRange, rangeText } from '../../../src/base/version-range.js';
import { formatRefusal, type Formats } from '../../../src/store/formats.js';
import { LevelDisk } from '../../../src/store/level-disk.js';
import { seal, START } from '../../../src/store/log-entry.js';
import { FrameLog } from '../../../src/store/replication/frame-log.js';
import { ReplicaStorage, WrongFormat } from '../../../src/store/replication/storage.js';
import { decodeMessage, encodeMessage, formatFor } from '../../../src/store/replication/messages.js';

const build = (oldest: number, newest: number, level = oldest): Formats => ({ formats: { oldest, newest }, level });

describe('ranges of versions', () => {
  it('share the highest that both know', () => {
    assert.equal(commonVersion({ oldest: 1, newest: 3 }, { oldest: 2, newest: 4 }), 3);
    assert.equal(commonVersion({ oldest: 1, newest: 2 }, { oldest: 3, newest: 4 }), undefined);
    assert.deepEqual([rangeText({ oldest: 2, newest: 2 }), rangeText({ oldest: 1, newest: 2 })], ['2', '1–2']);
  });

  it('are read from what others say only when they are ranges', () => {
    assert.deepEqual(parseRange([1, 2]), { oldest: 1, newest: 2 });
    for (const wrong of [undefined, null, 1, [2, 1], [0, 1], ['1', '2'], [1], [1.5, 2], { oldest: 1, newest: 2 }])
      assert.equal(parseRange(wrong), undefined);
  });
});

describe('two builds', () => {
  it('work together when they share a format and both can read what the other writes', () => {
    assert.equal(formatRefusal(build(1, 1), build(1, 2)), undefined);
    assert.equal(formatRefusal(build(1, 2, 2), build(1, 2, 1)), undefined);
    assert.equal(formatRefusal(build(2, 3), build(1, 2)), undefined);
  });

  it('refuse each other alike, and each says who has to be upgraded', () => {
    const pairs = [
      [build(1, 2, 2), build(1, 1)],
      [build(3, 4), build(1, 2)],
    ] as const;
    for (const [newer, older] of pairs) {
      assert.match(formatRefusal(newer, older) ?? '', /: upgrade it/);
      assert.match(formatRefusal(older, newer) ?? '', /: upgrade this peer/);
    }
  });
});

describe('a message', () => {
  const message = { t: 'read', n: 1 } as const;

  it('is dropped in a format that this build does not know', () => {
    assert.deepEqual(decodeMessage(encodeMessage(message)), message);
    assert.equal(decodeMessage(encodeMessage(message, 99)), undefined);
  });

  it('is written in the first format for a peer whose build is not known, or newer than this one', () => {
    assert.equal(formatFor(undefined), 1);
    assert.equal(formatFor({ oldest: 1, newest: 99 }), 1);
  });
});

describe('a store on disk', () => {
  let directory: string;
  let disk: LevelDisk;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'skein-formats-'));
    disk = new LevelDisk(join(directory, 'store'));
    await disk.open();
  });
  afterEach(async () => {
    await disk.close();
    await rm(directory, { recursive: true, force: true });
  });

  it('of another build is refused whole, with a line that says what to do', async () => {
    for (const [format, text] of [
      [99, /the store has format 99, .* knows 1: start the data directory with the newer build/],
      [0, /a build in between first/],
    ] as const) {
      const note = { format, promised: START.epoch, base: START, applied: START, peers: [] };
      await disk.write([{ type: 'put', key: 'm/meta', value: seal(note) }], { sync: true });
      await assert.rejects(new ReplicaStorage(disk, true).load(new FrameLog()), (error) => {
        assert(error instanceof WrongFormat);
        assert.match(error.message, text);
        return true;
      });
    }
  });

  it('notes a newer format together with the first value that has it', async () => {
    const storage = new ReplicaStorage(disk, true);
    await storage.load(new FrameLog());
    storage.raise(99);
    await storage.appendFrames([{ type: 'put', key: 'l/1', value: seal({}, 99) }]);
    await assert.rejects(new ReplicaStorage(disk, true).load(new FrameLog()), WrongFormat);
  });
});
