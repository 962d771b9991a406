/** The peer's side of a synchronisation; see `sync-server.ts` for the conversation. */
import { errorText } from '../../base/log.js';
import type { LoggedReply, Position } from '../log-entry.js';
import { decodeRecord, encodeRecord, type ObjectRecord } from '../record.js';
import type { ReplicaContext } from './context.js';
import { digestBuckets, versionsIn } from './digest.js';
import type { SyncMessage } from './messages.js';

/** Answers handed over, so that a retry of a request that only this side saw is not executed again. */
const REPLIES_OFFERED = 1_000;

export class SyncClient {
  private session = 0;
  private offers: { records: Uint8Array[]; wants: string[] }[] = [];
  private received: { records: ObjectRecord[]; absent: string[] } = { records: [], absent: [] };

  constructor(
    private readonly context: ReplicaContext,
    /** The state is now that of the sequencer's line at this position, durably. */
    private readonly onInstalled: (from: string, position: Position) => void,
  ) {}

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
      default:
        return;
    }
  }

  private begin(from: string, session: number): void {
    const { state } = this.context;
    this.session = session;
    this.received = { records: [], absent: [] };
    // Whatever this peer has counts, acknowledged or not: nothing is lost, and the merge decides.
    state.commitUpTo(state.head.revision);
    this.context.send(from, { t: 'sync-digest', session, buckets: digestBuckets(state.table.allRecords()) });
  }

  private offersFor(
    buckets: readonly number[],
    entries: readonly (readonly [string, string])[],
  ): { records: Uint8Array[]; wants: string[] }[] {
    const { table } = this.context.state;
    const theirs = new Map(entries);
    const wants = entries.filter(([key, version]) => table.record(key)?.version !== version).map(([key]) => key);
    const offers: { records: Uint8Array[]; wants: string[] }[] = [{ records: [], wants }];
    let bytes = 0;
    for (const [key, version] of versionsIn(table.allRecords(), buckets)) {
      if (theirs.get(key) === version) continue;
      if (bytes > this.context.options.syncChunkBytes) {
        offers.push({ records: [], wants: [] });
        bytes = 0;
      }
      const encoded = encodeRecord(table.record(key) as ObjectRecord);
      (offers.at(-1) as (typeof offers)[number]).records.push(encoded);
      bytes += encoded.length;
    }
    return offers;
  }

  private sendOffer(to: string): void {
    const offer = this.offers.shift();
    if (!offer) return;
    const last = this.offers.length === 0;
    const replies = last ? this.context.state.recentReplies(REPLIES_OFFERED).map((reply) => this.selfContained(reply)) : [];
    this.context.send(to, { t: 'sync-offer', session: this.session, ...offer, replies, last });
  }

  /** Our revisions mean nothing on the other line: the body goes along. */
  private selfContained(reply: LoggedReply): LoggedReply {
    if (reply.bodyOf === undefined) return reply;
    const { bodyOf, ...rest } = reply;
    const object = this.context.state.table.eventAt(bodyOf)?.object ?? null;
    return { ...rest, body: JSON.stringify(object) };
  }

  private install(from: string, message: SyncMessage & { t: 'sync-install' }): void {
    this.received.records.push(...message.records.map(decodeRecord));
    this.received.absent.push(...message.absent);
    if (!message.last) {
      this.context.send(from, { t: 'sync-more', session: this.session });
      return;
    }
    const { records, absent } = this.received;
    this.session = 0;
    this.context.state.install(records, absent, message.position).then(
      () => this.onInstalled(from, message.position),
      (error: unknown) => this.context.log.error('could not install the synchronised state', { error: errorText(error) }),
    );
  }
}
