/** The replica of this peer, with the API's write pipeline as what its sequencer executes. */
import type { KindRegistry } from '../api/schema/registry.js';
import { createWritePipeline, type WritePipeline } from '../control/apiserver/pipeline.js';
import { DEFAULT_ADMISSION } from '../security/admission/default-plugins.js';
import type { NodeIdentity } from '../security/ca/identity-store.js';
import type { Disk } from '../store/disk.js';
import { HISTORY_LIMITS } from '../store/object-history.js';
import { DEFAULT_REPLICA_OPTIONS } from '../store/replication/context.js';
import { Replica } from '../store/replication/replica.js';
import type { ComponentBase } from './base.js';
import type { AgentConfig } from './config.js';
import { fencedExecutor } from './fencing.js';
import { warningExecutor } from './honesty.js';
import { createKindPolicies } from './kind-policies.js';
import { majorityExecutor } from './majority.js';
import { majorityState, withoutMajority } from './majority-state.js';
import { deadNodes } from './liveness.js';
import type { Meeting } from './mesh.js';
import { createPeerNetwork } from './peer-network.js';

/** Frames kept for peers that catch up; the limit in bytes is usually reached first. */
const LOG_FRAMES = 100_000;
/** Answers remembered for requests that are tried again. */
const REPLIES = 10_000;
/** Changed records wait so long before they are written, in milliseconds; the log has them already. */
const FLUSH_DELAY_MS = 100;

export interface Store {
  readonly replica: Replica;
  /** What the replica executes; to be reset when the sequencer changes. */
  readonly writes: WritePipeline;
}

export type StoreSettings = Pick<
  AgentConfig,
  | 'ack'
  | 'fsync'
  | 'historyEvents'
  | 'changesPerObject'
  | 'changesMegabytes'
  | 'conflictsKept'
  | 'conflictsMegabytes'
  | 'logMegabytes'
  | 'tombstoneRetentionHours'
  | 'tolerationSeconds'
>;

export function createStore(
  base: ComponentBase,
  config: StoreSettings,
  { identity, founded }: { readonly identity: Pick<NodeIdentity, 'serviceCidr'>; readonly founded: boolean },
  { transport, membership }: Meeting,
  registry: KindRegistry,
  disk: Disk,
): Store {
  const writes = createWritePipeline(
    { registry, random: base.random },
    {
      services: { ...DEFAULT_ADMISSION.services, serviceCidr: identity.serviceCidr },
      tolerations: { notReadySeconds: config.tolerationSeconds, unreachableSeconds: config.tolerationSeconds },
    },
  );
  const outOfReach = deadNodes(membership);
  const kinds = createKindPolicies(registry);
  const handicap = () => {
    const state = majorityState(replica.registry, replica.view?.voters ?? []);
    return state.held
      ? undefined
      : `${withoutMajority(state)}: Leases, StatefulSets and what is marked so stay as they are`;
  };
  const replica: Replica = new Replica(
    {
      ...base,
      disk,
      network: createPeerNetwork(transport, membership),
      policies: kinds,
      executor: fencedExecutor(
        majorityExecutor(warningExecutor(writes.executor, outOfReach, handicap), {
          policies: kinds,
          metrics: base.metrics,
          standing: () => replica.standing,
        }),
        () => replica.view,
      ),
    },
    {
      ...DEFAULT_REPLICA_OPTIONS,
      ack: config.ack,
      fsync: config.fsync,
      historyEvents: config.historyEvents,
      objectHistory: {
        ...HISTORY_LIMITS,
        changes: config.changesPerObject,
        totalBytes: config.changesMegabytes * 2 ** 20,
      },
      conflicts: { values: config.conflictsKept, bytes: config.conflictsMegabytes * 2 ** 20 },
      logBytes: config.logMegabytes * 2 ** 20,
      logFrames: LOG_FRAMES,
      replies: REPLIES,
      tombstoneRetentionMs: config.tombstoneRetentionHours * 3_600_000,
      flushDelayMs: FLUSH_DELAY_MS,
      mayFound: founded,
    },
  );
  return { replica, writes };
}
