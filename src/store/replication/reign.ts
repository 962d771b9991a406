/**
 * The sequencer at work: one reign is one epoch. Its members promised to follow it; its voters are those whose log is on
 * its line, and a write is acknowledged when the configured share of them has it on disk. Dead members leave at once
 * (whoever is left goes on); peers whose log is on another line are brought over by a synchronisation first and vote
 * afterwards.
 *
 * Requests are executed in {@link Executions}, and get their revisions and frames from {@link LogWriter}; this says who
 * follows, and what is acknowledged.
 *
 * Guarantees: entries are executed one after the other and appear in revision order; a request id is executed once; an
 * answer is given after the revision it rests on is acknowledged. Single-threaded: no method yields in the middle.
 */
import { sameEpoch, type Epoch, type LoggedReply, type Position } from '../log-entry.js';
import type { Revision } from '../object-store.js';
import type { ObjectRecord } from '../record.js';
import { CONFLICT_KIND, ConflictLog, isTold, type MergeReport } from './conflict-log.js';
import type { ReplicaContext } from './context.js';
import { Executions, type Answer } from './executions.js';
import { Feeds, type FeedEvents } from './feeds.js';
import { LogWriter } from './log-writer.js';
import {
  holdsMajority,
  isSettled,
  nextRegistry,
  REGISTRY_KEY,
  REGISTRY_OBJECT,
  type PeerRegistry,
  type Standing,
} from './peer-registry.js';
import { isRevoked } from './revoked-peer.js';
import { ReignOver, Waiters } from './waiters.js';
import { watermark, WATERMARK_KEY, WATERMARK_OBJECT } from './watermark.js';
import { assignRoles, quorum, type PeerState, type RoleHolder, type View } from './view.js';

/**
 * Numbers left out, at least, when a registered peer cannot be asked what it has: on its line of the log they may be taken.
 * More than can be under way at once, so that a `resourceVersion` of a majority-only object never means two states of it.
 */
const UNSEEN_TAIL = 2 ** 20;
/**
 * Up to so many more are left out then, at random: two parts of a split that both begin a reign give out different numbers, so that after
 * the merge a watch that comes with a number of the lost line is seen to. 53 bits last for 2^23 such reigns.
 */
const UNSEEN_SPREAD = 2 ** 30;

export interface ReignEvents extends Omit<FeedEvents, 'onOutrun'> {
  onView(view: View): void;
  /** A member does not follow this epoch. */
  onUnfollowed(peer: string, promised: Epoch, state: PeerState): void;
}

export class Reign {
  private current: View;
  private readonly feeds: Feeds;
  private readonly waiters = new Waiters();
  private readonly writer: LogWriter;
  private readonly executions: Executions;
  /** The registry that needed no next step when it was last looked at, with the view of then. */
  private tended: PeerRegistry | undefined;
  private readonly conflicts: ConflictLog;
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
    const { self } = context;
    const seen = Math.max(0, ...[...heads.values()].map((head) => head.revision));
    this.writer = new LogWriter(context, epoch, seen, {
      onFrame: () => this.feeds.feedAll(),
      onPersisted: () => this.advance(),
    });
    this.executions = new Executions(context, this.writer, {
      acknowledged: (revision) => this.acknowledged(revision),
      byMajority: (revision) => this.byMajority(revision),
    });
    this.conflicts = new ConflictLog(context.options.conflicts);
    this.feeds = new Feeds(context, epoch, () => this.current, {
      onDiverged: (peer) => events.onDiverged(peer),
      onSyncVoid: (peer) => events.onSyncVoid(peer),
      onOutrun: () => this.change(this.current.members),
    });
    for (const [peer, head] of heads) this.feeds.track(peer, head);
    this.current = { epoch, version: 0, members: [], voters: [], roles: rolesBefore };
    if (this.registry?.peers.some(({ id }) => id !== self && !heads.has(id))) {
      this.writer.stayAbove(this.writer.next + UNSEEN_TAIL + context.random.int(UNSEEN_SPREAD) - 1);
    }
    this.current = this.makeView([self, ...heads.keys()], renewRoles);
  }

  get view(): View {
    return this.current;
  }

  /** Reads are answered only once the reign's first frame is acknowledged: before, older writes could be missing. */
  private reignRevision: Revision = 0;

  start(): void {
    this.reignRevision = this.writer.next;
    this.writer.writeReign();
    // In the first frame: who has any of this line knows of the registry.
    this.writeRegistry();
    this.announce();
    this.writer.flush();
  }

  /** What of the log members lack. */
  get neededFrom(): Revision {
    return this.feeds.neededFrom;
  }

  /** The newest registry of this line. */
  get registry(): PeerRegistry | undefined {
    return this.writer.get(REGISTRY_KEY) as PeerRegistry | undefined;
  }

  get standing(): Standing {
    const { epoch, majorityRevision } = this;
    return { self: this.context.self, epoch, voters: this.current.voters, majorityRevision };
  }

  /**
   * The newest state says that this peer was removed: what this reign began is completed, and nothing else is answered. Not even from
   * the log: alone, this peer brings to an end what the others may never have had.
   */
  private get isLast(): boolean {
    return isRevoked(this.writer, this.context.self);
  }

  /** Executes a request, once, and resolves when its answer may be given. Rejects with {@link ReignOver}. */
  submit(id: string, request: unknown): Promise<Answer> {
    if (this.isLast) return Promise.reject(new ReignOver());
    return this.executions.submit(id, request);
  }

  /** The newest acknowledged revision, once this reign may speak for its group. */
  async readRevision(): Promise<Revision> {
    if (this.isLast) throw new ReignOver();
    await this.acknowledged(this.reignRevision);
    return this.context.state.applied.revision;
  }

  /** What may be called certain in this reign is what came after a majority had noted its epoch. */
  private byMajority(revision: Revision): Promise<boolean> {
    if (this.over) return Promise.reject(new ReignOver());
    const { registry } = this;
    if (!registry || !sameEpoch(registry.epoch, this.epoch)) return Promise.resolve(false);
    if (!holdsMajority(registry, this.current.voters)) return Promise.resolve(false);
    const needed = Math.max(revision, Number(registry.metadata.resourceVersion));
    if (needed <= this.majorityRevision) return Promise.resolve(true);
    return this.waiters.byMajority(needed);
  }

  /** On the disks of a majority of the registered peers up to here. */
  private get majorityRevision(): Revision {
    const peers = this.registry?.peers ?? [];
    const onDisk = peers.map(({ id }) => this.persistedBy(id)).toSorted((a, b) => b - a);
    return onDisk[Math.floor(peers.length / 2)] ?? 0;
  }

  private persistedBy(peer: string): Revision {
    return peer === this.context.self ? this.writer.persisted : (this.feeds.matchOf(peer)?.revision ?? 0);
  }

  private settleMajorityWaiters(): void {
    if (!this.waiters.awaitsMajority) return;
    this.waiters.settleMajority(this.majorityRevision, !holdsMajority(this.registry, this.current.voters));
  }

  private moveWatermark(): void {
    const upTo = this.isPending(WATERMARK_KEY) ? undefined : this.context.state.nextWatermark;
    if (!upTo) return;
    this.writer.put(WATERMARK_OBJECT, watermark(upTo));
    this.writer.flush();
  }

  /** Level-triggered: writes the next step of the registry, if there is one. */
  private tendRegistry(): void {
    if (!this.over && this.reignRevision > 0 && this.writeRegistry()) this.writer.flush();
  }

  private writeRegistry(): boolean {
    const { registry, standing, context } = this;
    if (registry && registry === this.tended) return false;
    const next = nextRegistry(registry, standing, {
      nameOf: (peer) => context.nameOf(peer),
      formatsOf: (peer) => context.formatsOf(peer),
      isRevoked: (peer) => isRevoked(this.writer, peer),
    });
    if (!next) {
      const waits = registry && holdsMajority(registry, standing.voters) && !isSettled(registry, standing);
      if (!waits) this.tended = registry;
      return false;
    }
    this.writer.put(REGISTRY_OBJECT, next);
    return true;
  }

  /** Whether a write of that object is on its way. */
  isPending(key: string): boolean {
    return this.writer.isPending(key);
  }

  /**
   * Puts the results of a merge into the log, with what it overrode. Resolves when they, and all before them, are
   * acknowledged.
   */
  async merge(
    records: readonly ObjectRecord[],
    replies: readonly LoggedReply[],
    reports: readonly MergeReport[] = [],
  ): Promise<void> {
    const { writer } = this;
    const { state } = this.context;
    for (const record of records) {
      writer.writeRecord(record);
      if (record.value && record.key.startsWith(CONFLICT_KIND)) this.conflicts.add(record.value);
    }
    // Those that the newcomer kept count too.
    if (reports.length > 0 || records.some(({ key }) => key.startsWith(CONFLICT_KIND))) this.note(reports);
    // Nothing to write, but the newcomer has seen higher revisions than were given out here.
    if (writer.newest < writer.next - 1) writer.writeReign();
    const { newest } = writer;
    // Given on another history line, whose revisions mean nothing here: certain when what they tell of is.
    const unknown = replies.filter(({ id }) => !state.replyTo(id));
    state.rememberReplies(unknown.map((reply) => ({ ...reply, revision: newest })));
    writer.flush();
    await this.acknowledged(newest);
  }

  private note(reports: readonly MergeReport[]): void {
    const { metrics } = this.context;
    const transaction = this.writer.transaction();
    const news = this.conflicts.note(transaction, reports);
    this.writer.write(transaction);
    const observations = metrics.counter(
      'skein_merge_overridden_observations_total',
      'Statuses and derived objects of which a merge kept the later version, for each peer that came over',
    );
    for (const report of reports) {
      observations.inc({}, report.conflicts.filter((conflict) => !isTold(report, conflict)).length);
    }
    for (const report of news) this.context.onMerge(report);
  }

  /** A peer promised to follow this epoch. */
  admit(peer: string, head: Position): void {
    // Revisions never go backwards on any peer, so not below what the newcomer has seen either.
    this.writer.stayAbove(head.revision);
    this.events.onSyncVoid(peer);
    this.feeds.track(peer, head);
    this.change([...this.current.members, peer]);
    // One that came back was a voter until now: what was waiting for it may be acknowledged.
    this.advance();
  }

  /** The peer's log is on this line now, up to `position`. */
  joined(peer: string, position: Position): void {
    if (!this.feeds.has(peer)) return;
    this.feeds.track(peer, position, true);
    this.change(this.current.members);
  }

  /** Dead members leave; what was waiting for them may be acknowledged now. */
  setAlive(alive: readonly string[]): void {
    const members = this.current.members.filter((peer) => alive.includes(peer));
    if (members.length === this.current.members.length) return;
    for (const peer of this.current.members) if (!members.includes(peer)) this.feeds.drop(peer);
    this.change(members);
    this.advance();
  }

  onAck(peer: string, position: Position): void {
    const { feeds } = this;
    if (!feeds.has(peer) || !this.context.state.log.has(position)) return;
    if (!feeds.matchOf(peer)) {
      this.joined(peer, position);
      return;
    }
    feeds.onAck(peer, position);
    this.advance();
    feeds.feed(peer);
  }

  onNack(peer: string, promised: Epoch, state: PeerState): void {
    if (!sameEpoch(promised, this.epoch) || state.leader !== this.epoch.leader) {
      this.events.onUnfollowed(peer, promised, state);
      return;
    }
    if (!this.feeds.has(peer)) return;
    const wasOnLine = this.feeds.matchOf(peer) !== undefined;
    this.feeds.track(peer, state.head);
    if (wasOnLine !== (this.feeds.matchOf(peer) !== undefined)) this.change(this.current.members);
    else this.feeds.feed(peer);
  }

  /** Repairs what was lost with a connection, and lets old deletions be forgotten. */
  tick(): void {
    this.moveWatermark();
    // A peer may have come back with another build before it was missed.
    this.tended = undefined;
    this.tendRegistry();
    this.feeds.probe();
  }

  /** Ends the reign: whoever waits has to ask the next sequencer. What is in the log stays there. */
  stop(): void {
    this.over = true;
    this.writer.stop();
    this.waiters.stop();
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
    this.writer.commit(revision);
    // A frame that goes out now tells what is acknowledged; whoever gets none is told apart.
    this.writer.flush();
    this.feeds.tell(revision);
    this.waiters.acknowledge(revision);
  }

  private acknowledged(revision: Revision): Promise<void> {
    if (!this.over && revision <= this.context.state.applied.revision) return Promise.resolve();
    return this.waiters.acknowledged(revision);
  }

  private makeView(members: readonly string[], renewRoles = false): View {
    const { self, options } = this.context;
    const sorted = [...new Set(members)].toSorted();
    const voters = sorted.filter((peer) => peer === self || this.feeds.matchOf(peer));
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
    this.tended = undefined;
    this.announce();
    this.settleMajorityWaiters();
    this.tendRegistry();
    this.feeds.review();
  }

  private announce(): void {
    this.events.onView(this.current);
    this.feeds.announce();
  }
}
