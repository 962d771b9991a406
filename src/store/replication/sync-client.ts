/** The peer's side of a synchronisation; see `sync-server.ts` for the conversation. */
import { WorkSlices } from '../../base/work-slices.js';
import { differingLeaves, leavesIn, type RecordState } from '../digest-tree.js';
import { compareEpochs, type Epoch, type LoggedReply, type Position } from '../log-entry.js';
import type { ObjectChange } from '../object-change.js';
import { decodeChanges } from '../object-history.js';
import { encodeRecord, type ObjectRecord } from '../record.js';
import { parseKey } from '../object-store.js';
import type { Stamp } from '../stamp.js';
import type { ReplicaContext } from './context.js';
import type { Installation } from './installation.js';
import type { SyncMessage } from './messages.js';
import type { RecordsView } from './replica-state.js';
import { Turns } from './turns.js';
import { wasForgotten } from './watermark.js';

/** Answers handed over, so that a retry of a request that only this side saw is not executed again. */
const REPLIES_OFFERED = 1_000;

/** What differs in one part of the state, on its way to the sequencer. */
interface Offer {
  readonly records: readonly ObjectRecord[];
  sent: number;
  /** Of the answers that go with the last part. */
  answered: number;
  /** Ids of the answers that the sequencer lacks; undefined: all go. */
  readonly wanted: ReadonlySet<string> | undefined;
  /** Sent with the first of its messages. */
  wants: readonly string[];
  buried: readonly (readonly [key: string, version: Stamp])[];
  /** There is no other part. */
  readonly isLast: boolean;
}

export class SyncClient {
  private session = 0;
  private turns = new Turns();
  /** The newest session that was ever begun: what comes again of its beginning, or of an older one's, is late. */
  private begun: { readonly epoch: Epoch; readonly session: number } | undefined;
  private view: RecordsView | undefined;
  /** Answers handed over, once all records are. */
  private replies: LoggedReply[] | undefined;
  private offer: Offer | undefined;
  private installation: Installation | undefined;
  /** The pieces before are in place. */
  private installing: Promise<void> = Promise.resolve();

  constructor(
    private readonly context: ReplicaContext,
    /** Names of the nodes in the part of the cluster that this peer comes from. */
    private readonly homes: () => readonly string[],
    /** Until when this peer had everything in common with somebody who is in step with the sequencer. */
    private readonly common: () => Stamp,
    /** The state is now that of the sequencer's line at this position, durably. */
    private readonly onInstalled: (from: string, position: Position) => void,
    private readonly onFailure: (error: unknown) => void,
  ) {}

  /** Another sequencer is followed from now on: what comes of the session is not wanted any more. */
  cancel(): void {
    this.session = 0;
    this.turns = new Turns();
    this.view = undefined;
    this.offer = undefined;
    this.replies = undefined;
    this.installation = undefined;
    this.installing = Promise.resolve();
  }

  onMessage(from: string, message: SyncMessage): void {
    if (message.t === 'sync-start') {
      if (this.isNew(message)) this.begin(from, message);
      return;
    }
    if (message.session !== this.session || !this.turns.hears(message)) return;
    switch (message.t) {
      case 'sync-narrow':
        this.narrow(from, message.buckets, message.leaves);
        return;
      case 'sync-differ':
        this.offer = this.offerFor(message);
        this.sendOffer(from);
        return;
      case 'sync-more':
        this.sendOffer(from);
        return;
      case 'sync-install':
        this.install(from, message);
        return;
      case 'sync-digest':
      case 'sync-leaves':
      case 'sync-offer':
        return;
    }
  }

  private isNew({ epoch, session }: SyncMessage & { t: 'sync-start' }): boolean {
    const { begun } = this;
    return !begun || (compareEpochs(epoch, begun.epoch) || session - begun.session) > 0;
  }

  private begin(from: string, { epoch, session }: SyncMessage & { t: 'sync-start' }): void {
    this.cancel();
    this.begun = { epoch, session };
    this.session = session;
    // Whatever this peer has counts, acknowledged or not: nothing is lost, and the merge decides.
    this.view = this.context.state.withTail();
    const answers = this.context.state.recentReplies(REPLIES_OFFERED).map(({ id }) => id);
    const buckets = this.view.digests.buckets();
    this.say(from, { t: 'sync-digest', session, buckets, narrows: true, answers });
  }

  private narrow(from: string, buckets: readonly number[], leaves: readonly Uint8Array[]): void {
    const { digests } = this.view as RecordsView;
    const differ = buckets.flatMap((bucket, i) => {
      const theirs = leaves[i];
      return theirs ? differingLeaves(bucket, digests.leavesOf(bucket), theirs) : [];
    });
    this.say(from, { t: 'sync-leaves', session: this.session, leaves: differ });
  }

  private say(to: string, message: SyncMessage): void {
    this.context.send(to, this.turns.say(message));
  }

  private offerFor({ buckets, leaves = [], entries, last = true, unknown }: SyncMessage & { t: 'sync-differ' }): Offer {
    const view = this.view as RecordsView;
    const theirs = new Map(entries.map(([key, version]) => [key, version]));
    const isOther = ([key, version, revision]: RecordState) => {
      const mine = view.record(key);
      return mine?.version !== version || mine.revision !== revision;
    };
    const records: ObjectRecord[] = [];
    for (const leaf of [...buckets.flatMap(leavesIn), ...leaves]) {
      for (const key of view.digests.keysIn(leaf)) {
        const mine = view.record(key);
        if (mine && theirs.get(key) !== mine.version) records.push(mine);
      }
    }
    const wants = entries.filter(isOther).map(([key]) => key);
    const wanted = unknown && new Set(unknown);
    return { records, sent: 0, answered: 0, wanted, wants, buried: this.forgotten(entries), isLast: last };
  }

  private forgotten(entries: readonly RecordState[]): (readonly [string, Stamp])[] {
    const { state, policies } = this.context;
    const common = this.common();
    return entries.flatMap(([key, text]) => {
      const version = text as Stamp;
      if (this.view?.record(key)) return [];
      const { group, resource } = parseKey(key);
      const { tombstones } = policies.policyOf(group, resource);
      return wasForgotten(version, common, state.collectedUpTo, tombstones) ? [[key, version] as const] : [];
    });
  }

  /** The next records of the part that is being offered, as many as a message takes. */
  private sendOffer(to: string): void {
    const { offer } = this;
    if (!offer) return;
    const { state, options, clock } = this.context;
    const records: Uint8Array[] = [];
    let bytes = 0;
    const slice = new WorkSlices(clock, options.sliceRecords + 1);
    while (offer.sent < offer.records.length && bytes <= options.syncChunkBytes && !slice.isOver()) {
      const encoded = encodeRecord(offer.records[offer.sent++] as ObjectRecord, state.level);
      records.push(encoded);
      bytes += encoded.length;
    }
    const isDone = offer.sent === offer.records.length;
    if (isDone && offer.isLast && !this.replies) {
      const { wanted } = offer;
      const replies = state.recentReplies(REPLIES_OFFERED).filter(({ id }) => !wanted || wanted.has(id));
      this.replies = replies.map((reply) => this.selfContained(reply));
    }
    const replies: LoggedReply[] = [];
    for (const reply of isDone ? (this.replies ?? []).slice(offer.answered) : []) {
      if (bytes > options.syncChunkBytes) break;
      replies.push(reply);
      bytes += reply.body?.length ?? 0;
    }
    offer.answered += replies.length;
    const last = isDone && offer.isLast && offer.answered === this.replies?.length;
    const next = isDone && !offer.isLast;
    const { wants, buried } = offer;
    offer.wants = [];
    offer.buried = [];
    if (last || next) this.offer = undefined;
    this.say(to, {
      t: 'sync-offer',
      session: this.session,
      records,
      wants,
      replies,
      homes: this.homes(),
      common: this.common(),
      buried,
      ...(next ? { next } : {}),
      last,
    });
  }

  /** Our revisions mean nothing on the other line: the body goes along. */
  private selfContained(reply: LoggedReply): LoggedReply {
    if (reply.bodyOf === undefined) return reply;
    const { bodyOf, ...rest } = reply;
    const object = this.view?.objectAt(bodyOf) ?? null;
    return { ...rest, body: JSON.stringify(object) };
  }

  /** One piece after the other; while one is put in its place the next is on its way. */
  private install(from: string, message: SyncMessage & { t: 'sync-install' }): void {
    const { state, options } = this.context;
    const { session } = this;
    const installation = (this.installation ??= state.beginInstallation(options.sliceRecords));
    const { records, pasts, absent, last, position } = message;
    const isWanted = () => this.session === session;
    const more = () => this.say(from, { t: 'sync-more', session });
    this.installing = this.installing
      .then(async () => {
        if (!isWanted()) return;
        if (!last) more();
        await installation.add(records, (i) => this.changesIn(pasts?.[i]), absent);
        if (last && isWanted()) await this.finish(from, installation, position, isWanted);
      })
      .catch((error: unknown) => this.onFailure(error));
  }

  private changesIn(past: Uint8Array | undefined): ObjectChange[] {
    return past ? decodeChanges(past, this.context.storage.formats) : [];
  }

  private async finish(
    from: string,
    installation: Installation,
    position: Position,
    isWanted: () => boolean,
  ): Promise<void> {
    const { state, clock, options } = this.context;
    const { session, turns, replies = [] } = this;
    // The sequencer must not take the work at the end for silence.
    const here = () => this.context.send(from, turns.say({ t: 'sync-more', session }));
    const stop = clock.interval(options.syncIdleMs / 4, here);
    try {
      if (!(await state.install(installation, position, isWanted))) return;
    } finally {
      stop();
    }
    // Their revisions are of the line that is gone.
    const kept = replies.filter(({ majority }) => !majority);
    state.forgetMajorityReplies();
    state.rememberReplies(kept.map((reply) => ({ ...reply, revision: 0 })));
    if (!isWanted()) return;
    this.cancel();
    this.onInstalled(from, position);
  }
}
