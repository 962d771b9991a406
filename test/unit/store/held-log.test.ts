import assert from 'node:assert/strict';
import { createKindPolicies } from '../../../src/agent/kind-policies.js';
import { KindRegistry } from '../../../src/api/schema/registry.js';
import { systemClock } from '../../../src/base/clock.js';
import { silentLogger } from '../../../src/base/log.js';
import { seededRandom } from '../../../src/base/random.js';
import { START, type Frame } from '../../../src/store/log-entry.js';
import { HELD_LOG_BYTES, ReplicaState } from '../../../src/store/replication/replica-state.js';
import { ReplicaStorage } from '../../../src/store/replication/storage.js';
import { StampClock } from '../../../src/store/stamp.js';
import { SimDisk } from '../../../src/testing/sim-disk.js';

const MEBIBYTE = new Uint8Array(2 ** 20);
const LIMITS = { historyEvents: 100, logBytes: 4 * 2 ** 20, logFrames: 4, replies: 10 };

describe('a log that somebody needs', () => {
  let state: ReplicaState;
  const stamps = new StampClock('test', () => 1_700_000_000_000);

  beforeEach(async () => {
    const storage = new ReplicaStorage(new SimDisk(systemClock, seededRandom(1)).handle(), true);
    const policies = createKindPolicies(KindRegistry.load());
    const deps = { clock: systemClock, log: silentLogger, storage, policies, stamps };
    state = new ReplicaState(deps, { ...LIMITS, tombstoneRetentionMs: 86_400_000, flushDelayMs: 10 });
    await state.load();
  });

  /** So many frames of a MiB, applied and on disk: the log is trimmed. */
  async function write(frames: number): Promise<void> {
    for (let n = 0; n < frames; n++) {
      const revision = state.head.revision + 1;
      const metadata = { name: 'a', namespace: 'default', uid: 'a', resourceVersion: String(revision) };
      const value = JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata });
      const entry = { op: 'put', key: '/configmaps/default/a', value, revision, stamp: stamps.next() } as const;
      const frame: Frame = { epoch: { n: 1, leader: 'a' }, previous: state.head, entries: [entry], replies: [] };
      state.log.append(frame, MEBIBYTE);
    }
    state.commitUpTo(state.head.revision);
    await state.close();
  }

  it('is kept beyond its limits for as long as that lasts', async () => {
    state.neededFrom = () => 0;
    await write(20);
    assert.ok(state.log.has(START));
    assert.equal(state.log.length, 20);
    state.neededFrom = () => 18;
    await write(1);
    assert.equal(state.log.length, 4);
    state.neededFrom = () => Infinity;
    await write(1);
    assert.equal(state.log.length, 4);
  });

  it('is kept up to a limit all the same', async () => {
    state.neededFrom = () => 0;
    await write(100);
    assert.equal(state.log.bytes, LIMITS.logBytes + HELD_LOG_BYTES);
    assert.equal(state.log.has(START), false);
  });
});
