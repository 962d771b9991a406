/** The replica of this peer, with the API's write pipeline as what its sequencer executes. */
import { join } from 'node:path';
import type { Service } from '../base/lifecycle.js';
import type { KindRegistry } from '../api/schema/registry.js';
import { createKindFollower } from '../control/apiserver/customresources/kind-follower.js';
import { createPolicyPlugins } from '../control/apiserver/webhooks/index.js';
import { createWriteExecutor } from '../control/apiserver/writes/executor.js';
import { ServiceFollower } from '../control/apiserver/writes/service-follower.js';
import type { AdmissionChain } from '../security/admission/admission.js';
import { createDefaultAdmission, DEFAULT_ADMISSION } from '../security/admission/default-plugins.js';
import { NO_OPINION, type Authorizer } from '../security/authz/authorizer.js';
import { LevelDisk } from '../store/level-disk.js';
import { DEFAULT_REPLICA_OPTIONS } from '../store/replication/context.js';
import { Replica } from '../store/replication/replica.js';
import type { AgentBase } from './base.js';
import type { AgentConfig } from './config.js';
import { fencedExecutor } from './fencing.js';
import { warningExecutor } from './honesty.js';
import type { Enrolment } from './identity.js';
import { createKindPolicies } from './kind-policies.js';
import { majorityExecutor, majorityState, withoutMajority } from './majority.js';
import { deadNodes } from './liveness.js';
import type { Mesh } from './mesh.js';
import { createPeerNetwork } from './peer-network.js';

/** Frames kept for peers that catch up; the limit in bytes is usually reached first. */
const LOG_FRAMES = 100_000;
/** Answers remembered for requests that are tried again. */
const REPLIES = 10_000;
/** Changed records wait so long before they are written, in milliseconds; the log has them already. */
const FLUSH_DELAY_MS = 100;

const NOBODY: Authorizer = { authorize: () => NO_OPINION };

export interface Store {
  readonly replica: Replica;
  /** Registers custom resources' kinds as their definitions are applied. */
  readonly kindFollower: Service;
  /** To be reset when the sequencer changes. */
  readonly serviceFollower: ServiceFollower;
  /** For rehearsals of writes, which must not touch what the sequencer's plugins remember. */
  readonly rehearsalAdmission: AdmissionChain;
  /** Who decides what the expressions of admission policies ask; nothing is allowed before. */
  useAuthorizer(authorizer: Authorizer): void;
}

export function createStore(
  base: AgentBase,
  config: AgentConfig,
  { identity, founded }: Enrolment,
  { transport, membership }: Mesh,
  registry: KindRegistry,
): Store {
  let authorizer: Authorizer = NOBODY;
  const policies = createPolicyPlugins(registry, () => authorizer);
  const createAdmission = () =>
    createDefaultAdmission(
      base,
      {
        services: { ...DEFAULT_ADMISSION.services, serviceCidr: identity.serviceCidr },
        tolerations: { notReadySeconds: config.tolerationSeconds, unreachableSeconds: config.tolerationSeconds },
      },
      policies,
    );
  const admission = createAdmission();
  const executor = createWriteExecutor({ registry, random: base.random, admission: admission.chain });
  const outOfReach = () => [...deadNodes(membership)];
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
      disk: new LevelDisk(join(config.dataDir, 'store')),
      network: createPeerNetwork(transport, membership),
      policies: kinds,
      executor: fencedExecutor(
        majorityExecutor(warningExecutor(executor, outOfReach, handicap), {
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
      logBytes: config.logMegabytes * 2 ** 20,
      logFrames: LOG_FRAMES,
      replies: REPLIES,
      tombstoneRetentionMs: config.tombstoneRetentionHours * 3_600_000,
      flushDelayMs: FLUSH_DELAY_MS,
      mayFound: founded,
    },
  );
  return {
    replica,
    kindFollower: createKindFollower(replica, registry),
    serviceFollower: new ServiceFollower(replica, admission.services),
    rehearsalAdmission: createAdmission().chain,
    useAuthorizer: (given) => {
      authorizer = given;
    },
  };
}
