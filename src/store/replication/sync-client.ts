/** The peer's side of a synchronisation; see `sync-server.ts` for the conversation. */
import type { LoggedReply, Position } from '../log-entry.js';
import type { ObjectChange } from '../object-change.js';
import { decodeChanges } from '../object-history.js';
import { decodeRecord, encodeRecord, type ObjectRecord } from '../record.js';
import { parseKey } from '../object-store.js';
import type { Stamp } from '../stamp.js';
import type { ReplicaContext } from './context.js';
import { digestBuckets, statesIn, type RecordState } from './digest.js';
import type { SyncMessage } from './messages.js';
import type { RecordsView } from './replica-state.js';
import { wasForgotten } from './watermark.js';

/** Answers handed over, so that a retry of a request that only this side saw is not executed again. */
const REPLIES_OFFERED = 1_000;

interface Received {
  readonly records: ObjectRecord[];
  readonly absent: string[];
  readonly pasts: Map<string, readonly ObjectChange[]>;
}

export class SyncClient {
  private session = 0;
  private view: RecordsView | undefined;
  private replies: LoggedReply[] = [];
  private buried: (readonly [string, Stamp])[] = [];
  private offers: { records: Uint8Array[]; wants: string[] }[] = [];
  private received: Received = { records: [], absent: [], pasts: new Map() };

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
    this.view = undefined;
    this.buried = [];
    this.offers = [];
    this.received = { records: [], absent: [], pasts: new Map() };
  }

  onMessage(from: string, message: SyncMessage): void {
    if (message.t === 'sync-start') {
      this.begin(from, message.session);
      return;
    }
    if (message.session !== this.session) return;
    switch (message.t) {
      case 'sync-differ':
        this.offers = this.offersFor(message.buckets, message.entries);
        this.sendOffer(from);
        return;
      case 'sync-more':
        this.sendOffer(from);
        return;
      case 'sync-install':
        this.install(from, message);
        return;
      case 'sync-digest':
      case 'sync-offer':
        return;
    }
  }

  private begin(from: string, session: number): void {
    this.cancel();
    this.session = session;
    // Whatever this peer has counts, acknowledged or not: nothing is lost, and the merge decides.
    this.view = this.context.state.withTail();
    this.context.send(from, { t: 'sync-digest', session, buckets: digestBuckets(this.view.all()) });
  }

  private offersFor(
    buckets: readonly number[],
    entries: readonly RecordState[],
  ): { records: Uint8Array[]; wants: string[] }[] {
    const view = this.view as RecordsView;
    const theirs = new Map(entries.map(([key, version]) => [key, version]));
    const isOther = ([key, version, revision]: RecordState) => {
      const mine = view.record(key);
      return mine?.version !== version || mine.revision !== revision;
    };
    this.buried = this.forgotten(entries);
    const wants = entries.filter(isOther).map(([key]) => key);
    const offers: { records: Uint8Array[]; wants: string[] }[] = [{ records: [], wants }];
    let bytes = 0;
    for (const [key, version] of statesIn(view.all(), buckets)) {
      if (theirs.get(key) === version) continue;
      if (bytes > this.context.options.syncChunkBytes) {
        offers.push({ records: [], wants: [] });
        bytes = 0;
      }
      const encoded = encodeRecord(view.record(key) as ObjectRecord, this.context.state.level);
      (offers.at(-1) as (typeof offers)[number]).records.push(encoded);
      bytes += encoded.length;
    }
    return offers;
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

  private sendOffer(to: string): void {
    const offer = this.offers.shift();
    if (!offer) return;
    const last = this.offers.length === 0;
    if (last)
      this.replies = this.context.state.recentReplies(REPLIES_OFFERED).map((reply) => this.selfContained(reply));
    const replies = last ? this.replies : [];
    this.context.send(to, {
      t: 'sync-offer',
      session: this.session,
      ...offer,
      replies,
      homes: this.homes(),
      common: this.common(),
      buried: last ? this.buried : [],
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

  private install(from: string, message: SyncMessage & { t: 'sync-install' }): void {
    for (const [i, bytes] of message.records.entries()) {
      const record = decodeRecord(bytes);
      const past = message.pasts?.[i];
      this.received.records.push(record);
      if (past) this.received.pasts.set(record.key, decodeChanges(past));
    }
    this.received.absent.push(...message.absent);
    if (!message.last) {
      this.context.send(from, { t: 'sync-more', session: this.session });
      return;
    }
    const { records, absent, pasts } = this.received;
    const { session, replies } = this;
    const { state } = this.context;
    // From here on only `cancel` and a new session interrupt; both change the number.
    state
      .install(records, absent, pasts, message.position, () => this.session === session)
      .then(
        (installed) => {
          if (!installed) return;
          // Their revisions are of the line that is gone.
          const kept = replies.filter(({ majority }) => !majority);
          state.rememberReplies(kept.map((reply) => ({ ...reply, revision: 0 })));
          if (this.session !== session) return;
          this.cancel();
          this.onInstalled(from, message.position);
        },
        (error: unknown) => this.onFailure(error),
      );
  }
}
