/**
 * One peer's replica of the cluster's state: what it holds, whom it follows, and the `ObjectStore` that the API server sees.
 *
 * Its parts: `allegiance.ts` (which mode it is in), `election.ts` (how a group gets its sequencer), `following.ts` (applying
 * what the sequencer orders), `leading.ts` (being the sequencer), `requests.ts` (what this peer asks of it). This one puts
 * them together, hands each message to the part it is for, and carries them through start, failure and stop.
 */
import type { Clock } from '../../base/clock.js';
import type { Service } from '../../base/lifecycle.js';
import { errorText, type Logger } from '../../base/log.js';
import type { Metrics } from '../../base/metrics.js';
import { uuid, type Random } from '../../base/random.js';
import type { VersionRange } from '../../base/version-range.js';
import type { KubeObject } from '../../api/object.js';
import type { Disk } from '../disk.js';
import { FORMATS } from '../formats.js';
import type { KindPolicies } from '../kind-policy.js';
import type { ObjectPast } from '../object-history.js';
import type { Epoch, Position } from '../log-entry.js';
import type { ObjectRecord } from '../record.js';
import type { ObjectKey, ObjectStore, Revision, StoreWatcher, WriteExecutor, WriteReply } from '../object-store.js';
import { keyString, StoreUnavailable } from '../object-store.js';
import { StampClock } from '../stamp.js';
import { Allegiance, type ReplicaMode } from './allegiance.js';
import { conflictsIn, type MergeConflict, type MergeReport } from './conflict-log.js';
import type { PeerNetwork, ReplicaContext, ReplicaOptions } from './context.js';
import { Election } from './election.js';
import { Following } from './following.js';
import { Leading } from './leading.js';
import { decodeMessage, encodeMessage, formatFor, type Message, type SyncMessage } from './messages.js';
import { REGISTRY_OBJECT, type PeerRegistry, type Standing } from './peer-registry.js';
import { ServiceDesk } from './service-desk.js';
import { ReplicaState, type StateLimits } from './replica-state.js';
import { Requests } from './requests.js';
import { openStore, type StoreDamage } from './repair.js';
import { ReplicaStorage } from './storage.js';
import type { View } from './view.js';

export type { ReplicaMode };

export interface ReplicaDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly disk: Disk;
  readonly network: PeerNetwork;
  readonly policies: KindPolicies;
  readonly executor: WriteExecutor;
  /** What another build than this one knows, which is tried out; `FORMATS` unless told. */
  readonly formats?: VersionRange;
}

export interface ReplicaSettings extends ReplicaOptions, StateLimits {
  /** Force every acknowledged frame through to the medium. */
  readonly fsync: boolean;
  /** An empty replica may found the state; false for one that joins a cluster. */
  readonly mayFound: boolean;
}

export interface ReplicaListener {
  /** The view changed; undefined while there is no sequencer. */
  onView?(view: View | undefined): void;
  onMerge?(report: MergeReport): void;
  /** The disk failed: the replica has stopped taking part. */
  onFailure?(error: unknown): void;
}

/** Everything as of one revision; records are immutable. */
export interface StoreSnapshot {
  readonly revision: Revision;
  readonly epoch: Epoch;
  readonly records: readonly ObjectRecord[];
}

export class Replica implements Service, ObjectStore {
  readonly name = 'replica';
  private readonly state: ReplicaState;
  private readonly storage: ReplicaStorage;
  private readonly allegiance: Allegiance;
  private readonly election: Election;
  private readonly following: Following;
  private readonly leading: Leading;
  private readonly requests: Requests;
  private readonly desk: ServiceDesk;
  private readonly listeners: ReplicaListener[] = [];
  private stopping: (() => void)[] = [];
  private stopped = true;
  /** Why the disk takes nothing at present. */
  private diskWaits: Error | undefined;
  private damage: StoreDamage | undefined;

  constructor(
    private readonly deps: ReplicaDeps,
    private readonly settings: ReplicaSettings,
  ) {
    const { clock, network } = deps;
    const stamps = new StampClock(`${network.self} ${uuid(deps.random)}`, () => clock.nowMs());
    const formats = deps.formats ?? FORMATS;
    this.storage = new ReplicaStorage(deps.disk, settings.fsync, formats);
    this.state = new ReplicaState({ ...deps, storage: this.storage, stamps }, settings);
    const context: ReplicaContext = {
      ...deps,
      self: network.self,
      options: settings,
      state: this.state,
      storage: this.storage,
      stamps,
      send: (to, message) =>
        !this.stopped && network.send(to, encodeMessage(message, formatFor(network.formatsOf(to), formats))),
      alive: () => network.alive(),
      nameOf: (peer) => network.nameOf(peer),
      formatsOf: (peer) => network.formatsOf(peer),
      onMerge: (report) => this.listeners.forEach((listener) => listener.onMerge?.(report)),
    };
    const allegiance = new Allegiance(context, settings.mayFound, {
      onLeave: () => this.leaveMode(),
      onView: () => this.notifyView(),
      onSequencer: () => this.requests.retry(),
      onFailure: (error) => this.fail(error),
    });
    this.allegiance = allegiance;
    this.following = new Following(context, allegiance);
    this.leading = new Leading(context, allegiance, (component) => this.election.stand(component));
    this.election = new Election(context, allegiance, (epoch, heads, takesIn) => {
      this.leading.begin(epoch, heads, takesIn);
      this.requests.retry();
    });
    this.requests = new Requests(context, allegiance);
    this.desk = new ServiceDesk(context, () => allegiance.reign);
  }

  // ---- Service

  async start(): Promise<void> {
    const { allegiance, storage } = this;
    const { disk, policies, log, network } = this.deps;
    disk.onWaiting?.((why) => this.onDiskWaiting(why));
    const load = () => this.state.load();
    const { fresh, damage } = await openStore({ disk, policies, log, storage, self: network.self }, load);
    this.damage = damage;
    allegiance.start();
    // What is here stands for nothing before the others have given it everything.
    if (storage.current.rebuilding) allegiance.mayFound = false;
    else if (!fresh && storage.current.peers.length > 0) allegiance.mayFound = true;
    this.stopped = false;
    this.election.start();
    this.state.onFailure((error) => this.fail(error));
    this.stopping = [
      network.onMessage((from, bytes) => this.receive(from, bytes)),
      network.onChange(() => this.onAliveChange()),
      this.deps.clock.interval(this.settings.tickMs, () => this.tick()),
    ];
    allegiance.broadcastState();
    this.evaluate();
  }

  async stop(): Promise<void> {
    if (this.stopped) return;
    this.detach();
    await this.state.close();
    await this.deps.disk.close();
  }

  subscribe(listener: ReplicaListener): () => void {
    this.listeners.push(listener);
    listener.onView?.(this.view);
    return () => {
      this.listeners.splice(this.listeners.indexOf(listener), 1);
    };
  }

  /** The view this peer takes part in; undefined while it has no sequencer. */
  get view(): View | undefined {
    return this.allegiance.view;
  }

  /** The sequencer's peer id; empty without one. */
  get leader(): string {
    return this.allegiance.leader;
  }

  get currentMode(): ReplicaMode {
    return this.allegiance.mode;
  }

  /** The peers that belong to the cluster for good, as this peer knows them; undefined before it knows any. */
  get registry(): PeerRegistry | undefined {
    return this.get(REGISTRY_OBJECT) as PeerRegistry | undefined;
  }

  /** The format in which the log and records are written; see `formats.ts`. */
  get level(): number {
    return this.state.level;
  }

  /** Undefined unless this peer is the sequencer. */
  get standing(): Standing | undefined {
    return this.allegiance.reign?.standing;
  }

  /** What was wrong with the store when this run began. */
  get storeDamage(): StoreDamage | undefined {
    return this.damage;
  }

  /** Why nothing can be written here at present: the disk is full. */
  get diskTrouble(): string | undefined {
    return this.diskWaits?.message;
  }

  /** For a backup. Costs a reference for each record. */
  snapshot(): StoreSnapshot {
    const { applied, table } = this.state;
    return { revision: applied.revision, epoch: applied.epoch, records: [...table.allRecords()] };
  }

  /** Where this peer's log ends, and what it has promised: for status and tests. */
  get position(): { readonly head: Position; readonly applied: Position; readonly promised: Epoch } {
    return { head: this.state.head, applied: this.state.applied, promised: this.allegiance.promised };
  }

  // ---- ObjectStore

  get revision(): Revision {
    return this.state.applied.revision;
  }

  get(key: ObjectKey): KubeObject | undefined {
    return this.state.table.get(keyString(key));
  }

  /** What this peer remembers of the object's changes. */
  past(key: ObjectKey): ObjectPast {
    const { history, table } = this.state;
    const name = keyString(key);
    const record = table.record(name);
    return {
      changes: history.changesOf(name),
      reach: history.reachOf(record, name),
      at: (moment) => history.stateAt(record, name, moment),
    };
  }

  /** What merges overrode, the oldest first, as far as it is kept. */
  get conflicts(): readonly MergeConflict[] {
    return conflictsIn(this);
  }

  list(group: string, resource: string, namespace?: string): readonly KubeObject[] {
    return this.state.table.list(group, resource, namespace);
  }

  watch(
    group: string,
    resource: string,
    namespace: string | undefined,
    from: Revision,
    watcher: StoreWatcher,
  ): () => void {
    return this.state.table.watch(group, resource, namespace, from, watcher);
  }

  async barrier(signal?: AbortSignal): Promise<Revision> {
    // Alone, this peer still knows what is newest.
    if (this.diskWaits && this.allegiance.mode !== 'leading') throw this.withoutRoom(this.diskWaits);
    const untilMs = this.deps.clock.monotonicMs() + this.settings.requestMs;
    const revision = await this.requests.readRevision();
    if (this.revision < revision) await this.catchUp(revision, untilMs, signal);
    return revision;
  }

  private async catchUp(revision: Revision, untilMs: number, signal: AbortSignal | undefined): Promise<void> {
    const { clock } = this.deps;
    const late = new AbortController();
    const cancel = clock.timer(Math.max(0, untilMs - clock.monotonicMs()), () =>
      late.abort(new StoreUnavailable('this peer did not catch up in time', true)),
    );
    try {
      await this.state.waitFor(revision, signal ? AbortSignal.any([signal, late.signal]) : late.signal);
    } finally {
      cancel();
    }
  }

  waitFor(revision: Revision, signal: AbortSignal): Promise<void> {
    return this.state.waitFor(revision, signal);
  }

  write(id: string, request: unknown): Promise<WriteReply> {
    if (this.diskWaits) return Promise.reject(this.withoutRoom(this.diskWaits));
    return this.requests.write(id, request);
  }

  // ---- what moves it

  /** Level-triggered: looks at everything known and takes the next step, if there is one. */
  private evaluate(): void {
    if (this.stopped || this.leaveForWantOfRoom()) return;
    switch (this.allegiance.mode) {
      case 'leading':
        this.leading.tend();
        return;
      case 'following':
        this.following.checkLeader();
        return;
      case 'candidate':
        this.election.check();
        return;
      case 'idle':
        this.election.consider();
        return;
    }
  }

  /**
   * A peer that cannot write would keep the others waiting, so it leaves them, and neither promises nor stands until there is
   * room. Alone it goes on as far as it can: reads are answered, writes refused. True while it has no part in anything.
   */
  private leaveForWantOfRoom(): boolean {
    const { allegiance, deps } = this;
    if (!this.diskWaits) return false;
    if (allegiance.mode === 'leading' && deps.network.alive().length === 1) return false;
    if (allegiance.mode !== 'idle') allegiance.becomeIdle('the disk is full');
    return true;
  }

  private withoutRoom(why: Error): StoreUnavailable {
    return new StoreUnavailable(`${why.message} of this peer: it takes part again when there is`, true);
  }

  private onDiskWaiting(why: Error | undefined): void {
    const { log, metrics } = this.deps;
    metrics
      .gauge('skein_store_waiting', '1 while the disk of the store is full and nothing can be written')
      .set(why ? 1 : 0);
    this.diskWaits = why;
    if (why) log.error('the disk is full: nothing can be written until there is room', { error: errorText(why) });
    else log.info('there is room on the disk again');
    this.evaluate();
  }

  private tick(): void {
    this.allegiance.tick();
    this.allegiance.reign?.tick();
    this.evaluate();
    this.requests.retry();
  }

  private onAliveChange(): void {
    this.allegiance.onAliveChange();
    this.evaluate();
    this.requests.retry();
  }

  private receive(from: string, bytes: Uint8Array): void {
    if (this.stopped) return;
    const message = decodeMessage(bytes, this.storage.formats);
    if (!message) {
      this.deps.log.warn('dropped a message that could not be read', { from });
      return;
    }
    this.handle(from, message);
  }

  private handle(from: string, message: Message): void {
    const { election, following, leading } = this;
    switch (message.t) {
      case 'state':
        this.allegiance.onState(from, message.state);
        this.evaluate();
        return;
      case 'prepare':
        if (this.diskWaits) return;
        election.onPrepare(from, message);
        return;
      case 'promise':
        if (!leading.onPromise(from, message.epoch, message.head)) {
          election.onPromise(from, message.epoch, message.head);
        }
        return;
      case 'refuse':
        this.allegiance.onRefused(from, message.promised, message.state);
        if (!election.onRefuse(from, message)) leading.onRefuse(message);
        return;
      case 'stand':
        if (this.diskWaits) return;
        election.onStand(message.epoch);
        return;
      case 'view':
        following.onView(from, message.view, message.commit);
        return;
      case 'append':
        following.onAppend(from, message);
        return;
      case 'ack':
        leading.onAck(from, message.epoch, message.position);
        return;
      case 'nack':
        leading.onNack(from, message);
        return;
      case 'commit':
        following.onCommit(from, message.epoch, message.revision);
        return;
      case 'write':
        this.desk.onWrite(from, message);
        return;
      case 'reply':
        this.requests.onReply(from, message);
        return;
      case 'read':
        this.desk.onRead(from, message.n);
        return;
      case 'read-at':
        this.requests.onReadAt(from, message.n, message.revision);
        return;
      case 'sync-start':
      case 'sync-digest':
      case 'sync-narrow':
      case 'sync-leaves':
      case 'sync-differ':
      case 'sync-offer':
      case 'sync-more':
      case 'sync-install':
        this.onSync(from, message);
    }
  }

  /** A sequencer is asked, a follower told; either asks the other for more. */
  private onSync(from: string, message: SyncMessage): void {
    const { mode, following } = this.allegiance;
    if (mode === 'leading') this.leading.onSync(from, message);
    else if (mode === 'following' && following === from) this.following.onSync(from, message);
  }

  private leaveMode(): void {
    this.election.cancel();
    this.leading.abdicate();
    this.following.cancelSync();
  }

  private notifyView(): void {
    for (const listener of this.listeners) listener.onView?.(this.view);
  }

  private detach(): void {
    this.stopped = true;
    for (const stop of this.stopping) stop();
    this.stopping = [];
    this.leaveMode();
    this.requests.stop();
  }

  /** A disk that fails ends this replica's part: it could not keep another promise. */
  private fail(error: unknown): void {
    if (this.stopped) return;
    this.deps.log.error('the disk failed: leaving the cluster', { error: errorText(error) });
    // So that its followers need not wait for its heartbeats to end.
    this.allegiance.becomeIdle('the disk failed');
    this.detach();
    for (const listener of this.listeners) listener.onFailure?.(error);
  }
}
