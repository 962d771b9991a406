/**
 * Requests that this peer brings to the sequencer, wherever it is: writes and the question for the newest revision. They
 * outlive takeovers: a request goes to each new sequencer with the same id until it is answered or its time is up.
 */
import type { Cancel } from '../../base/clock.js';
import { StoreUnavailable, type Revision, type WriteReply } from '../object-store.js';
import type { ReplicaContext } from './context.js';
import type { ReplicaState } from './replica-state.js';
import type { Answer } from './executions.js';
import type { Reign } from './reign.js';

interface Pending {
  readonly id: string;
  readonly request: unknown;
  sentTo: string;
  sentMs: number;
  /** The log brought the write here, but not as an event: the body has to be sent. */
  full: boolean;
  readonly resolve: (reply: WriteReply) => void;
  readonly reject: (error: unknown) => void;
  readonly cancelDeadline: Cancel;
}

interface Read {
  readonly n: number;
  sentTo: string;
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
  reign(): Reign | undefined;
  /** The sequencer this peer follows; empty without one. */
  leader(): string;
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

  /** Resolves with the answer once it is certain. Rejects with {@link StoreUnavailable}; the outcome is then unknown. */
  write(id: string, request: unknown): Promise<WriteReply> {
    const { options, clock } = this.context;
    if (this.pending.size >= options.pendingRequests) {
      return Promise.reject(new StoreUnavailable('too many writes are waiting'));
    }
    return new Promise((resolve, reject) => {
      const cancelDeadline = clock.timer(options.requestMs, () => {
        this.pending.delete(id);
        reject(new StoreUnavailable('no sequencer answered in time'));
      });
      const entry: Pending = { id, request, sentTo: '', sentMs: 0, full: false, resolve, reject, cancelDeadline };
      this.pending.set(id, entry);
      this.dispatch(entry);
    });
  }

  /** The sequencer's newest acknowledged revision. Callers that come while a question is out share the next one. */
  readRevision(): Promise<Revision> {
    return new Promise((resolve, reject) => {
      const fresh = !this.next;
      this.next ??= { n: ++this.readSequence, sentTo: '', sentMs: 0, waiting: [] };
      const read = this.next;
      const cancel = this.context.clock.timer(this.context.options.requestMs, () => {
        this.dropRead(read);
        reject(new StoreUnavailable('no sequencer answered in time'));
      });
      read.waiting.push({ resolve, reject, cancel });
      if (fresh && !this.asked) this.ask();
    });
  }

  /** The sequencer may have changed, or time has passed: ask again whatever is unanswered. */
  retry(): void {
    const now = this.context.clock.monotonicMs();
    const { resendMs } = this.context.options;
    const target = this.target();
    for (const entry of this.pending.values()) {
      if (entry.sentTo !== target || now - entry.sentMs >= resendMs) this.dispatch(entry);
    }
    if (this.asked && (this.asked.sentTo !== target || now - this.asked.sentMs >= resendMs)) this.sendRead(this.asked);
    else if (!this.asked && this.next) this.ask();
  }

  onReply(id: string, reply: WriteReply | null, bodyOf: Revision | null, revision: Revision): void {
    const entry = this.pending.get(id);
    if (!entry) return;
    if (!reply) {
      // The sequencer stepped down: the retry after the next change of view finds the new one.
      entry.sentTo = '';
      return;
    }
    void this.finish(entry, { reply, bodyOf, revision });
  }

  onReadAt(n: number, revision: Revision | null): void {
    const read = this.asked;
    if (!read || read.n !== n) return;
    if (revision === null) {
      read.sentTo = '';
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
    const gone = new StoreUnavailable('the replica is stopping');
    for (const entry of this.pending.values()) {
      entry.cancelDeadline();
      entry.reject(gone);
    }
    this.pending.clear();
    for (const read of [this.asked, this.next]) {
      for (const { reject, cancel } of read?.waiting ?? []) {
        cancel();
        reject(gone);
      }
    }
    this.asked = undefined;
    this.next = undefined;
  }

  private target(): string {
    return this.locate.reign() ? this.context.self : this.locate.leader();
  }

  private dispatch(entry: Pending): void {
    const target = this.target();
    entry.sentTo = target;
    entry.sentMs = this.context.clock.monotonicMs();
    if (target === '') return;
    if (target !== this.context.self) {
      if (!this.context.send(target, { t: 'write', id: entry.id, request: entry.request, full: entry.full }))
        entry.sentTo = '';
      return;
    }
    this.locate
      .reign()
      ?.submit(entry.id, entry.request)
      .then(
        (answer) => this.finish(entry, answer),
        () => (entry.sentTo = ''),
      );
  }

  /** A body that the log already brought here is taken from there: it is the same frozen object that watchers see. */
  private async finish(entry: Pending, { reply, bodyOf, revision }: Answer): Promise<void> {
    if (bodyOf !== null) {
      const abort = new AbortController();
      const cancel = this.context.clock.timer(this.context.options.resendMs, () => abort.abort());
      try {
        await this.context.state.waitFor(revision, abort.signal);
      } catch {
        entry.sentTo = '';
        return;
      } finally {
        cancel();
      }
    }
    if (this.pending.get(entry.id) !== entry) return;
    // The log must be that in which the answer was given: on another line the revision is another write.
    const { state } = this.context;
    const known = bodyOf !== null && state.replyTo(entry.id)?.bodyOf === bodyOf ? state.shownBy(bodyOf) : undefined;
    const body = known ?? reply.body;
    if (bodyOf !== null && (body === null || body === undefined) && this.target() !== this.context.self) {
      entry.full = true;
      this.dispatch(entry);
      return;
    }
    this.pending.delete(entry.id);
    entry.cancelDeadline();
    entry.resolve({ ...reply, body: body ?? FORGOTTEN_BODY });
  }

  private ask(): void {
    this.asked = this.next;
    this.next = undefined;
    if (this.asked) this.sendRead(this.asked);
  }

  private sendRead(read: Read): void {
    const target = this.target();
    read.sentTo = target;
    read.sentMs = this.context.clock.monotonicMs();
    if (target === '') return;
    if (target !== this.context.self) {
      if (!this.context.send(target, { t: 'read', n: read.n })) read.sentTo = '';
      return;
    }
    this.locate
      .reign()
      ?.readRevision()
      .then(
        (revision) => this.onReadAt(read.n, revision),
        () => (read.sentTo = ''),
      );
  }

  private dropRead(read: Read): void {
    if (this.asked === read) this.asked = undefined;
    if (this.next === read) this.next = undefined;
    if (!this.asked && this.next) this.ask();
  }
}
