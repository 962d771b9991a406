/** One replica on a real disk, for what happens to disks. As a program, it writes until it is killed and says what is acknowledged. */
import { systemClock } from '../../../src/base/clock.js';
import { silentLogger, type Logger } from '../../../src/base/log.js';
import { noMetrics } from '../../../src/base/metrics.js';
import { systemRandom } from '../../../src/base/random.js';
import type { KindPolicies } from '../../../src/store/kind-policy.js';
import { GENERIC_LAYOUT } from '../../../src/store/crdt/shape.js';
import { LevelDisk } from '../../../src/store/level-disk.js';
import type { ObjectKey, WriteExecutor } from '../../../src/store/object-store.js';
import { DEFAULT_REPLICA_OPTIONS, type PeerNetwork } from '../../../src/store/replication/context.js';
import { Replica } from '../../../src/store/replication/replica.js';

export const keyOf = (name: string): ObjectKey => ({ group: '', resource: 'configmaps', namespace: 'default', name });

const policies: KindPolicies = {
  policyOf: () => ({ merge: 'register', layout: GENERIC_LAYOUT, tombstones: true }),
};

/** A write is a name and a text. */
const executor: WriteExecutor = (transaction, request) => {
  const { name, text } = request as { name: string; text: string };
  const metadata = { name, namespace: 'default', uid: name };
  return { code: 200, body: transaction.put(keyOf(name), { metadata, data: { text } } as never), warnings: [] };
};

export interface LoneOptions {
  readonly mayFound?: boolean;
  readonly self?: string;
  readonly log?: Logger;
}

export function makeReplica(
  path: string,
  { mayFound = true, self = 'a', log = silentLogger }: LoneOptions = {},
): Replica {
  const network: PeerNetwork = {
    self,
    send: () => false,
    onMessage: () => () => undefined,
    alive: () => [self],
    nameOf: (peer) => peer,
    formatsOf: () => undefined,
    onChange: () => () => undefined,
  };
  const disk = new LevelDisk(path);
  return new Replica(
    { clock: systemClock, random: systemRandom, log, metrics: noMetrics, disk, network, policies, executor },
    {
      ...DEFAULT_REPLICA_OPTIONS,
      bootGraceMs: 0,
      gatherMs: 100,
      requestMs: 20_000,
      historyEvents: 1000,
      logBytes: 1 << 16,
      logFrames: 100,
      replies: 1000,
      tombstoneRetentionMs: 86_400_000,
      flushDelayMs: 5,
      fsync: true,
      mayFound,
    },
  );
}

let ids = 0;
export async function put(replica: Replica, name: string, text: string): Promise<void> {
  const { code } = await replica.write(`${process.pid}-${ids++}`, { name, text });
  if (code !== 200) throw new Error(`the write was answered with ${code}`);
}

export function textOf(replica: Replica, name: string): string | undefined {
  const object = replica.get(keyOf(name)) as { data?: { text?: string } } | undefined;
  return object?.data?.text;
}

/** `lone-replica.ts PATH FIRST`: prints a number once its write is acknowledged. */
async function writeUntilKilled(path: string, first: number): Promise<void> {
  const replica = makeReplica(path);
  await replica.start();
  for (let n = first; ; n++) {
    // Several at once, so that some are always on their way.
    await Promise.all(['x', 'y', 'z'].map((name) => put(replica, `${name}${n % 40}`, `${n} ${'.'.repeat(n % 3000)}`)));
    process.stdout.write(`${n}\n`);
  }
}

const [, program = '', path, first] = process.argv;
if (program.endsWith('lone-replica.ts') && path !== undefined) await writeUntilKilled(path, Number(first));
