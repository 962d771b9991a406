/**
 * Requests that this peer brings to the sequencer, wherever it is: writes and the question for the newest revision. They
 * outlive takeovers: a request goes to each new sequencer with the same id until it is answered or its time is up.
 *
 * Guarantees: an answer is given once what it tells of shows at this peer and is on its disk, so whoever stays here reads its
 * own writes, whatever becomes of the sequencer; only the sequencer on whose line this peer is is asked and heard. What is refused as unavailable
 * has no effect anywhere. Every wait ends by itself.
 */
import type { Cancel } from '../../base/clock.js';
import { StoreUnavailable, type Revision, type WriteReply } from '../object-store.js';
import { sameEpoch, type Epoch } from '../log-entry.js';
import type { ReplicaContext } from './context.js';
import type { ReplicaState } from './replica-state.js';
import type { Answer } from './executions.js';
import type { Message } from './messages.js';
import type { Reign } from './reign.js';

interface Pending {
  readonly id: string;
  readonly request: unknown;
  /** The reign whose answer is waited for. */
  sentTo: Epoch | undefined;
  sentMs: number;
  /** The last reign that may have it. */
  tried: Epoch | undefined;
  /** An earlier reign may have done it, or will, whatever the present one says. */
  doubtful: boolean;
  /** The log brought the write here, but not as an event: the body has to be sent. */
  full: boolean;
  readonly resolve: (reply: WriteReply) => void;
  readonly reject: (error: unknown) => void;
  readonly cancelDeadline: Cancel;
}

interface Read {
  readonly n: number;
  sentTo: Epoch | undefined;
  sentMs: number;
  readonly waiting: { resolve: (revision: Revision) => void; reject: (error: unknown) => void; cancel: Cancel }[];
}

/** Stands for a body that nobody knows any more: the answer to a retry of something that was deleted long before. */
const FORGOTTEN_BODY = Object.freeze({
  kind: 'Status',
  apiVersion: 'v1',
  metadata: Object.freeze({}),
  status: 'Success',
});

/** The body of an answer, from history or log when it only refers to it. */
export const bodyOf = ({ reply, bodyOf: revision }: Answer, state: ReplicaState): unknown =>
  reply.body ?? (revision === null ? null : (state.shownBy(revision) ?? FORGOTTEN_BODY));

export interface SequencerLocator {
  /** Set while this peer is the sequencer. */
  readonly reign: Reign | undefined;
  /** The reign on whose line this peer is. */
  readonly answering: Epoch | undefined;
}

export class Requests {
  private readonly pending = new Map<string, Pending>();
  /** The question under way, and the one that those who came later share. */
  private asked: Read | undefined;
  private next: Read | undefined;
  private readSequence = 0;

  constructor(
    private readonly context: ReplicaContext,
    private readonly locate: SequencerLocator,
  ) {}

  /**
   * Resolves with the answer once it is certain and shows here. Rejects with {@link StoreUnavailable}: unless it says that the
   * request was refused, the outcome is unknown.
   */
  write(id: string, request: unknown): Promise<WriteReply> {
    const { options, clock } = this.context;
    if (this.pending.size >= options.pendingRequests) {
      return Promise.reject(new StoreUnavailable('too many writes are waiting', true));
    }
    return new Promise((resolve, reject) => {
      const entry: Pending = {
        id,
        request,
        sentTo: undefined,
        sentMs: 0,
        tried: undefined,
        doubtful: false,
        full: false,
        resolve,
        reject,
        cancelDeadline: clock.timer(options.requestMs, () => this.giveUp(entry, 'no sequencer answered in time')),
      };
      this.pending.set(id, entry);
      this.dispatch(entry);
    });
  }

  /** The sequencer's newest acknowledged revision. Callers that come while a question is out share the next one. */
  readRevision(): Promise<Revision> {
    return new Promise((resolve, reject) => {
      const fresh = !this.next;
      this.next ??= { n: ++this.readSequence, sentTo: undefined, sentMs: 0, waiting: [] };
      const read = this.next;
      const cancel = this.context.clock.timer(this.context.options.requestMs, () => {
        this.dropRead(read);
        reject(new StoreUnavailable('no sequencer answered in time', true));
      });
      read.waiting.push({ resolve, reject, cancel });
      if (fresh && !this.asked) this.ask();
    });
  }

  /** The sequencer may have changed, or time has passed: ask again whatever is unanswered. */
  retry(): void {
    for (const entry of this.pending.values()) if (this.isDue(entry)) this.dispatch(entry);
    if (this.asked) {
      if (this.isDue(this.asked)) this.sendRead(this.asked);
    } else if (this.next) this.ask();
  }

  onReply(from: string, { id, reply, bodyOf, revision }: Message & { t: 'reply' }): void {
    const entry = this.pending.get(id);
    const epoch = this.locate.answering;
    // Of a sequencer that this peer has left: what it tells of may never show here.
    if (!entry || epoch?.leader !== from) return;
    if (!reply) {
      // The sequencer stepped down: the retry after the next change of view finds the new one.
      entry.sentTo = undefined;
      return;
    }
    this.answer(entry, { reply, bodyOf, revision }, epoch);
  }

  onReadAt(from: string, n: number, revision: Revision | null): void {
    const read = this.asked;
    if (!read || read.n !== n || this.locate.answering?.leader !== from) return;
    if (revision === null) {
      read.sentTo = undefined;
      return;
    }
    this.asked = undefined;
    for (const { resolve, cancel } of read.waiting) {
      cancel();
      resolve(revision);
    }
    if (this.next) this.ask();
  }

  /** Rejects everything that waits. */
  stop(): void {
    const why = 'the replica is stopping';
    for (const entry of this.pending.values()) this.giveUp(entry, why);
    for (const read of [this.asked, this.next]) {
      for (const { reject, cancel } of read?.waiting ?? []) {
        cancel();
        reject(new StoreUnavailable(why, true));
      }
    }
    this.asked = undefined;
    this.next = undefined;
  }

  private isDue({ sentTo, sentMs }: Pending | Read): boolean {
    const { answering } = this.locate;
    if (!sentTo || !answering || !sameEpoch(sentTo, answering)) return true;
    return this.context.clock.monotonicMs() - sentMs >= this.context.options.resendMs;
  }

  private dispatch(entry: Pending): void {
    const { answering: epoch, reign } = this.locate;
    entry.sentMs = this.context.clock.monotonicMs();
    entry.sentTo = undefined;
    if (!epoch) return;
    if (!reign) {
      const { id, request, full } = entry;
      if (this.context.send(epoch.leader, { t: 'write', id, request, full })) sent(entry, epoch);
      return;
    }
    sent(entry, epoch);
    reign.submit(entry.id, entry.request).then(
      (answer) => this.answer(entry, answer, epoch),
      () => (entry.sentTo = undefined),
    );
  }

  /** Gives the answer when what it tells of is held here, which is nearly always so by now. */
  private answer(entry: Pending, answer: Answer, epoch: Epoch): void {
    if (this.context.state.holds(answer.revision)) this.finish(entry, answer);
    else void this.answerLater(entry, answer, epoch);
  }

  private async answerLater(entry: Pending, answer: Answer, epoch: Epoch): Promise<void> {
    const { state, clock, options } = this.context;
    const abort = new AbortController();
    const cancel = clock.timer(options.resendMs, () => abort.abort());
    const isHeld = await state.untilHeld(answer.revision, abort.signal).then(
      () => true,
      () => false,
    );
    cancel();
    const { answering } = this.locate;
    // On another line the revision is another write: the sequencer of that one has to say.
    if (isHeld && answering && sameEpoch(answering, epoch)) this.finish(entry, answer);
    else entry.sentTo = undefined;
  }

  /** A body that the log already brought here is taken from there: it is the same frozen object that watchers see. */
  private finish(entry: Pending, { reply, bodyOf }: Answer): void {
    if (this.pending.get(entry.id) !== entry) return;
    if (reply.code >= 500 && entry.doubtful) {
      this.giveUp(entry, 'an earlier sequencer may have done it, which the present one refuses');
      return;
    }
    const { state } = this.context;
    // The log must be that in which the answer was given: on another line the revision is another write.
    const known = bodyOf !== null && state.replyTo(entry.id)?.bodyOf === bodyOf ? state.shownBy(bodyOf) : undefined;
    const body = known ?? reply.body;
    if (bodyOf !== null && (body === null || body === undefined) && !this.locate.reign) {
      entry.full = true;
      this.dispatch(entry);
      return;
    }
    this.pending.delete(entry.id);
    entry.cancelDeadline();
    entry.resolve({ ...reply, body: body ?? FORGOTTEN_BODY });
  }

  private giveUp(entry: Pending, why: string): void {
    this.pending.delete(entry.id);
    entry.cancelDeadline();
    entry.reject(new StoreUnavailable(why, entry.tried === undefined));
  }

  private ask(): void {
    this.asked = this.next;
    this.next = undefined;
    if (this.asked) this.sendRead(this.asked);
  }

  private sendRead(read: Read): void {
    const { answering: epoch, reign } = this.locate;
    read.sentMs = this.context.clock.monotonicMs();
    read.sentTo = undefined;
    if (!epoch) return;
    if (!reign) {
      if (this.context.send(epoch.leader, { t: 'read', n: read.n })) read.sentTo = epoch;
      return;
    }
    read.sentTo = epoch;
    reign.readRevision().then(
      (revision) => this.onReadAt(epoch.leader, read.n, revision),
      () => (read.sentTo = undefined),
    );
  }

  private dropRead(read: Read): void {
    if (this.asked === read) this.asked = undefined;
    if (this.next === read) this.next = undefined;
    if (!this.asked && this.next) this.ask();
  }
}

function sent(entry: Pending, epoch: Epoch): void {
  entry.doubtful ||= entry.tried !== undefined && !sameEpoch(entry.tried, epoch);
  entry.tried = epoch;
  entry.sentTo = epoch;
}
