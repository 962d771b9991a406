/**
 * One peer's replica of the cluster's state: the state machine that decides whom it follows, and the `ObjectStore` that the
 * API server sees.
 *
 * | mode | meaning | leaves when |
 * |---|---|---|
 * | idle | no sequencer | one invites it, or it is its turn to stand |
 * | candidate | asked the living peers for their promise | enough answered, or somebody with a higher claim asks |
 * | leading | is the sequencer | a higher epoch shows up |
 * | following | promised an epoch | its sequencer dies, or a higher claim asks |
 *
 * Any group of peers that reach each other gets a sequencer, down to a single one; when two groups meet, the larger takes
 * the other in (`compareComponents`), object by object (`sync-server.ts`). A peer only ever obeys the highest epoch it
 * promised, and the promise is on disk before it is given.
 */
import type { Clock } from '../../base/clock.js';
import type { Service } from '../../base/lifecycle.js';
import { errorText, type Logger } from '../../base/log.js';
import type { Metrics } from '../../base/metrics.js';
import { uuid, type Random } from '../../base/random.js';
import type { KubeObject } from '../../api/object.js';
import { DiskCorrupt, type Disk } from '../disk.js';
import type { KindPolicies } from '../kind-policy.js';
import type { ObjectPast } from '../object-history.js';
import { compareEpochs, NO_EPOCH, sameEpoch, samePosition, type Epoch, type Position } from '../log-entry.js';
import type { ObjectKey, ObjectStore, Revision, StoreWatcher, WriteExecutor, WriteReply } from '../object-store.js';
import { keyString } from '../object-store.js';
import { StampClock } from '../stamp.js';
import { Candidacy } from './candidacy.js';
import type { MergeReport, PeerNetwork, ReplicaContext, ReplicaOptions } from './context.js';
import { decodeMessage, encodeMessage, type Message, type SyncMessage } from './messages.js';
import { REGISTRY_OBJECT, type PeerRegistry, type Standing } from './peer-registry.js';
import { Reign, type ReignEvents } from './reign.js';
import { ServiceDesk } from './service-desk.js';
import { ReplicaState, type StateLimits } from './replica-state.js';
import { Requests } from './requests.js';
import { readFrame, ReplicaStorage } from './storage.js';
import { SyncClient } from './sync-client.js';
import { SyncServer } from './sync-server.js';
import { commonUntil } from './watermark.js';
import {
  compareComponents,
  nextEpoch,
  successionOrder,
  type Component,
  type PeerState,
  type RoleHolder,
  type View,
} from './view.js';

export interface ReplicaDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly disk: Disk;
  readonly network: PeerNetwork;
  readonly policies: KindPolicies;
  readonly executor: WriteExecutor;
}

export interface ReplicaSettings extends ReplicaOptions, StateLimits {
  /** Force every acknowledged frame through to the medium. */
  readonly fsync: boolean;
  /** An empty replica may found the state; false for one that joins a cluster. */
  readonly mayFound: boolean;
}

export type ReplicaMode = 'idle' | 'candidate' | 'leading' | 'following';

export interface ReplicaListener {
  /** The view changed; undefined while there is no sequencer. */
  onView?(view: View | undefined): void;
  onMerge?(report: MergeReport): void;
  /** The disk failed: the replica has stopped taking part. */
  onFailure?(error: unknown): void;
}

/** How often a candidate asks peers again that still believe in the old sequencer, and how long it waits between. */
const STUBBORN_RETRIES = 10;
const STUBBORN_MS = 20;

export class Replica implements Service, ObjectStore {
  readonly name = 'replica';
  private readonly context: ReplicaContext;
  private readonly state: ReplicaState;
  private readonly storage: ReplicaStorage;
  private readonly requests: Requests;
  private readonly syncClient: SyncClient;
  private readonly desk: ServiceDesk;
  private readonly listeners: ReplicaListener[] = [];
  private readonly peerStates = new Map<string, PeerState>();
  private readonly invited = new Map<string, number>();
  private mode: ReplicaMode = 'idle';
  private promised: Epoch = NO_EPOCH;
  private highestSeen: Epoch = NO_EPOCH;
  private following = '';
  /** Who was in step with this peer before it came to the group it is in. */
  private formerVoters: readonly string[] = [];
  private currentView: View | undefined;
  /** The log is known to be on the line of the sequencer that is followed. */
  private onLine = false;
  private reign: Reign | undefined;
  private syncServer: SyncServer | undefined;
  private candidacy: Candidacy | undefined;
  private lastRoles: Readonly<Record<string, RoleHolder>> = {};
  /** When this peer lost its sequencer, or last promised to follow one. */
  private idleSinceMs = 0;
  /** After a failed candidacy: not before. */
  private standFromMs = 0;
  private statesSentMs = 0;
  private startedMs = 0;
  /** In this run; before, the peers of the last one are waited for. */
  private hadView = false;
  private stubborn = 0;
  private mayFound: boolean;
  private stopping: (() => void)[] = [];
  private stopped = true;

  constructor(
    private readonly deps: ReplicaDeps,
    private readonly settings: ReplicaSettings,
  ) {
    const { clock, network } = deps;
    const stamps = new StampClock(`${network.self} ${uuid(deps.random)}`, () => clock.nowMs());
    this.storage = new ReplicaStorage(deps.disk, settings.fsync);
    this.state = new ReplicaState({ ...deps, storage: this.storage, stamps }, settings);
    this.mayFound = settings.mayFound;
    this.context = {
      ...deps,
      self: network.self,
      options: settings,
      state: this.state,
      storage: this.storage,
      stamps,
      send: (to, message) => !this.stopped && network.send(to, encodeMessage(message)),
      alive: () => network.alive(),
      nameOf: (peer) => network.nameOf(peer),
      onMerge: (report) => this.listeners.forEach((listener) => listener.onMerge?.(report)),
    };
    this.requests = new Requests(this.context, { reign: () => this.reign, leader: () => this.leader });
    this.desk = new ServiceDesk(this.context, () => this.reign);
    this.syncClient = new SyncClient(
      this.context,
      () => this.formerVoters.flatMap((peer) => network.nameOf(peer) ?? []),
      () => {
        const voters = (this.currentView?.voters ?? []).filter((peer) => peer !== network.self);
        return commonUntil(this.storage.current.contacts ?? {}, voters);
      },
      (from, position) => this.onInstalled(from, position),
      (error) => this.fail(error),
    );
  }

  // ---- Service

  async start(): Promise<void> {
    const { fresh } = await this.load();
    this.promised = this.storage.current.promised;
    this.highestSeen = this.promised;
    if (!fresh && this.storage.current.peers.length > 0) this.mayFound = true;
    this.stopped = false;
    const { clock, network } = this.deps;
    this.startedMs = clock.monotonicMs();
    this.idleSinceMs = this.startedMs;
    this.state.onFailure((error) => this.fail(error));
    this.stopping = [
      network.onMessage((from, bytes) => this.receive(from, bytes)),
      network.onChange(() => this.onAliveChange()),
      clock.interval(this.settings.tickMs, () => this.tick()),
    ];
    this.broadcastState();
    this.evaluate();
  }

  /** Damaged data is set aside, never served: this peer then starts empty, and the others give it everything. */
  private async load(): Promise<{ readonly fresh: boolean }> {
    const { disk, log } = this.deps;
    try {
      await disk.open();
      return await this.state.load();
    } catch (error) {
      if (!(error instanceof DiskCorrupt)) throw error;
      const aside = await disk.setAside();
      log.error('the store is damaged and was set aside; waiting for the other peers to rebuild it', {
        aside,
        error: errorText(error),
      });
      this.mayFound = false;
      await disk.open();
      return this.state.load();
    }
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
    return this.mode === 'leading' ? this.reign?.view : this.currentView;
  }

  /** The sequencer's peer id; empty without one. */
  get leader(): string {
    return this.mode === 'leading' ? this.context.self : this.mode === 'following' ? this.following : '';
  }

  get currentMode(): ReplicaMode {
    return this.mode;
  }

  /** The peers that belong to the cluster for good, as this peer knows them; undefined before it knows any. */
  get registry(): PeerRegistry | undefined {
    return this.get(REGISTRY_OBJECT) as PeerRegistry | undefined;
  }

  /** Undefined unless this peer is the sequencer. */
  get standing(): Standing | undefined {
    return this.reign?.standing;
  }

  /** Where this peer's log ends, and what it has promised: for status and tests. */
  get position(): { readonly head: Position; readonly applied: Position; readonly promised: Epoch } {
    return { head: this.state.head, applied: this.state.applied, promised: this.promised };
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
    const revision = await this.requests.readRevision();
    await this.state.waitFor(revision, signal);
    return revision;
  }

  waitFor(revision: Revision, signal: AbortSignal): Promise<void> {
    return this.state.waitFor(revision, signal);
  }

  write(id: string, request: unknown): Promise<WriteReply> {
    return this.requests.write(id, request);
  }

  // ---- deciding whom to follow

  /** Level-triggered: looks at everything known and takes the next step, if there is one. */
  private evaluate(): void {
    if (this.stopped) return;
    switch (this.mode) {
      case 'leading':
        this.reign?.setAlive(this.context.alive());
        this.inviteOthers();
        return;
      case 'following':
        this.checkLeader();
        return;
      case 'candidate':
        this.checkCandidacy();
        return;
      case 'idle':
        this.considerStanding();
        return;
    }
  }

  private checkLeader(): void {
    const now = this.deps.clock.monotonicMs();
    const lost = !this.context.alive().includes(this.following);
    const neverCame = !this.currentView && now - this.idleSinceMs > this.settings.inviteMs;
    const state = this.peerStates.get(this.following);
    const gaveUp = this.currentView !== undefined && state !== undefined && state.leader !== this.following;
    if (lost || gaveUp) this.becomeIdle(lost ? 'the sequencer is gone' : 'the sequencer gave up');
    else if (neverCame) this.becomeIdle('the promised view did not come');
  }

  private considerStanding(): void {
    const now = this.deps.clock.monotonicMs();
    if (!this.mayFound && this.state.head.revision === 0) return;
    if (now < this.standFromMs) return;
    const alive = this.context.alive();
    const waited = now - this.idleSinceMs;
    const led = [...this.peerStates.values()].some(
      (state) => state.size > 0 && state.leader !== this.context.self && alive.includes(state.leader),
    );
    // Somebody leads already: it will take us in.
    if (led && waited < this.settings.inviteMs) return;
    const expected = this.storage.current.peers;
    const complete = expected.every((peer) => alive.includes(peer));
    if (!complete && !this.hadView && now - this.startedMs < this.settings.bootGraceMs) return;
    const order = successionOrder(alive, (peer) =>
      peer === this.context.self ? this.state.head : this.peerStates.get(peer)?.head,
    );
    if (waited >= order.indexOf(this.context.self) * this.settings.successionMs) this.stand(null);
  }

  /** Asks all living peers to follow a new epoch of this peer. */
  private stand(component: Component | null): void {
    this.cancelCandidacy();
    this.noteLeaving();
    // Whoever waits for an answer asks the next reign; its members follow it as soon as they are asked.
    this.abdicate();
    this.following = '';
    this.onLine = false;
    this.currentView = undefined;
    const epoch = nextEpoch(this.context.self, this.promised, this.highestSeen);
    const asked = this.context.alive().filter((peer) => peer !== this.context.self);
    this.mode = 'candidate';
    const cancel = this.deps.clock.timer(this.settings.gatherMs, () => this.concludeCandidacy(candidacy));
    const candidacy = new Candidacy(epoch, component, asked, cancel);
    this.candidacy = candidacy;
    this.promise(epoch).then(
      () => {
        if (this.candidacy !== candidacy) return;
        candidacy.ready = true;
        for (const peer of asked) this.context.send(peer, { t: 'prepare', epoch, component });
        this.checkCandidacy();
      },
      (error: unknown) => this.fail(error),
    );
  }

  private async promise(epoch: Epoch): Promise<void> {
    this.promised = epoch;
    this.see(epoch);
    await this.storage.promise(epoch);
  }

  private see(epoch: Epoch): void {
    if (compareEpochs(epoch, this.highestSeen) > 0) this.highestSeen = epoch;
  }

  private checkCandidacy(): void {
    if (this.candidacy?.isComplete(this.context.alive())) this.concludeCandidacy(this.candidacy);
  }

  private concludeCandidacy(candidacy: Candidacy): void {
    if (this.candidacy !== candidacy || this.stopped) return;
    this.cancelCandidacy();
    if (!candidacy.ready) {
      this.becomeIdle('the disk is slow');
      return;
    }
    const patient = this.stubborn < STUBBORN_RETRIES;
    const outcome = candidacy.outcome(this.context.alive(), this.state.head, patient);
    this.stubborn = outcome.type === 'refused' && outcome.why === 'stubborn' ? this.stubborn + 1 : 0;
    switch (outcome.type) {
      case 'refused':
        this.becomeIdle('others object', this.waitAfterRefusal(outcome.why));
        return;
      case 'yield':
        this.context.send(outcome.to, { t: 'stand', epoch: candidacy.epoch });
        this.becomeIdle('another log is fuller', this.settings.gatherMs);
        return;
      case 'lead':
        this.lead(candidacy.epoch, outcome.heads, candidacy.component !== null);
    }
  }

  /** Milliseconds. Not all at once again: the others may be trying as well. */
  private waitAfterRefusal(why: 'led' | 'overtaken' | 'stubborn'): number {
    const jitter = this.context.random.int(this.settings.successionMs);
    switch (why) {
      case 'led':
        return this.settings.inviteMs / 4;
      case 'overtaken':
        return jitter;
      case 'stubborn':
        return STUBBORN_MS + jitter / 4;
    }
  }

  private lead(epoch: Epoch, heads: ReadonlyMap<string, Position>, takesIn: boolean): void {
    this.mode = 'leading';
    this.following = '';
    this.currentView = undefined;
    this.invited.clear();
    const events: ReignEvents = {
      onView: (view) => {
        if (this.reign === reign) this.onView(view);
      },
      onDiverged: (peer) => {
        if (this.reign === reign) this.syncServer?.start(peer);
      },
      onSyncVoid: (peer) => this.syncServer?.forget(peer),
      onUnfollowed: (peer, promised, state) => {
        if (this.reign === reign) this.onUnfollowed(peer, promised, state);
      },
    };
    const reign: Reign = new Reign(this.context, epoch, heads, this.lastRoles, events, takesIn);
    this.reign = reign;
    this.syncServer = new SyncServer(this.context, reign, () => {
      const voters = reign.view.voters;
      return voters.flatMap((peer) => this.context.nameOf(peer) ?? []);
    });
    this.deps.log.info('leads', {
      epoch: epoch.n,
      members: reign.view.members.length,
      revision: this.state.head.revision,
    });
    reign.start();
    for (const peer of heads.keys()) if (!reign.view.voters.includes(peer)) this.syncServer.start(peer);
    this.broadcastState();
    this.requests.retry();
  }

  /** Gives up the reign, if there is one. */
  private abdicate(): void {
    const { reign } = this;
    if (!reign) return;
    this.reign = undefined;
    this.syncServer = undefined;
    this.lastRoles = reign.view.roles;
    reign.stop();
  }

  private becomeIdle(why: string, waitMs = 0): void {
    this.deps.log.info('has no sequencer', { why });
    this.cancelCandidacy();
    this.noteLeaving();
    this.abdicate();
    this.mode = 'idle';
    this.following = '';
    this.onLine = false;
    this.currentView = undefined;
    this.syncClient.cancel();
    this.idleSinceMs = this.deps.clock.monotonicMs();
    this.standFromMs = this.idleSinceMs + waitMs;
    this.broadcastState();
    this.notifyView();
  }

  /** Remembers the group that is left, unless this peer had not come up to it. */
  private noteLeaving(): void {
    const { view } = this;
    if (view && (this.mode === 'leading' || this.onLine)) this.formerVoters = view.voters;
  }

  private cancelCandidacy(): void {
    this.candidacy?.cancel();
    this.candidacy = undefined;
  }

  /** Living peers outside this group: take them in, or their whole group if ours is the larger. */
  private inviteOthers(): void {
    const { reign } = this;
    if (!reign) return;
    const alive = this.context.alive();
    for (const peer of alive) {
      if (reign.view.members.includes(peer)) continue;
      const state = this.peerStates.get(peer);
      if (!state) continue;
      const isLed = state.size > 0 && alive.includes(state.leader) && state.leader !== this.context.self;
      if (!isLed) {
        this.invite(peer);
        continue;
      }
      const theirs: Component = { size: state.size, epoch: state.epoch };
      if (compareComponents(this.component(reign.view), theirs) > 0) {
        this.deps.log.info('takes in another group', { leader: state.leader, size: state.size });
        this.see(state.epoch);
        this.stand(this.component(reign.view));
        return;
      }
    }
  }

  /** A member obeys another epoch. */
  private onUnfollowed(peer: string, promised: Epoch, state: PeerState): void {
    const { reign } = this;
    if (!reign) return;
    this.peerStates.set(peer, state);
    this.see(promised);
    if (compareEpochs(promised, reign.epoch) <= 0) {
      this.invite(peer);
      return;
    }
    const mine = this.component(reign.view);
    // It lost its sequencer and is alone: only a new reign can take it in again.
    if (state.size === 0) this.stand(mine);
    // A group that took our members while we were taken for dead: it went on without us, so we join it.
    else if (compareComponents({ ...mine, size: mine.size - 1 }, { size: state.size, epoch: state.epoch }) <= 0) {
      this.becomeIdle('a higher epoch rules', this.settings.inviteMs);
    } else this.stand(mine);
  }

  private component(view: View): Component {
    return { size: view.members.length, epoch: view.epoch };
  }

  private invite(peer: string): void {
    const { reign } = this;
    if (!reign) return;
    const now = this.deps.clock.monotonicMs();
    if (now - (this.invited.get(peer) ?? Number.NEGATIVE_INFINITY) < this.settings.gatherMs) return;
    this.invited.set(peer, now);
    this.context.send(peer, { t: 'prepare', epoch: reign.epoch, component: this.component(reign.view) });
  }

  // ---- what comes in

  private tick(): void {
    const now = this.deps.clock.monotonicMs();
    if (now - this.statesSentMs >= this.settings.stateMs) this.broadcastState();
    this.reign?.tick();
    this.evaluate();
    this.requests.retry();
  }

  private lastAlive: readonly string[] = [];

  private onAliveChange(): void {
    const alive = this.context.alive();
    for (const peer of this.peerStates.keys()) if (!alive.includes(peer)) this.peerStates.delete(peer);
    for (const peer of alive) if (!this.lastAlive.includes(peer)) this.sendState(peer);
    this.lastAlive = alive;
    this.evaluate();
    this.requests.retry();
  }

  private receive(from: string, bytes: Uint8Array): void {
    if (this.stopped) return;
    const message = decodeMessage(bytes);
    if (!message) {
      this.deps.log.warn('dropped a message that could not be read', { from });
      return;
    }
    this.handle(from, message);
  }

  private handle(from: string, message: Message): void {
    switch (message.t) {
      case 'state':
        this.onState(from, message.state);
        return;
      case 'prepare':
        this.onPrepare(from, message.epoch, message.component);
        return;
      case 'promise':
        this.onPromise(from, message.epoch, message.head);
        return;
      case 'refuse':
        this.onRefuse(from, message);
        return;
      case 'stand':
        if (this.mode !== 'leading' && compareEpochs(message.epoch, this.promised) >= 0) this.stand(null);
        return;
      case 'view':
        this.onFollowedView(from, message.view, message.commit);
        return;
      case 'append':
        this.onAppend(from, message);
        return;
      case 'ack':
        this.onAck(from, message.epoch, message.position);
        return;
      case 'nack':
        if (this.reign && sameEpoch(this.reign.epoch, message.epoch)) {
          this.reign.onNack(from, message.promised, message.state);
        }
        return;
      case 'commit':
        if (this.follows(from, message.epoch) && this.onLine) this.state.commitUpTo(message.revision);
        return;
      case 'write':
        this.desk.onWrite(from, message);
        return;
      case 'reply':
        this.requests.onReply(message.id, message.reply, message.bodyOf, message.revision);
        return;
      case 'read':
        this.desk.onRead(from, message.n);
        return;
      case 'read-at':
        this.requests.onReadAt(message.n, message.revision);
        return;
      case 'sync-start':
      case 'sync-digest':
      case 'sync-differ':
      case 'sync-offer':
      case 'sync-more':
      case 'sync-install':
        this.onSync(from, message);
    }
  }

  private onState(from: string, state: PeerState): void {
    const known = this.peerStates.has(from);
    this.peerStates.set(from, state);
    this.see(state.epoch);
    if (!known) this.sendState(from);
    this.evaluate();
  }

  private onPrepare(from: string, epoch: Epoch, component: Component | null): void {
    this.see(epoch);
    const order = compareEpochs(epoch, this.promised);
    const refuse = (why: 'promised' | 'leader-alive' | 'larger') =>
      this.context.send(from, { t: 'refuse', epoch, promised: this.promised, why, state: this.peerState() });
    if (order < 0) {
      refuse('promised');
      return;
    }
    const mine = this.view;
    const leaderAlive =
      this.mode === 'leading' || (this.mode === 'following' && this.context.alive().includes(this.following));
    if (order > 0 && mine && leaderAlive && this.leader !== from) {
      if (!component || compareComponents(component, this.component(mine)) <= 0) {
        refuse(component ? 'larger' : 'leader-alive');
        return;
      }
    }
    if (order === 0 && epoch.leader !== from) return;
    this.follow(from, epoch);
  }

  private follow(leader: string, epoch: Epoch): void {
    this.cancelCandidacy();
    this.noteLeaving();
    this.abdicate();
    this.syncClient.cancel();
    this.mode = 'following';
    this.following = leader;
    // What it told before does not speak of this epoch.
    this.peerStates.delete(leader);
    this.onLine = false;
    this.currentView = undefined;
    this.idleSinceMs = this.deps.clock.monotonicMs();
    this.promise(epoch).then(
      () => {
        if (this.mode !== 'following' || !sameEpoch(this.promised, epoch)) return;
        this.context.send(leader, { t: 'promise', epoch, head: this.state.head });
      },
      (error: unknown) => this.fail(error),
    );
  }

  private onPromise(from: string, epoch: Epoch, head: Position): void {
    if (this.reign && sameEpoch(this.reign.epoch, epoch)) {
      this.reign.admit(from, head);
      return;
    }
    if (!this.candidacy || !sameEpoch(this.candidacy.epoch, epoch)) return;
    this.candidacy.promised(from, head);
    this.checkCandidacy();
  }

  private onRefuse(from: string, message: Message & { t: 'refuse' }): void {
    this.peerStates.set(from, message.state);
    this.see(message.promised);
    if (this.candidacy && sameEpoch(this.candidacy.epoch, message.epoch)) {
      this.candidacy.refused(from, { why: message.why, leader: message.state.leader });
      this.checkCandidacy();
      return;
    }
    // An invited peer obeys a higher epoch but nobody leads it: only a new reign can take it in.
    if (
      this.reign &&
      message.why === 'promised' &&
      message.state.size === 0 &&
      sameEpoch(this.reign.epoch, message.epoch)
    ) {
      this.stand(this.component(this.reign.view));
    }
  }

  private follows(from: string, epoch: Epoch): boolean {
    return this.mode === 'following' && this.following === from && sameEpoch(epoch, this.promised);
  }

  private onFollowedView(from: string, view: View, commit: Revision): void {
    if (!this.follows(from, view.epoch)) {
      this.nack(from, view.epoch);
      return;
    }
    if (this.onLine) this.state.commitUpTo(Math.min(commit, this.state.head.revision));
    if (this.currentView && this.currentView.version >= view.version) return;
    this.currentView = view;
    this.onView(view);
  }

  private onAppend(from: string, message: Message & { t: 'append' }): void {
    const { epoch, previous, frame: bytes, commit } = message;
    if (!this.follows(from, epoch)) {
      this.nack(from, epoch);
      return;
    }
    if (!samePosition(previous, this.state.head)) {
      // A repetition of what is here already needs no second answer than where we are.
      if (this.state.log.has(previous) && this.onLine) this.acknowledge(from, epoch);
      else this.nack(from, epoch);
      return;
    }
    this.onLine = true;
    if (!bytes) {
      this.state.commitUpTo(Math.min(commit, this.state.head.revision));
      this.acknowledge(from, epoch);
      return;
    }
    const frame = readFrame(bytes);
    if (!frame) {
      this.nack(from, epoch);
      return;
    }
    // A copy: the received buffer is larger than the frame, and the log keeps it.
    const saved = this.state.append(frame, new Uint8Array(bytes));
    const head = this.state.head;
    saved.then(
      () => this.context.send(from, { t: 'ack', epoch, position: head }),
      () => undefined, // The replica stops through ReplicaState.onFailure.
    );
    this.state.commitUpTo(Math.min(commit, head.revision));
  }

  private nack(to: string, epoch: Epoch): void {
    this.context.send(to, { t: 'nack', epoch, promised: this.promised, state: this.peerState() });
  }

  private acknowledge(to: string, epoch: Epoch): void {
    const position = this.state.head;
    // Everything in the log was queued for the disk before: an empty write comes after it.
    this.storage.appendFrames([]).then(
      () => this.context.send(to, { t: 'ack', epoch, position }),
      () => undefined,
    );
  }

  private onAck(from: string, epoch: Epoch, position: Position): void {
    if (!this.reign || !sameEpoch(this.reign.epoch, epoch)) return;
    if (this.syncServer?.finished(from, position)) this.reign.joined(from, position);
    else this.reign.onAck(from, position);
  }

  private onInstalled(from: string, position: Position): void {
    if (this.mode !== 'following' || this.following !== from) return;
    this.onLine = true;
    this.context.send(from, { t: 'ack', epoch: this.promised, position });
    this.broadcastState();
  }

  private onSync(from: string, message: SyncMessage): void {
    switch (message.t) {
      case 'sync-digest':
      case 'sync-offer':
        this.syncServer?.onMessage(from, message);
        return;
      case 'sync-more':
        if (this.syncServer) this.syncServer.onMessage(from, message);
        else this.syncClient.onMessage(from, message);
        return;
      case 'sync-start':
      case 'sync-differ':
      case 'sync-install':
        if (this.mode === 'following' && this.following === from) this.syncClient.onMessage(from, message);
        return;
    }
  }

  // ---- telling others

  private onView(view: View): void {
    this.lastRoles = view.roles;
    if (!sameMembers(this.storage.current.peers, view.members)) {
      this.storage.setPeers(view.members).catch((error: unknown) => this.fail(error));
    }
    this.mayFound = true;
    this.hadView = true;
    this.broadcastState();
    this.notifyView();
    this.requests.retry();
  }

  private notifyView(): void {
    for (const listener of this.listeners) listener.onView?.(this.view);
  }

  private peerState(): PeerState {
    const view = this.view;
    return {
      epoch: view?.epoch ?? this.promised,
      leader: this.leader,
      size: view?.members.length ?? 0,
      head: this.state.head,
    };
  }

  private sendState(peer: string): void {
    if (peer !== this.context.self) this.context.send(peer, { t: 'state', state: this.peerState() });
  }

  /** Who is in step with this peer has what it has. */
  private noteContacts(): void {
    const { view } = this;
    const { self } = this.context;
    if (!view?.voters.includes(self) || (this.mode !== 'leading' && !this.onLine)) return;
    const others = view.voters.filter((peer) => peer !== self && this.context.alive().includes(peer));
    if (others.length > 0) this.storage.noteContacts(others, this.context.stamps.next());
  }

  private broadcastState(): void {
    this.statesSentMs = this.deps.clock.monotonicMs();
    this.noteContacts();
    for (const peer of this.context.alive()) this.sendState(peer);
  }

  private detach(): void {
    this.stopped = true;
    for (const stop of this.stopping) stop();
    this.stopping = [];
    this.cancelCandidacy();
    this.abdicate();
    this.requests.stop();
  }

  /** A disk that fails ends this replica's part: it could not keep another promise. */
  private fail(error: unknown): void {
    if (this.stopped) return;
    this.deps.log.error('the disk failed: leaving the cluster', { error: errorText(error) });
    // So that its followers need not wait for its heartbeats to end.
    this.becomeIdle('the disk failed');
    this.detach();
    for (const listener of this.listeners) listener.onFailure?.(error);
  }
}

const sameMembers = (a: readonly string[], b: readonly string[]) =>
  a.length === b.length && a.every((peer, i) => peer === b[i]);
