/**
 * The sequencer's side of a synchronisation: brings a peer whose log is on another line (a lost half of a split, a late
 * peer, an empty one) onto this line without losing what the peer wrote.
 *
 * ```
 * sequencer                                 peer
 *   sync-start                    ──────▶   shows its unacknowledged tail, then digests its state
 *                                 ◀──────   sync-digest (one hash a bucket)
 *  [sync-narrow (hashes of leaves) ─────▶
 *                                 ◀──────   sync-leaves (those that differ)]
 *   sync-differ (keys, versions)  ──────▶   in parts, each of which is answered by
 *                                 ◀──────   sync-offer … (its records that differ; keys it wants)
 *   merges, orders the results, waits for their acknowledgement
 *   sync-install … (records)      ──────▶   replaces its state and log position, durably
 *                                 ◀──────   ack
 * ```
 * One session a peer; a lost message or a new reign starts a new session. What comes twice or late is not heard (`turns.ts`).
 * Merging twice changes nothing.
 */
import { errorText } from '../../base/log.js';
import { conflictsAtHome } from '../crdt/conflicts.js';
import { mergeRecords } from '../crdt/merge.js';
import { differingBuckets, leavesIn, type RecordState } from '../digest-tree.js';
import type { LoggedReply, Position } from '../log-entry.js';
import { keyString, parseKey, type Revision } from '../object-store.js';
import type { KindPolicy } from '../kind-policy.js';
import { afterDelete, decodeRecord, type ObjectRecord } from '../record.js';
import { laterStamp, NO_STAMP, type Stamp } from '../stamp.js';
import type { MergeReport } from './conflict-log.js';
import type { ReplicaContext } from './context.js';
import type { SyncMessage } from './messages.js';
import { compareLines, REGISTRY_KEY, registryOf } from './peer-registry.js';
import type { Reign } from './reign.js';
import { SyncOutbox } from './sync-outbox.js';
import { Turns } from './turns.js';
import { wasForgotten } from './watermark.js';

/** Records merged in one go, for how many milliseconds, and how many such slices may wait for their acknowledgement. */
const MERGE_SLICE = 64;
const SLICE_MS = 10;
const SLICES_AHEAD = 4;

/** So many slices of keys are told in one part of what differs, at least: a key is small beside its record. */
const SLICES_PER_PART = 4;
/** A bucket's leaves are asked for when it has more records than a slice divided by this. */
const LEAVES_WORTH = 16;
/** The digest of an empty bucket. */
const EMPTY = '0';

/** A session that is given up is followed by one that waits twice as long, up to so many times the first. */
const MOST_PATIENCE = 16;

interface Session {
  readonly id: number;
  readonly turns: Turns;
  heardMs: number;
  /** Silence after which the peer's answer is taken for lost. */
  readonly idleMs: number;
  /** All that the peer has is here: what takes time now is this side's own work. */
  merging: boolean;
  /** State compared at this position; what changed since is sent as well. */
  comparedAt: Position | undefined;
  /** Buckets and leaves that differ and were not told yet. */
  buckets: number[];
  leaves: number[];
  readonly keys: Set<string>;
  readonly offered: ObjectRecord[];
  /** Until when the peer had everything in common with somebody here. */
  common: Stamp;
  readonly buried: (readonly [key: string, version: Stamp])[];
  /** Objects that were deleted here while the peer was away longer than deletions are remembered. */
  dropped: number;
  readonly replies: LoggedReply[];
  /** Names of the nodes in the part that the peer comes from, and in this one when the session began. */
  theirHomes: ReadonlySet<string>;
  readonly ourHomes: ReadonlySet<string>;
  /** Of the peer's answers, those that are not known here; undefined when it did not say which it has. */
  unknown: readonly string[] | undefined;
  /** The peer's registry, when it is another. */
  registry: ObjectRecord | undefined;
  outbox: SyncOutbox | undefined;
}

export class SyncServer {
  private readonly sessions = new Map<string, Session>();
  private sequence: number;

  constructor(
    private readonly context: ReplicaContext,
    private readonly reign: Reign,
    /** Names of the nodes whose peers are in step with this sequencer. */
    private readonly homes: () => readonly string[],
  ) {
    // Distinct between reigns, so that an answer to an older session is recognised.
    this.sequence = reign.epoch.n * 65_536 + context.random.int(32_768);
  }

  /** Begins, unless a session with this peer is making progress. */
  start(peer: string): void {
    const { clock, options } = this.context;
    const present = this.sessions.get(peer);
    // Begun anew, everything is compared and merged again: a slow machine would never come to an end.
    if (present && (present.merging || clock.monotonicMs() - present.heardMs < present.idleMs)) return;
    const longestMs = options.syncIdleMs * MOST_PATIENCE;
    const session: Session = {
      id: ++this.sequence,
      turns: new Turns(),
      heardMs: clock.monotonicMs(),
      idleMs: present ? Math.min(present.idleMs * 2, longestMs) : options.syncIdleMs,
      merging: false,
      comparedAt: undefined,
      buckets: [],
      leaves: [],
      keys: new Set(),
      offered: [],
      common: NO_STAMP,
      buried: [],
      dropped: 0,
      replies: [],
      theirHomes: new Set(),
      ourHomes: new Set(this.homes()),
      unknown: undefined,
      registry: undefined,
      outbox: undefined,
    };
    if (this.context.send(peer, { t: 'sync-start', epoch: this.reign.epoch, session: session.id })) {
      this.sessions.set(peer, session);
    }
  }

  /** The log after this revision leads from what was compared, or sent, to the present. */
  get neededFrom(): Revision {
    const from = [...this.sessions.values()].map(({ outbox, comparedAt }) => outbox?.position ?? comparedAt);
    return Math.min(...from.map((position) => position?.revision ?? Infinity));
  }

  /** The peer needs nothing any more. */
  forget(peer: string): void {
    this.sessions.delete(peer);
  }

  onMessage(peer: string, message: SyncMessage): void {
    const session = this.sessions.get(peer);
    if (!session || session.id !== message.session) return;
    session.heardMs = this.context.clock.monotonicMs();
    if (!session.turns.hears(message)) return;
    switch (message.t) {
      case 'sync-digest':
        session.unknown = message.answers?.filter((id) => !this.context.state.replyTo(id));
        this.compare(peer, session, message.buckets, message.narrows === true);
        return;
      case 'sync-leaves':
        session.leaves = [...message.leaves];
        this.tellPart(peer, session);
        return;
      case 'sync-offer':
        this.onOffer(peer, session, message);
        return;
      case 'sync-more':
        this.sendPiece(peer, session);
        return;
      case 'sync-start':
      case 'sync-narrow':
      case 'sync-differ':
      case 'sync-install':
        return;
    }
  }

  /** The position up to which the peer's installed state reaches, if that session ended there. */
  finished(peer: string, position: Position): boolean {
    const session = this.sessions.get(peer);
    if (!session?.outbox?.isEmpty || session.outbox.position.revision !== position.revision) return false;
    this.sessions.delete(peer);
    return true;
  }

  /** Finds the buckets that differ, and has the peer say which of their leaves do when that spares more than it costs. */
  private compare(peer: string, session: Session, theirs: readonly string[], narrows: boolean): void {
    const { state, options } = this.context;
    const { digests } = state.table;
    session.comparedAt = state.applied;
    const ours = digests.buckets();
    const differ = differingBuckets(ours, theirs);
    if (!narrows) {
      this.say(peer, session, {
        t: 'sync-differ',
        session: session.id,
        buckets: differ,
        entries: this.entriesOf(differ),
      });
      return;
    }
    // What one side has nothing of differs in all leaves; and the keys of a few records take less than a bucket's leaves.
    const few = options.sliceRecords / LEAVES_WORTH;
    const narrowed = differ.filter((i) => ours[i] !== EMPTY && theirs[i] !== EMPTY && digests.sizeOf(i) > few);
    session.buckets = differ.filter((bucket) => !narrowed.includes(bucket));
    if (narrowed.length === 0) {
      this.tellPart(peer, session);
      return;
    }
    const leaves = narrowed.map((bucket) => digests.leavesOf(bucket));
    this.say(peer, session, { t: 'sync-narrow', session: session.id, buckets: narrowed, leaves });
  }

  private entriesOf(buckets: readonly number[], leaves: readonly number[] = []): RecordState[] {
    const { table } = this.context.state;
    const keys = [...buckets.flatMap(leavesIn), ...leaves].flatMap((leaf) => table.digests.keysIn(leaf));
    return keys.flatMap((key): RecordState[] => {
      const record = table.record(key);
      return record ? [[key, record.version, record.revision]] : [];
    });
  }

  /** Tells what is in the next buckets or leaves that differ; the peer offers and asks for the rest. */
  private tellPart(peer: string, session: Session): void {
    const buckets: number[] = [];
    const leaves: number[] = [];
    const entries: RecordState[] = [];
    const size = SLICES_PER_PART * this.context.options.sliceRecords;
    while (entries.length < size && buckets.length + leaves.length < size) {
      const bucket = session.buckets.shift();
      const leaf = bucket === undefined ? session.leaves.shift() : undefined;
      if (bucket !== undefined) buckets.push(bucket);
      else if (leaf !== undefined) leaves.push(leaf);
      else break;
      entries.push(...this.entriesOf(bucket === undefined ? [] : [bucket], leaf === undefined ? [] : [leaf]));
    }
    const last = session.buckets.length + session.leaves.length === 0;
    const unknown = last && session.unknown ? { unknown: session.unknown } : {};
    this.say(peer, session, { t: 'sync-differ', session: session.id, buckets, leaves, entries, last, ...unknown });
  }

  private onOffer(peer: string, session: Session, message: SyncMessage & { t: 'sync-offer' }): void {
    for (const bytes of message.records) {
      const record = decodeRecord(bytes, this.context.storage.formats);
      session.offered.push(record);
      if (record.key === REGISTRY_KEY) session.registry = record;
      session.keys.add(record.key);
    }
    for (const key of message.wants) session.keys.add(key);
    session.replies.push(...message.replies);
    session.theirHomes = new Set(message.homes);
    session.common = message.common ?? NO_STAMP;
    session.buried.push(...(message.buried ?? []));
    if (!message.last) {
      if (message.next) this.tellPart(peer, session);
      else this.say(peer, session, { t: 'sync-more', session: session.id });
      return;
    }
    session.merging = true;
    this.mergeAndInstall(peer, session).catch((error: unknown) => {
      this.sessions.delete(peer);
      this.context.log.info('synchronisation interrupted', { peer, error: errorText(error) });
    });
  }

  private async mergeAndInstall(peer: string, session: Session): Promise<void> {
    const objects = session.offered.filter(({ key }) => key !== REGISTRY_KEY);
    const registry = session.offered.filter(({ key }) => key === REGISTRY_KEY);
    if (!(await this.mergeAll(peer, session, objects))) return;
    await this.reign.merge(this.buriedNow(session), []);
    if (this.sessions.get(peer) !== session) return;
    this.reportForgotten(peer, session);
    const replies = this.standingReplies(session);
    // Last: it says that everything that a majority had there is here.
    if (!(await this.mergeAll(peer, session, registry))) return;
    await this.reign.merge([], replies);
    if (this.sessions.get(peer) !== session) return;
    await this.install(peer, session);
  }

  /** False when the session ended meanwhile. */
  private async mergeAll(peer: string, session: Session, records: readonly ObjectRecord[]): Promise<boolean> {
    const { clock } = this.context;
    for (let rest = records; rest.length > 0;) {
      const busy: ObjectRecord[] = [];
      const acknowledged: Promise<void>[] = [];
      for (let next = 0; next < rest.length;) {
        const changed: ObjectRecord[] = [];
        const reports: MergeReport[] = [];
        const endMs = clock.monotonicMs() + SLICE_MS;
        // In slices, so that heartbeats and requests are served in between.
        for (let n = 0; n < MERGE_SLICE && next < rest.length && clock.monotonicMs() < endMs; n++) {
          const record = rest[next++] as ObjectRecord;
          // An object with a write on its way is merged once that write is in the table: the next round waits for it.
          if (this.reign.isPending(record.key)) {
            busy.push(record);
            continue;
          }
          const merged = this.mergeOffered([record], session);
          changed.push(...merged.changed);
          reports.push(...merged.reports);
        }
        const done = this.reign.merge(changed, [], reports);
        done.catch(() => undefined); // Told by the one that is waited for.
        acknowledged.push(done);
        await clock.sleep(0);
        if (acknowledged.length > SLICES_AHEAD) await acknowledged.shift();
        if (this.sessions.get(peer) !== session) return false;
      }
      await Promise.all(acknowledged);
      if (this.sessions.get(peer) !== session) return false;
      rest = busy;
    }
    return true;
  }

  private async install(peer: string, session: Session): Promise<void> {
    const { state, options, clock } = this.context;
    const from = session.comparedAt as Position;
    session.outbox = await SyncOutbox.collect(state, session.keys, from, options, clock);
    if (this.sessions.get(peer) !== session) return;
    if (session.outbox) {
      session.merging = false;
      session.heardMs = clock.monotonicMs();
      this.sendPiece(peer, session);
      return;
    }
    // The window moved past the comparison while merging: compare again.
    this.sessions.delete(peer);
    this.start(peer);
  }

  /** What changes here by the peer's records. */
  private mergeOffered(
    offered: readonly ObjectRecord[],
    session: Session,
  ): { readonly changed: readonly ObjectRecord[]; readonly reports: readonly MergeReport[] } {
    const { state, policies, stamps } = this.context;
    const changed: ObjectRecord[] = [];
    const reports: MergeReport[] = [];
    const parts = { ours: [...session.ourHomes], theirs: [...session.theirHomes] };
    const lines = this.linesOf(session);
    for (const theirs of offered) {
      stamps.observe(theirs.version);
      const { group, resource } = parseKey(theirs.key);
      const ours = state.table.record(theirs.key);
      const policy = policies.policyOf(group, resource);
      if (!ours && !theirs.value && !policy.tombstones) continue;
      if (!ours && wasForgotten(theirs.version, session.common, state.collectedUpTo, policy.tombstones)) {
        if (theirs.value) session.dropped += 1;
        continue;
      }
      if (ours && this.isMajorityOnly(ours, theirs, policy)) {
        const newer = lines === 0 ? compareDecisions(theirs, ours) : -lines;
        if (newer > 0) changed.push(theirs);
        else if (newer < 0 && wasShownLater(ours, theirs)) changed.push(ours);
        if (newer !== 0) continue;
      }
      const merged =
        ours && this.livesHere(ours, policy, session)
          ? {
              record: ours,
              conflicts: conflictsAtHome({ ours, theirs, since: session.common }, policy.withoutGuesses),
            }
          : mergeRecords(ours, theirs, policy, stamps.next(), session.common);
      if (merged.record !== ours || wasShownLater(ours, theirs)) changed.push(merged.record);
      const { conflicts } = merged;
      if (conflicts.length > 0)
        reports.push({ key: theirs.key, parts, conflicts, isDerived: policy.isDerived ?? false });
    }
    return { changed, reports };
  }

  /** Tombstones of what was deleted in the peer's part longer ago than that part remembers, and was not written here since. */
  private buriedNow({ buried }: Session): ObjectRecord[] {
    const { state, stamps } = this.context;
    return buried.flatMap(([key, version]) => {
      const ours = state.table.record(key);
      if (!ours?.value || ours.version !== version || this.reign.isPending(key)) return [];
      return [afterDelete(ours, ours.revision, stamps.next())];
    });
  }

  private reportForgotten(peer: string, { dropped, buried }: Session): void {
    if (dropped + buried.length === 0) return;
    const { log, metrics } = this.context;
    metrics
      .counter('skein_forgotten_deletions_total', 'Objects not brought back by a merge: deleted while a peer was away')
      .inc({}, dropped + buried.length);
    log.info('left out what was deleted while a peer was away', { peer, offered: dropped, kept: buried.length });
  }

  /**
   * The peer's answers that hold here. Those to what only a majority changes hold when what it wrote does, acknowledged or not: then who
   * asks again is told what became of the request, instead of being refused for what it did itself.
   */
  private standingReplies(session: Session): readonly LoggedReply[] {
    const lines = this.linesOf(session);
    if (lines < 0) this.context.state.forgetMajorityReplies();
    return lines > 0 ? session.replies.filter(({ majority }) => !majority) : session.replies;
  }

  /** Positive when this line has what a majority wrote, negative when the peer's has; zero when both come from one reign. */
  private linesOf({ registry }: Session): number {
    return registry ? compareLines(this.reign.registry, registryOf(registry)) : 0;
  }

  /**
   * Of what only a majority changes there are no two versions to merge: one line has the newest, and what the other has
   * besides was never acknowledged. What a node says of a pod that it runs is no such change, nor is a status: any part of the
   * cluster writes it, so it does not tell which is the newest.
   */
  private isMajorityOnly(ours: ObjectRecord, theirs: ObjectRecord, policy: KindPolicy): boolean {
    if (ours.key === REGISTRY_KEY) return true;
    if (policy.homeOf && ours.value && theirs.value && ours.birth === theirs.birth) return false;
    const { policies, state } = this.context;
    return [ours, theirs].some(
      ({ key, value }) =>
        value &&
        policies.partitionOf?.(parseKey(key), value, (other) => state.table.get(keyString(other))) === 'majority',
    );
  }

  /** What another part did to an object that lives on a node of this part, and not of that one, was a guess. */
  private livesHere(ours: ObjectRecord, policy: KindPolicy, session: Session): boolean {
    const home = ours.value && policy.homeOf?.(ours.value);
    return home !== undefined && session.ourHomes.has(home) && !session.theirHomes.has(home);
  }

  private sendPiece(peer: string, session: Session): void {
    const { id, outbox } = session;
    const piece = outbox?.next();
    if (!outbox || !piece) return;
    this.say(peer, session, { t: 'sync-install', session: id, ...piece, position: outbox.position });
  }

  private say(peer: string, { turns }: Session, message: SyncMessage): void {
    this.context.send(peer, turns.say(message));
  }
}

/**
 * The other part showed this object under a higher revision than the one that stands, which gets a new one: whoever compares
 * versions of an object, as kubelets and controllers do, would take it for old.
 */
const wasShownLater = (ours: ObjectRecord, theirs: ObjectRecord) =>
  ours.key !== REGISTRY_KEY && ours.value !== undefined && theirs.revision > ours.revision;

/** Positive when the first was last written, or deleted, after the second; their statuses do not count. */
function compareDecisions(a: ObjectRecord, b: ObjectRecord): number {
  const decided = ({ value, version, parts }: ObjectRecord) =>
    value ? laterStamp(parts.metadata, parts.spec) : version;
  const [one, two] = [decided(a), decided(b)];
  return one === two ? 0 : one > two ? 1 : -1;
}
