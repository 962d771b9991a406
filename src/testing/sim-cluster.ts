/**
 * A whole simulated cluster: each peer with its own skewed clock, transport, disk, the real membership, the real replica and
 * the real write path of the API. Peers crash, lose power, restart, freeze and get cut off; their disks outlive them.
 *
 * Everything runs on one `SimClock` and seeded randomness, so a run depends on nothing but its seed.
 */
import { Gate, Gatekeeper } from '../agent/gate.js';
import { createKindPolicies } from '../agent/kind-policies.js';
import { majorityExecutor } from '../agent/majority.js';
import { createPeerNetwork } from '../agent/peer-network.js';
import { KindRegistry } from '../api/schema/registry.js';
import type { Cancel } from '../base/clock.js';
import { deferred } from '../base/deferred.js';
import { silentLogger, type LogFields, type Logger } from '../base/log.js';
import type { Service } from '../base/lifecycle.js';
import { noMetrics } from '../base/metrics.js';
import { seededRandom, type Random } from '../base/random.js';
import type { VersionRange } from '../base/version-range.js';
import { createWritePipeline } from '../control/apiserver/pipeline.js';
import { Membership } from '../p2p/membership.js';
import type { PeerId, Transport } from '../p2p/transport.js';
import type { DocumentLimits } from '../store/crdt/document.js';
import type { Disk } from '../store/disk.js';
import { FORMATS } from '../store/formats.js';
import type { KindPolicies, KindPolicy } from '../store/kind-policy.js';
import { DEFAULT_REPLICA_OPTIONS } from '../store/replication/context.js';
import { Replica, type ReplicaSettings } from '../store/replication/replica.js';
import { admissionOf } from './sim-admission.js';
import { SimClock, type PeerClock } from './sim-clock.js';
import { SimDisk, type SimDiskOptions } from './sim-disk.js';
import { sharedDocuments } from './sim-documents.js';
import { SimNetwork, type LinkOptions } from './sim-network.js';
import type { SimTransport } from './sim-transport.js';

/** What a machine gives a process of its own. */
export interface ProcessParts {
  readonly id: PeerId;
  readonly clock: PeerClock;
  readonly random: Random;
  readonly log: Logger;
  readonly transport: SimTransport;
  readonly disk: Disk;
  readonly mayFound: boolean;
  /** Whom the transport talks to. */
  readonly gate: Gate;
  /** What the build knows. */
  readonly formats: VersionRange;
  /** The cluster removed this machine: its process has to end. */
  readonly onRemoved: () => void;
}

export interface SimProcess {
  readonly membership: Membership;
  readonly replica: Replica;
  /** What runs beside the replica, in the order to start it once the replica has loaded its disk. */
  readonly services: readonly Service[];
}

export interface SimClusterOptions {
  readonly seed: number;
  readonly peers: number;
  /** How links behave. */
  readonly link?: Partial<LinkOptions>;
  /** Differences from the default settings of every replica. */
  readonly settings?: Partial<ReplicaSettings>;
  /** When documents are squashed, if not as usual. */
  readonly documentLimits?: DocumentLimits;
  /** False: every peer works on its documents itself, instead of sharing what is the same for all (see `sharedDocuments`). */
  readonly shareDocuments?: boolean;
  /** How disks behave. */
  readonly disk?: Partial<SimDiskOptions>;
  /** False: whoever is asked writes, with or without a majority. Breaks a promise, to see that a test notices. */
  readonly holdsMajorityOnly?: boolean;
  /** What of the kinds' policies is otherwise. Breaks promises, to see that a test notices. */
  readonly policy?: (group: string, resource: string, policy: KindPolicy) => KindPolicy;
  /** What others see of each replica, if not the replica itself. Breaks promises, to see that a test notices. */
  readonly disguise?: (replica: Replica, peer: PeerId) => Replica;
  /** False: peers go on with those that were removed. Breaks a promise, to see that a test notices. */
  readonly keepsGate?: boolean;
  /** What runs on each machine: membership, replica and write path unless told. */
  readonly process?: (parts: ProcessParts) => SimProcess;
  /** Gets each peer's log lines with the virtual time and the peer's id. */
  readonly onLog?: (ms: number, peer: string, level: string, message: string, fields?: LogFields) => void;
}

/** Small limits, so that trimming and collecting happen within a history. */
export const SIM_SETTINGS: ReplicaSettings = {
  ...DEFAULT_REPLICA_OPTIONS,
  historyEvents: 10_000,
  logBytes: 4 << 20,
  logFrames: 10_000,
  replies: 10_000,
  tombstoneRetentionMs: 24 * 3_600_000,
  flushDelayMs: 100,
  sliceRecords: 8,
  fsync: true,
  mayFound: false,
};

/** One life of a peer's process, from its start to its end. */
export interface Life {
  readonly number: number;
  readonly clock: PeerClock;
  readonly transport: Transport;
  readonly membership: Membership;
  readonly replica: Replica;
  readonly services: readonly Service[];
  /** Resolves when the process is gone. */
  readonly gone: Promise<void>;
  readonly end: () => void;
}

/** What every cluster of a process shares: loading it takes longer than a history. */
let shared: { readonly registry: KindRegistry; readonly policies: KindPolicies } | undefined;

function sharedKinds() {
  if (!shared) {
    const registry = KindRegistry.load();
    shared = { registry, policies: createKindPolicies(registry) };
  }
  return shared;
}

/** The policies of one cluster: one set for all its peers, as `options` want documents. */
function policiesOf(options: SimClusterOptions): KindPolicies {
  const { policies } = sharedKinds();
  const known = new Map<KindPolicy, KindPolicy>();
  const documents = options.shareDocuments === false ? {} : { documents: sharedDocuments() };
  const limits = options.documentLimits ? { documentLimits: options.documentLimits } : {};
  return {
    ...policies,
    policyOf(group, resource) {
      const usual = policies.policyOf(group, resource);
      const present = known.get(usual);
      if (present) return present;
      const policy = usual.merge === 'document' ? { ...usual, ...documents, ...limits } : usual;
      const shown = options.policy?.(group, resource, policy) ?? policy;
      known.set(usual, shown);
      return shown;
    },
  };
}

/** The replica with the write path of the API, and nothing else. */
function replicaProcess(parts: ProcessParts, options: SimClusterOptions, own: KindPolicies): SimProcess {
  const { registry, policies } = sharedKinds();
  const { clock, random, log, transport, disk, mayFound, gate, formats } = parts;
  const membership = new Membership({ clock, log }, transport);
  const { executor } = createWritePipeline({ registry, random });
  const replica: Replica = new Replica(
    {
      clock,
      random,
      log,
      metrics: noMetrics,
      disk,
      formats,
      network: createPeerNetwork(transport, membership, formats),
      policies: own,
      executor:
        options.holdsMajorityOnly === false
          ? executor
          : majorityExecutor(executor, { policies, metrics: noMetrics, standing: () => replica.standing }),
    },
    { ...SIM_SETTINGS, ...options.settings, mayFound },
  );
  const gatekeeper = new Gatekeeper(parts, gate, { transport, membership }, replica, parts.onRemoved);
  return {
    membership,
    replica: options.disguise?.(replica, parts.id) ?? replica,
    services: options.keepsGate === false ? [] : [gatekeeper],
  };
}

export class SimPeer {
  readonly disk: SimDisk;
  life: Life | undefined;
  /** The disk failed, and the replica left by itself. */
  failed = false;
  /** Its process ended because it found itself removed from the cluster. */
  removed = false;
  /** What the build knows that is started next. */
  formats: VersionRange = FORMATS;
  private lives = 0;
  private readonly random: Random;
  /** Wall clock against true time; survives restarts, as a machine's clock does. */
  offsetMs: number;

  constructor(
    readonly id: PeerId,
    private readonly cluster: SimCluster,
    seed: number,
  ) {
    this.random = seededRandom(seed);
    this.disk = new SimDisk(cluster.clock, this.random, { writeMs: 0.2, ...cluster.options.disk });
    this.offsetMs = this.random.int(200) - 100;
  }

  get isUp(): boolean {
    return this.life !== undefined;
  }

  /** The running replica; throws while the peer is down. */
  get replica(): Replica {
    if (!this.life) throw new Error(`${this.id} is down`);
    return this.life.replica;
  }

  /** Starts a new process on the same disk. Resolves when the replica has loaded its disk; rejects when it cannot use it. */
  async start(mayFound = false): Promise<void> {
    if (this.life) throw new Error(`${this.id} is running`);
    const { cluster, id, random, formats } = this;
    const clock = cluster.clock.skewed(this.offsetMs, 1 + (random.next() - 0.5) / 500);
    const log = cluster.logger(id);
    const gate = new Gate(formats);
    const transport = cluster.network.transport({ id, name: id, addresses: [], formats }, admissionOf(gate));
    const onRemoved = () => {
      if (this.life !== life) return;
      this.removed = true;
      this.crash();
    };
    const disk = this.disk.handle();
    const parts = { id, clock, random, log, transport, disk, mayFound, gate, formats, onRemoved };
    const { options } = cluster;
    const process = options.process?.(parts) ?? replicaProcess(parts, options, cluster.policies);
    const { membership, replica } = process;
    const ended = deferred();
    const life: Life = {
      number: ++this.lives,
      clock,
      transport,
      ...process,
      gone: ended.promise,
      end: () => ended.resolve(),
    };
    this.life = life;
    this.failed = false;
    replica.subscribe({ onFailure: () => void (this.failed ||= this.life === life) });
    await transport.start();
    await membership.start();
    for (const service of [replica, ...life.services]) {
      try {
        await Promise.race([service.start(), life.gone]);
      } catch (error) {
        if (this.life === life) this.crash();
        throw error;
      }
      if (this.life !== life) return;
    }
    cluster.onStart?.(this, life);
  }

  /** `kill -9`, or with `powerLoss` the plug; `silent`: nobody is told that the connections are gone. */
  crash(options: { readonly powerLoss?: boolean; readonly silent?: boolean } = {}): void {
    const { life } = this;
    if (!life) return;
    this.life = undefined;
    life.clock.halt();
    this.cluster.network.crash(this.id, { silent: options.silent ?? options.powerLoss ?? false });
    this.disk.crash({ powerLoss: options.powerLoss ?? false });
    life.end();
  }

  /** Ends the process in order, as SIGTERM does. */
  async stop(): Promise<void> {
    const { life } = this;
    if (!life) return;
    this.life = undefined;
    for (const service of life.services.toReversed()) await service.stop();
    await life.replica.stop();
    await life.membership.stop();
    await life.transport.stop();
    life.clock.halt();
    life.end();
  }

  /** Stops the process for a while, as SIGSTOP and SIGCONT do. */
  freeze(ms: number): void {
    this.life?.clock.freeze(ms);
    this.cluster.network.freeze(this.id, ms);
  }

  /** Moves the machine's wall clock. */
  jump(ms: number): void {
    this.offsetMs += ms;
    this.life?.clock.jump(ms);
  }
}

export class SimCluster {
  readonly clock = new SimClock();
  readonly random: Random;
  readonly network: SimNetwork;
  /** The machines that belong to the cluster. */
  readonly peers: SimPeer[];
  private made = 0;
  /** @internal */
  readonly policies: KindPolicies;
  /** Called when a peer's process has loaded its disk. */
  onStart: ((peer: SimPeer, life: Life) => void) | undefined;

  constructor(readonly options: SimClusterOptions) {
    this.random = seededRandom(options.seed);
    this.policies = policiesOf(options);
    const network = { clock: this.clock, random: this.random };
    this.network = new SimNetwork(options.link ? { ...network, link: options.link } : network);
    this.peers = [];
    for (let i = 0; i < options.peers; i++) this.enlist();
  }

  /** One more machine; it joins the cluster when it is started. */
  enlist(): SimPeer {
    const i = this.made++;
    const peer = new SimPeer(`p${i}` as PeerId, this, this.options.seed * 131 + i + 1);
    this.peers.push(peer);
    return peer;
  }

  /** A machine is gone for good. */
  dismiss(peer: SimPeer): void {
    peer.crash();
    this.peers.splice(this.peers.indexOf(peer), 1);
  }

  /** Founds the cluster on the first peer and starts the others; resolves when one view holds them all as voters. */
  async found(limitMs = 15_000): Promise<void> {
    await this.until(Promise.all(this.peers.map((peer, i) => peer.start(i === 0))));
    await this.clock.run(() => this.isWhole(), { limitMs, what: `seed ${this.options.seed}: founding` });
  }

  get up(): readonly SimPeer[] {
    return this.peers.filter((peer) => peer.isUp);
  }

  /** The peer that leads; the one with the highest epoch if several do. */
  get leader(): SimPeer | undefined {
    const leading = this.up.filter(({ replica }) => replica.currentMode === 'leading');
    return leading.toSorted((a, b) => (b.replica.view?.epoch.n ?? 0) - (a.replica.view?.epoch.n ?? 0))[0];
  }

  /** All peers (or those given) are up and voters of one and the same view. */
  isWhole(peers: readonly SimPeer[] = this.peers): boolean {
    const [first] = peers;
    const view = first?.life?.replica.view;
    if (!view || view.voters.length !== peers.length) return false;
    return peers.every(({ life }) => {
      const other = life?.replica.view;
      return (
        other?.version === view.version && other.epoch.n === view.epoch.n && other.epoch.leader === view.epoch.leader
      );
    });
  }

  /** Everybody is up and knows everybody to be alive, so that whoever dies leaves no two that never met. */
  isMeshed(): boolean {
    return this.peers.every(({ life }) => life?.membership.alive().length === this.peers.length);
  }

  /** Whole, and everybody has applied everything. */
  isSettled(peers: readonly SimPeer[] = this.peers): boolean {
    if (!this.isWhole(peers)) return false;
    const positions = peers.map(({ replica }) => replica.position);
    const head = JSON.stringify(positions[0]?.head);
    return positions.every(({ head: h, applied }) => JSON.stringify(h) === head && JSON.stringify(applied) === head);
  }

  /** Runs virtual time until the promise is settled. */
  async until<T>(promise: Promise<T>, limitMs = 60_000, what = 'a promise'): Promise<T> {
    let settled = false;
    promise.then(
      () => (settled = true),
      () => (settled = true),
    );
    await this.clock.run(() => settled, { limitMs, what: `seed ${this.options.seed}: ${what}` });
    return promise;
  }

  /** Calls `fn` every `ms` of true time. */
  every(ms: number, fn: () => void): Cancel {
    return this.clock.interval(ms, fn);
  }

  /** @internal */
  logger(peer: string): Logger {
    const { onLog } = this.options;
    if (!onLog) return silentLogger;
    const at = (level: string) => (message: string, fields?: LogFields) =>
      onLog(this.clock.monotonicMs(), peer, level, message, fields);
    const logger: Logger = {
      debug: () => undefined,
      info: at('info'),
      warn: at('warn'),
      error: at('error'),
      child: () => logger,
    };
    return logger;
  }
}
