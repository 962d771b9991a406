/**
 * Whom this peer obeys: the state that election, following and leading share, the one way out of each mode, and what other
 * peers are told of it.
 *
 * | mode | meaning | leaves when |
 * |---|---|---|
 * | idle | no sequencer | one invites it, or it is its turn to stand |
 * | candidate | asked the living peers for their promise | enough answered, or somebody with a higher claim asks |
 * | leading | is the sequencer | a higher epoch shows up |
 * | following | promised an epoch | its sequencer dies, or a higher claim asks |
 */
import { compareEpochs, NO_EPOCH, sameEpoch, type Epoch } from '../log-entry.js';
import type { ReplicaContext } from './context.js';
import type { Reign } from './reign.js';
import { isRevoked } from './revoked-peer.js';
import type { Component, PeerState, RoleHolder, View } from './view.js';

export type ReplicaMode = 'idle' | 'candidate' | 'leading' | 'following';

export interface AllegianceEvents {
  /** The mode that the peer is in ends: what belongs to it means nothing any more. */
  onLeave(): void;
  /** The view changed, or there is none any more. */
  onView(): void;
  /** There is a sequencer to ask: see {@link Allegiance.answering}. */
  onSequencer(): void;
  /** The disk failed. */
  onFailure(error: unknown): void;
}

export class Allegiance {
  mode: ReplicaMode = 'idle';
  /** The highest epoch this peer promised to obey; lower ones are refused. */
  promised: Epoch = NO_EPOCH;
  highestSeen: Epoch = NO_EPOCH;
  /** The peer promised to; empty unless following. */
  following = '';
  private isOnLine = false;
  /** Set while this peer is the sequencer. */
  reign: Reign | undefined;
  /** Of the sequencer that is followed. */
  followedView: View | undefined;
  /** Who was in step with this peer before it came to the group it is in. */
  formerVoters: readonly string[] = [];
  lastRoles: Readonly<Record<string, RoleHolder>> = {};
  /** When this peer lost its sequencer, or last promised to follow one; monotonic milliseconds. */
  idleSinceMs = 0;
  /** After a failed candidacy: not before. */
  standFromMs = 0;
  /** In this run; before, the peers of the last one are waited for. */
  hadView = false;
  /** What the living peers said last. */
  readonly peerStates = new Map<string, PeerState>();
  /** Sequencers that this peer was told were removed. In this run: the record of it comes with the next sequencer. */
  private readonly barred = new Set<string>();
  private lastAlive: readonly string[] = [];
  private statesSentMs = 0;

  constructor(
    private readonly context: ReplicaContext,
    /** An empty replica may found the state. */
    public mayFound: boolean,
    private readonly events: AllegianceEvents,
  ) {}

  /** Takes up what the disk says of earlier runs. */
  start(): void {
    this.promised = this.context.storage.current.promised;
    this.highestSeen = this.promised;
    this.idleSinceMs = this.context.clock.monotonicMs();
  }

  /** The view this peer takes part in; undefined while it has no sequencer. */
  get view(): View | undefined {
    return this.mode === 'leading' ? this.reign?.view : this.followedView;
  }

  /** The sequencer's peer id; empty without one. */
  get leader(): string {
    return this.mode === 'leading' ? this.context.self : this.mode === 'following' ? this.following : '';
  }

  /** The log is known to be on the line of the sequencer that is followed. */
  get onLine(): boolean {
    return this.isOnLine;
  }

  /** Called with every frame. */
  reachLine(): void {
    if (this.isOnLine) return;
    this.isOnLine = true;
    this.events.onSequencer();
  }

  /**
   * The reign that this peer's requests go to, led by `leader`; undefined while there is none. While this peer is brought over to a
   * line it asks nothing: a sequencer does not know yet what was acknowledged here, nor does this peer show what it would
   * answer.
   */
  get answering(): Epoch | undefined {
    if (this.mode === 'leading') return this.reign?.epoch;
    return this.isOnLine ? this.promised : undefined;
  }

  /** Whether a message of that sequencer and epoch is to be obeyed. */
  follows(from: string, epoch: Epoch): boolean {
    return this.mode === 'following' && this.following === from && sameEpoch(epoch, this.promised);
  }

  see(epoch: Epoch): void {
    if (compareEpochs(epoch, this.highestSeen) > 0) this.highestSeen = epoch;
  }

  /** Resolves once the promise is on disk: before, nobody may be told of it. */
  async promise(epoch: Epoch): Promise<void> {
    this.promised = epoch;
    this.see(epoch);
    await this.context.storage.promise(epoch);
  }

  /** The way from one mode to another: remembers the group that is left, unless this peer had not come up to it. */
  enter(mode: ReplicaMode, following = ''): void {
    const { view } = this;
    if (view && (this.mode === 'leading' || this.isOnLine)) this.formerVoters = view.voters;
    this.events.onLeave();
    this.mode = mode;
    this.following = following;
    this.isOnLine = false;
    this.followedView = undefined;
  }

  becomeIdle(why: string, waitMs = 0): void {
    this.context.log.info('has no sequencer', { why });
    this.enter('idle');
    this.idleSinceMs = this.context.clock.monotonicMs();
    this.standFromMs = this.idleSinceMs + waitMs;
    this.broadcastState();
    this.events.onView();
  }

  /** The group this peer is in has another view. */
  tookView(view: View): void {
    const { storage } = this.context;
    this.lastRoles = view.roles;
    if (!sameMembers(storage.current.peers, view.members)) {
      storage.setPeers(view.members).catch((error: unknown) => this.events.onFailure(error));
    }
    if (!storage.current.rebuilding) this.mayFound = true;
    this.hadView = true;
    this.broadcastState();
    this.events.onView();
  }

  /** Asks a peer to follow that epoch. */
  prepare(peer: string, epoch: Epoch, component: Component | null): void {
    const leader = this.peerStates.get(peer)?.leader ?? '';
    const removed = leader !== '' && isRevoked(this.context.state.table, leader) ? { removed: leader } : {};
    this.context.send(peer, { t: 'prepare', epoch, component, ...removed });
  }

  /**
   * A peer says that the sequencer of this one was removed. Nobody who knows that talks to it, so this part of the cluster would
   * stay apart as long as it was the larger.
   */
  bar(removed: string): void {
    if (this.mode !== 'following' || this.following !== removed) return;
    this.barred.add(removed);
    this.becomeIdle('the sequencer was removed from the cluster');
  }

  isBarred(peer: string): boolean {
    return this.barred.has(peer);
  }

  fail(error: unknown): void {
    this.events.onFailure(error);
  }

  /** A peer says whom it follows. */
  onState(from: string, state: PeerState): void {
    const known = this.peerStates.has(from);
    this.peerStates.set(from, state);
    this.see(state.epoch);
    if (!known) this.sendState(from);
  }

  /** A peer that refuses says whom it obeys. */
  onRefused(from: string, promised: Epoch, state: PeerState): void {
    this.peerStates.set(from, state);
    this.see(promised);
  }

  onAliveChange(): void {
    const alive = this.context.alive();
    for (const peer of this.peerStates.keys()) if (!alive.includes(peer)) this.peerStates.delete(peer);
    for (const peer of alive) if (!this.lastAlive.includes(peer)) this.sendState(peer);
    this.lastAlive = alive;
  }

  tick(): void {
    if (this.context.clock.monotonicMs() - this.statesSentMs >= this.context.options.stateMs) this.broadcastState();
  }

  peerState(): PeerState {
    const { view } = this;
    return {
      epoch: view?.epoch ?? this.promised,
      leader: this.leader,
      size: view?.members.length ?? 0,
      head: this.context.state.head,
    };
  }

  broadcastState(): void {
    this.statesSentMs = this.context.clock.monotonicMs();
    this.noteContacts();
    for (const peer of this.context.alive()) this.sendState(peer);
  }

  private sendState(peer: string): void {
    if (peer !== this.context.self) this.context.send(peer, { t: 'state', state: this.peerState() });
  }

  /** Who is in step with this peer has what it has. */
  private noteContacts(): void {
    const { view } = this;
    const { self, storage, stamps } = this.context;
    if (!view?.voters.includes(self) || (this.mode !== 'leading' && !this.isOnLine)) return;
    const alive = this.context.alive();
    const others = view.voters.filter((peer) => peer !== self && alive.includes(peer));
    if (others.length > 0) storage.noteContacts(others, stamps.next());
  }
}

const sameMembers = (a: readonly string[], b: readonly string[]) =>
  a.length === b.length && a.every((peer, i) => peer === b[i]);
