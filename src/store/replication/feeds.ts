/**
 * How the sequencer's log reaches its members: how far each of them is, and what it is sent next. A member whose log is on
 * another line is not fed; it has to be brought over first.
 *
 * At most `window` frames are under way to a member. What is lost with a connection is noticed by silence (`probe`), and
 * begun again from the last position that is certain.
 */
import { samePosition, type Epoch, type Position } from '../log-entry.js';
import type { Revision } from '../object-store.js';
import type { ReplicaContext } from './context.js';
import type { View } from './view.js';

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

export interface FeedEvents {
  /** A member's log is on another line: bring it over. */
  onDiverged(peer: string): void;
  /** A synchronisation under way means nothing any more: the peer left, came anew, or is on the line. */
  onSyncVoid(peer: string): void;
  /** The log does not reach back any more to where a member is: it is on no line. */
  onOutrun(): void;
}

export class Feeds {
  private readonly members = new Map<string, Progress>();

  constructor(
    private readonly context: ReplicaContext,
    private readonly epoch: Epoch,
    private readonly view: () => View,
    private readonly events: FeedEvents,
  ) {}

  has(peer: string): boolean {
    return this.members.has(peer);
  }

  /** Where the member is on this line, as far as is certain; undefined while it is on another. */
  matchOf(peer: string): Position | undefined {
    return this.members.get(peer)?.match;
  }

  /** Somebody on this line has no more than this. */
  get neededFrom(): Revision {
    return Math.min(...[...this.members.values()].map(({ match }) => match?.revision ?? Infinity));
  }

  /** A member tells where its log ends, for the first time or anew. */
  track(peer: string, head: Position, confirmed = false): void {
    const match = this.context.state.log.has(head) ? head : undefined;
    const heardMs = this.context.clock.monotonicMs();
    this.members.set(peer, { match, sent: head, unacked: [], heardMs, greeted: false, told: 0, confirmed });
    if (match) this.events.onSyncVoid(peer);
  }

  drop(peer: string): void {
    this.members.delete(peer);
    this.events.onSyncVoid(peer);
  }

  /** A member on the line has everything up to `position` on disk. */
  onAck(peer: string, position: Position): void {
    const progress = this.members.get(peer);
    if (!progress?.match) return;
    if (position.revision > progress.match.revision) progress.match = position;
    progress.unacked = progress.unacked.filter((end) => end > position.revision);
    progress.heardMs = this.context.clock.monotonicMs();
    progress.confirmed = true;
  }

  /** Sends every member what it lacks; has those on another line brought over. */
  feedAll(): void {
    for (const peer of this.members.keys()) this.feed(peer);
  }

  /** Sends a member what it lacks, as far as the window allows. */
  feed(peer: string): void {
    const { state, options } = this.context;
    const progress = this.members.get(peer);
    if (!progress?.match) return;
    if (!state.log.has(progress.sent)) progress.sent = progress.match;
    if (!state.log.has(progress.sent)) {
      progress.match = undefined;
      this.events.onOutrun();
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

  /** After a change of view: whoever is on another line is brought over, the others are fed. */
  review(): void {
    for (const [peer, progress] of this.members) {
      if (!progress.match) this.events.onDiverged(peer);
      else this.feed(peer);
    }
  }

  announce(): void {
    for (const peer of this.members.keys()) this.sendView(peer);
  }

  /** Tells what is acknowledged to whoever did not learn it with a frame. */
  tell(revision: Revision): void {
    for (const [peer, progress] of this.members) {
      if (progress.told >= revision) continue;
      if (this.context.send(peer, { t: 'commit', epoch: this.epoch, revision })) progress.told = revision;
    }
  }

  /** Repairs what was lost with a connection: speaks to members that were silent for too long. */
  probe(): void {
    const now = this.context.clock.monotonicMs();
    const { head } = this.context.state;
    for (const [peer, progress] of this.members) {
      if (now - progress.heardMs < this.context.options.probeMs) continue;
      progress.heardMs = now;
      this.sendView(peer);
      if (!progress.match) {
        // The answer tells whether it is on the line meanwhile, if word of that was lost.
        this.ask(peer, head);
        this.events.onDiverged(peer);
      } else if (!progress.confirmed || progress.match.revision < head.revision) {
        // Ask from the last certain position: an answer tells where the peer really is.
        progress.sent = progress.match;
        progress.unacked = [];
        progress.greeted = false;
        this.feed(peer);
      }
    }
  }

  /** An append without a frame: the peer learns that it is on the line, or answers that it is not. */
  private ask(peer: string, previous: Position): boolean {
    const commit = this.context.state.applied.revision;
    return this.context.send(peer, { t: 'append', epoch: this.epoch, previous, frame: null, commit });
  }

  private sendView(peer: string): void {
    this.context.send(peer, { t: 'view', view: this.view(), commit: this.context.state.applied.revision });
  }
}
