/**
 * The sequencer at work: executes requests against the newest state, groups their writes into frames, replicates them,
 * and acknowledges what enough peers have on disk.
 *
 * One reign is one epoch. Its members promised to follow it; its voters are those whose log is on its line, and a write
 * is acknowledged when the configured share of them has it on disk. Dead members leave at once (whoever is left goes on);
 * peers whose log is on another line are brought over by a synchronisation first and vote afterwards.
 *
 * Guarantees: entries are executed one after the other and appear in revision order; a request id is executed once; an
 * answer is given after the revision it rests on is acknowledged. Single-threaded: no method yields in the middle.
 */
import { errorText } from '../../base/log.js';
import { ApiError, internalError } from '../../api/errors.js';
import {
  sameEpoch,
  samePosition,
  seal,
  type Entry,
  type EntryChange,
  type Epoch,
  type Frame,
  type LoggedReply,
  type Position,
} from '../log-entry.js';
import type { KubeObject } from '../../api/object.js';
import type { Revision, WriteReply } from '../object-store.js';
import { encodeRecord, type ObjectRecord } from '../record.js';
import { Overlay, Transaction } from '../transaction.js';
import { Batch, loggedReply } from './batch.js';
import type { ReplicaContext } from './context.js';
import {
  holdsMajority,
  nextRegistry,
  REGISTRY_KEY,
  REGISTRY_OBJECT,
  type PeerRegistry,
  type Standing,
} from './peer-registry.js';
import { watermark, WATERMARK_KEY, WATERMARK_OBJECT } from './watermark.js';
import { assignRoles, quorum, type PeerState, type RoleHolder, type View } from './view.js';

/** An answer, with the revision it rests on. `bodyOf`: the body is what that revision wrote. */
export interface Answer {
  readonly reply: WriteReply;
  readonly bodyOf: Revision | null;
  readonly revision: Revision;
}

/** The reign ended before the answer was certain: ask the next sequencer, with the same id. */
export class ReignOver extends Error {
  readonly code = 'ERR_REIGN_OVER';
}

interface Progress {
  /** On the peer's disk up to here; undefined while its log is on another line. */
  match: Position | undefined;
  /** Sent up to here. */
  sent: Position;
  /** Ends of the frames sent and not acknowledged, oldest first. */
  unacked: Revision[];
  /** Monotonic time of the last message that moved things on. */
  heardMs: number;
  /** The newest acknowledged revision it was told of. */
  told: Revision;
  /** The peer was sent something since it is tracked, so it knows that its log is on the line. */
  greeted: boolean;
  /** … and has answered. */
  confirmed: boolean;
}

/**
 * Numbers left out when a registered peer cannot be asked what it has: on its line of the log they may be taken. More than
 * can be under way at once, so that a `resourceVersion` of a majority-only object never means two states of it.
 */
const UNSEEN_TAIL = 2 ** 20;

interface MajorityWaiter {
  readonly revision: Revision;
  /** False: the majority was lost before. */
  resolve(certain: boolean): void;
  reject(error: ReignOver): void;
}

interface Responder {
  readonly revision: Revision;
  resolve(): void;
  reject(error: ReignOver): void;
}

export interface ReignEvents {
  onView(view: View): void;
  /** A member's log is on another line: bring it over. */
  onDiverged(peer: string): void;
  /** A synchronisation under way means nothing any more: the peer left, came anew, or is on the line. */
  onSyncVoid(peer: string): void;
  /** A member does not follow this epoch. */
  onUnfollowed(peer: string, promised: Epoch, state: PeerState): void;
}

export class Reign {
  private current: View;
  private readonly progress = new Map<string, Progress>();
  private readonly overlay: Overlay;
  private batch = new Batch();
  private responders: Responder[] = [];
  private majorityWaiters: MajorityWaiter[] = [];
  private nextRevision: Revision;
  private persisted: Revision;
  private framesOut: Revision[] = [];
  private over = false;

  constructor(
    private readonly context: ReplicaContext,
    readonly epoch: Epoch,
    heads: ReadonlyMap<string, Position>,
    rolesBefore: Readonly<Record<string, RoleHolder>>,
    private readonly events: ReignEvents,
    /** All roles get a new epoch, sticky holders too: another group may have given out the same numbers. */
    renewRoles = false,
  ) {
    const { state, self } = context;
    this.overlay = new Overlay(state.table);
    this.persisted = state.head.revision;
    this.nextRevision = 1 + Math.max(state.head.revision, ...[...heads.values()].map((head) => head.revision));
    for (const [peer, head] of heads) this.track(peer, head);
    this.current = { epoch, version: 0, members: [], voters: [], roles: rolesBefore };
    this.showTail();
    if (this.registry?.peers.some(({ id }) => id !== self && !heads.has(id))) this.nextRevision += UNSEEN_TAIL;
    this.current = this.makeView([self, ...heads.keys()], renewRoles);
  }

  get view(): View {
    return this.current;
  }

  /** Reads are answered only once the reign's first frame is acknowledged: before, older writes could be missing. */
  private reignRevision: Revision = 0;

  start(): void {
    this.reignRevision = this.nextRevision;
    this.enqueue({ op: 'reign' });
    // In the first frame: who has any of this line knows of the registry.
    this.enqueueRegistry();
    this.announce();
    this.flush();
  }

  /** The newest registry of this line. */
  get registry(): PeerRegistry | undefined {
    return this.overlay.get(REGISTRY_KEY) as PeerRegistry | undefined;
  }

  get standing(): Standing {
    const { epoch, majorityRevision } = this;
    return { self: this.context.self, epoch, voters: this.current.voters, majorityRevision };
  }

  /** Executes a request and resolves when its answer may be given. Rejects with {@link ReignOver}. */
  async submit(id: string, request: unknown): Promise<Answer> {
    const known = this.context.state.replyTo(id) ?? this.batch.replies.get(id);
    if (known) {
      await this.acknowledged(known.revision);
      return this.onceCertain(known.majority, this.answerOf(known));
    }
    const { reply, logged, revision } = this.execute(id, request);
    this.flush();
    await this.acknowledged(revision);
    return this.onceCertain(reply.majority, { reply, bodyOf: logged?.bodyOf ?? null, revision });
  }

  /** The answer, or that it is not certain because the majority was lost before enough peers had the write. */
  private async onceCertain(needed: true | undefined, answer: Answer): Promise<Answer> {
    if (!needed || (await this.byMajority(answer.revision))) return answer;
    const failure = new ApiError(
      504,
      'Timeout',
      'the majority of the registered peers was lost before they had this write: its outcome is unknown',
      { retryAfterSeconds: 1 },
    );
    return { reply: { code: 504, body: failure.toStatus(), warnings: [] }, bodyOf: null, revision: answer.revision };
  }

  /** The newest acknowledged revision, once this reign may speak for its group. */
  async readRevision(): Promise<Revision> {
    await this.acknowledged(this.reignRevision);
    return this.context.state.applied.revision;
  }

  /** What may be called certain in this reign is what came after a majority had noted its epoch. */
  private byMajority(revision: Revision): Promise<boolean> {
    if (this.over) return Promise.reject(new ReignOver('the sequencer changed'));
    const { registry } = this;
    if (!registry || !sameEpoch(registry.epoch, this.epoch)) return Promise.resolve(false);
    if (!holdsMajority(registry, this.current.voters)) return Promise.resolve(false);
    const needed = Math.max(revision, Number(registry.metadata.resourceVersion));
    if (needed <= this.majorityRevision) return Promise.resolve(true);
    return new Promise((resolve, reject) => this.majorityWaiters.push({ revision: needed, resolve, reject }));
  }

  /** On the disks of a majority of the registered peers up to here. */
  private get majorityRevision(): Revision {
    const peers = this.registry?.peers ?? [];
    const onDisk = peers.map(({ id }) => this.persistedBy(id)).toSorted((a, b) => b - a);
    return onDisk[Math.floor(peers.length / 2)] ?? 0;
  }

  private persistedBy(peer: string): Revision {
    return peer === this.context.self ? this.persisted : (this.progress.get(peer)?.match?.revision ?? 0);
  }

  private settleMajorityWaiters(): void {
    if (this.majorityWaiters.length === 0) return;
    const certain = this.majorityRevision;
    const lost = !holdsMajority(this.registry, this.current.voters);
    const waiting = this.majorityWaiters;
    this.majorityWaiters = waiting.filter(({ revision }) => !lost && revision > certain);
    for (const waiter of waiting) {
      if (waiter.revision <= certain) waiter.resolve(true);
      else if (lost) waiter.resolve(false);
    }
  }

  private moveWatermark(): void {
    const upTo = this.isPending(WATERMARK_KEY) ? undefined : this.context.state.nextWatermark;
    if (!upTo) return;
    const transaction = new Transaction(this.overlay, this.nextRevision, this.context.clock.nowMs());
    transaction.put(WATERMARK_OBJECT, watermark(upTo));
    this.enqueueWrites(transaction);
    this.flush();
  }

  /** Level-triggered: writes the next step of the registry, if there is one. */
  private tendRegistry(): void {
    if (!this.over && this.reignRevision > 0 && this.enqueueRegistry()) this.flush();
  }

  private enqueueRegistry(): boolean {
    const { registry, current, context } = this;
    const isKnown =
      registry !== undefined &&
      sameEpoch(registry.epoch, this.epoch) &&
      current.voters.every((peer) => registry.peers.some(({ id }) => id === peer));
    const next = isKnown ? undefined : nextRegistry(registry, this.standing, (peer) => context.nameOf(peer));
    if (!next) return false;
    const transaction = new Transaction(this.overlay, this.nextRevision, context.clock.nowMs());
    transaction.put(REGISTRY_OBJECT, next);
    this.enqueueWrites(transaction);
    return true;
  }

  /** Whether a write of that object is on its way. */
  isPending(key: string): boolean {
    return this.overlay.has(key);
  }

  /** Puts the results of a merge into the log. Resolves when they, and all before them, are acknowledged. */
  async merge(records: readonly ObjectRecord[], replies: readonly LoggedReply[]): Promise<void> {
    const { state } = this.context;
    for (const record of records) {
      const revision = this.enqueue({ op: 'merge', key: record.key, record: encodeRecord(record) });
      this.overlay.set(record.key, record.value, revision);
    }
    // Nothing to write, but the newcomer has seen higher revisions than were given out here.
    if (this.newest < this.nextRevision - 1) this.enqueue({ op: 'reign' });
    const { newest } = this;
    // Given on another history line, whose revisions mean nothing here: certain when what they tell of is.
    const unknown = replies.filter(({ id, majority }) => !majority && !state.replyTo(id));
    state.rememberReplies(unknown.map((reply) => ({ ...reply, revision: newest })));
    this.flush();
    await this.acknowledged(newest);
  }

  /** A peer promised to follow this epoch. */
  admit(peer: string, head: Position): void {
    // Revisions never go backwards on any peer, so not below what the newcomer has seen either.
    this.nextRevision = Math.max(this.nextRevision, head.revision + 1);
    this.events.onSyncVoid(peer);
    this.track(peer, head);
    this.change([...this.current.members, peer]);
  }

  /** The peer's log is on this line now, up to `position`. */
  joined(peer: string, position: Position): void {
    if (!this.progress.has(peer)) return;
    this.track(peer, position);
    (this.progress.get(peer) as Progress).confirmed = true;
    this.change(this.current.members);
  }

  /** Dead members leave; what was waiting for them may be acknowledged now. */
  setAlive(alive: readonly string[]): void {
    const members = this.current.members.filter((peer) => alive.includes(peer));
    if (members.length === this.current.members.length) return;
    for (const peer of this.current.members) {
      if (members.includes(peer)) continue;
      this.progress.delete(peer);
      this.events.onSyncVoid(peer);
    }
    this.change(members);
    this.advance();
  }

  onAck(peer: string, position: Position): void {
    const progress = this.progress.get(peer);
    if (!progress || !this.context.state.log.has(position)) return;
    if (!progress.match) {
      this.joined(peer, position);
      return;
    }
    if (position.revision > progress.match.revision) progress.match = position;
    progress.unacked = progress.unacked.filter((end) => end > position.revision);
    progress.heardMs = this.context.clock.monotonicMs();
    progress.confirmed = true;
    this.advance();
    this.feed(peer, progress);
  }

  onNack(peer: string, promised: Epoch, state: PeerState): void {
    if (!sameEpoch(promised, this.epoch) || state.leader !== this.epoch.leader) {
      this.events.onUnfollowed(peer, promised, state);
      return;
    }
    const before = this.progress.get(peer);
    if (!before) return;
    this.track(peer, state.head);
    const after = this.progress.get(peer) as Progress;
    if (Boolean(before.match) !== Boolean(after.match)) this.change(this.current.members);
    else this.feed(peer, after);
  }

  /** Repairs what was lost with a connection, and lets old deletions be forgotten. */
  tick(): void {
    const now = this.context.clock.monotonicMs();
    this.moveWatermark();
    for (const [peer, progress] of this.progress) {
      if (now - progress.heardMs < this.context.options.probeMs) continue;
      progress.heardMs = now;
      this.sendView(peer);
      if (!progress.match) {
        // The answer tells whether it is on the line meanwhile, if word of that was lost.
        this.ask(peer, this.context.state.head);
        this.events.onDiverged(peer);
      } else if (!progress.confirmed || progress.match.revision < this.context.state.head.revision) {
        // Ask from the last certain position: an answer tells where the peer really is.
        progress.sent = progress.match;
        progress.unacked = [];
        progress.greeted = false;
        this.feed(peer, progress);
      }
    }
  }

  /** Ends the reign: whoever waits has to ask the next sequencer. What is in the log stays there. */
  stop(): void {
    this.over = true;
    const waiting = this.responders;
    this.responders = [];
    for (const responder of waiting) responder.reject(new ReignOver('the sequencer changed'));
    for (const waiter of this.majorityWaiters) waiter.reject(new ReignOver('the sequencer changed'));
    this.majorityWaiters = [];
  }

  private execute(id: string, request: unknown) {
    const { executor, clock, log } = this.context;
    const transaction = new Transaction(this.overlay, this.nextRevision, clock.nowMs());
    let reply: WriteReply;
    try {
      reply = executor(transaction, request);
    } catch (error) {
      log.error('a write request failed unexpectedly', { error: errorText(error) });
      const failure = internalError(error);
      return { reply: { code: failure.code, body: failure.toStatus(), warnings: [] }, revision: this.newest };
    }
    if (reply.code >= 400) return { reply, revision: this.newest };
    this.enqueueWrites(transaction);
    if (transaction.writes.length === 0) return { reply, revision: this.newest };
    const logged = loggedReply(id, reply, transaction.writes, this.newest);
    this.batch.replies.set(id, logged);
    return { reply, logged, revision: this.newest };
  }

  private enqueueWrites({ writes }: Transaction): void {
    for (const { change, object } of writes) {
      const revision = this.enqueue(change, change.op === 'put' ? object : undefined);
      if (change.op === 'put' || change.op === 'delete') {
        this.overlay.set(change.key, change.op === 'put' ? object : undefined, revision);
      }
    }
  }

  /** The newest revision given to anything. */
  private get newest(): Revision {
    return this.batch.entries.at(-1)?.revision ?? this.context.state.head.revision;
  }

  private enqueue(change: EntryChange, object?: KubeObject): Revision {
    const revision = this.nextRevision++;
    this.batch.add({ ...change, revision, stamp: this.context.stamps.next() } as Entry, object);
    return revision;
  }

  /** Sends the batch unless enough frames are under way; then it goes out when one of them is acknowledged. */
  private flush(): void {
    const { state, options } = this.context;
    if (this.over || this.batch.isEmpty || this.framesOut.length >= options.framesInFlight) return;
    const { entries, replies, objects } = this.batch;
    this.batch = new Batch();
    const frame: Frame = { epoch: this.epoch, previous: state.head, entries, replies: [...replies.values()] };
    const saved = state.append(frame, seal(frame), objects);
    const end = state.head.revision;
    this.framesOut.push(end);
    saved.then(
      () => {
        this.persisted = Math.max(this.persisted, end);
        this.advance();
      },
      () => undefined, // The replica stops through ReplicaState.onFailure.
    );
    for (const [peer, progress] of this.progress) this.feed(peer, progress);
  }

  /** Sends a member what it lacks, as far as the window allows. */
  private feed(peer: string, progress: Progress): void {
    const { state, options } = this.context;
    if (!progress.match || this.over) return;
    if (!state.log.has(progress.sent)) progress.sent = progress.match;
    if (!state.log.has(progress.sent)) {
      progress.match = undefined;
      this.change(this.current.members);
      return;
    }
    const room = options.window - progress.unacked.length;
    if (room <= 0) return;
    if (!progress.greeted && samePosition(progress.sent, state.head)) {
      progress.greeted = this.ask(peer, progress.sent);
      return;
    }
    for (const kept of state.log.after(progress.sent, room)) {
      const sent = this.context.send(peer, {
        t: 'append',
        epoch: this.epoch,
        previous: progress.sent,
        frame: kept.bytes,
        commit: state.applied.revision,
      });
      if (!sent) return;
      progress.told = state.applied.revision;
      progress.greeted = true;
      progress.sent = kept.end;
      progress.unacked.push(kept.end.revision);
    }
  }

  /** An append without a frame: the peer learns that it is on the line, or answers that it is not. */
  private ask(peer: string, previous: Position): boolean {
    const commit = this.context.state.applied.revision;
    return this.context.send(peer, { t: 'append', epoch: this.epoch, previous, frame: null, commit });
  }

  /** Acknowledges what enough voters have on disk. */
  private advance(): void {
    if (this.over) return;
    const { state, options } = this.context;
    const onDisk = this.current.voters.map((peer) => this.persistedBy(peer)).toSorted((a, b) => b - a);
    const revision = onDisk[quorum(onDisk.length, options.ack) - 1] ?? 0;
    this.settleMajorityWaiters();
    this.tendRegistry();
    if (revision <= state.applied.revision) return;
    state.commitUpTo(revision);
    this.overlay.settle(revision);
    this.framesOut = this.framesOut.filter((end) => end > revision);
    // A frame that goes out now tells what is acknowledged; whoever gets none is told apart.
    this.flush();
    for (const [peer, progress] of this.progress) {
      if (progress.told >= revision) continue;
      if (this.context.send(peer, { t: 'commit', epoch: this.epoch, revision })) progress.told = revision;
    }
    const ready = this.responders.filter((responder) => responder.revision <= revision);
    this.responders = this.responders.filter((responder) => responder.revision > revision);
    for (const responder of ready) responder.resolve();
  }

  private acknowledged(revision: Revision): Promise<void> {
    if (this.over) return Promise.reject(new ReignOver('the sequencer changed'));
    if (revision <= this.context.state.applied.revision) return Promise.resolve();
    return new Promise((resolve, reject) => this.responders.push({ revision, resolve, reject }));
  }

  private answerOf(logged: LoggedReply): Answer {
    const bodyOf = logged.bodyOf ?? null;
    const body = logged.body === undefined ? undefined : (JSON.parse(logged.body) as unknown);
    const { code, warnings, annotations, majority, revision } = logged;
    const more = { ...(annotations ? { annotations } : {}), ...(majority ? { majority } : {}) };
    return { reply: { code, warnings, ...more, body }, bodyOf, revision };
  }

  private track(peer: string, head: Position): void {
    const match = this.context.state.log.has(head) ? head : undefined;
    const heardMs = this.context.clock.monotonicMs();
    this.progress.set(peer, { match, sent: head, unacked: [], heardMs, greeted: false, told: 0, confirmed: false });
    if (match) this.events.onSyncVoid(peer);
  }

  private makeView(members: readonly string[], renewRoles = false): View {
    const { self, options } = this.context;
    const sorted = [...new Set(members)].toSorted();
    const voters = sorted.filter((peer) => peer === self || this.progress.get(peer)?.match);
    const version = this.current.version + 1;
    // Unique along this line of views: the epoch rises with every reign, the version within it.
    const roleEpoch = this.epoch.n * 65_536 + version;
    const assigned = assignRoles(options.roles, self, voters, this.current.roles, roleEpoch);
    const roles = renewRoles
      ? Object.fromEntries(Object.entries(assigned).map(([name, { holder }]) => [name, { holder, epoch: roleEpoch }]))
      : assigned;
    return { epoch: this.epoch, version, members: sorted, voters, roles };
  }

  private change(members: readonly string[]): void {
    if (this.over) return;
    this.current = this.makeView(members);
    this.announce();
    this.settleMajorityWaiters();
    this.tendRegistry();
    for (const [peer, progress] of this.progress) {
      if (!progress.match) this.events.onDiverged(peer);
      else this.feed(peer, progress);
    }
  }

  private announce(): void {
    this.events.onView(this.current);
    for (const peer of this.progress.keys()) this.sendView(peer);
  }

  private sendView(peer: string): void {
    this.context.send(peer, { t: 'view', view: this.current, commit: this.context.state.applied.revision });
  }

  /** Entries of earlier reigns that are in the log but not acknowledged yet belong to the newest state. */
  private showTail(): void {
    const { state } = this.context;
    for (const { frame } of state.log.since(state.applied.revision)) {
      for (const entry of frame.entries) {
        const value = state.previewOf(entry);
        if (value) this.overlay.set(value.key, value.object, entry.revision);
      }
    }
  }
}
