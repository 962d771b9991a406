/**
 * The sequencer's end of the log: gives each change its revision and stamp, shows the newest state, groups what is written
 * into frames, and appends those here.
 *
 * Guarantees: revisions rise in the order of writing, and are above all that the log or anybody asked has seen. At most
 * `framesInFlight` frames are under way; what comes meanwhile shares the next one (group commit). Single-threaded: no
 * method yields in the middle.
 */
import type { KubeObject } from '../../api/object.js';
import { seal, type Entry, type EntryChange, type Epoch, type Frame, type LoggedReply } from '../log-entry.js';
import type { ObjectKey, Revision } from '../object-store.js';
import { encodeRecord, type ObjectRecord } from '../record.js';
import { Overlay, Transaction } from '../transaction.js';
import { Batch } from './batch.js';
import type { ReplicaContext } from './context.js';

export interface LogWriterEvents {
  /** A frame is in the log: the members lack it. */
  onFrame(): void;
  /** More of the log is on this peer's disk: see {@link LogWriter.persisted}. */
  onPersisted(): void;
}

export class LogWriter {
  private readonly overlay: Overlay;
  private batch = new Batch();
  private nextRevision: Revision;
  private onDisk: Revision;
  /** Ends of the frames that are not acknowledged, oldest first. */
  private framesOut: Revision[] = [];
  private over = false;

  constructor(
    private readonly context: ReplicaContext,
    private readonly epoch: Epoch,
    /** The highest revision that anybody asked has seen. */
    seen: Revision,
    private readonly events: LogWriterEvents,
  ) {
    const { state } = context;
    this.overlay = new Overlay(state.table);
    this.onDisk = state.head.revision;
    this.nextRevision = 1 + Math.max(state.head.revision, seen);
    this.showTail();
  }

  /** On this peer's disk up to here. */
  get persisted(): Revision {
    return this.onDisk;
  }

  /** The newest revision given to anything. */
  get newest(): Revision {
    return this.batch.entries.at(-1)?.revision ?? this.context.state.head.revision;
  }

  /** The revision that the next change gets. */
  get next(): Revision {
    return this.nextRevision;
  }

  /** Only revisions above this one are given out from now on. */
  stayAbove(revision: Revision): void {
    this.nextRevision = Math.max(this.nextRevision, revision + 1);
  }

  /** The newest state of an object, acknowledged or not. */
  get(key: string): KubeObject | undefined {
    return this.overlay.get(key);
  }

  /** Whether a write of that object is on its way. */
  isPending(key: string): boolean {
    return this.overlay.has(key);
  }

  /** The answer that went, or will go, into the log with what that request wrote. */
  replyTo(id: string): LoggedReply | undefined {
    return this.context.state.replyTo(id) ?? this.batch.replies.get(id);
  }

  /** On the newest state. Thrown away unless it is given to {@link write} before anything else is written. */
  transaction(): Transaction {
    return new Transaction(this.overlay, this.nextRevision, this.context.clock.nowMs());
  }

  write({ writes }: Transaction): void {
    for (const { change, object } of writes) {
      const revision = this.enqueue(change, change.op === 'put' ? object : undefined);
      if (change.op === 'put' || change.op === 'delete') {
        this.overlay.set(change.key, change.op === 'put' ? object : undefined, revision);
      }
    }
  }

  /** Writes one object outside of any request. */
  put(key: ObjectKey, object: KubeObject): void {
    const transaction = this.transaction();
    transaction.put(key, object);
    this.write(transaction);
  }

  /** Puts an answer into the frame of what was just written. */
  writeReply(reply: LoggedReply): void {
    this.batch.replies.set(reply.id, reply);
  }

  /** A record as a merge made it. */
  writeRecord(record: ObjectRecord): void {
    const revision = this.enqueue({
      op: 'merge',
      key: record.key,
      record: encodeRecord(record, this.context.state.level),
    });
    this.overlay.set(record.key, record.value, revision);
  }

  /** An entry that changes no object: what is acknowledged with it is of this reign, and all before it. */
  writeReign(): void {
    this.enqueue({ op: 'reign' });
  }

  /** Sends the batch unless enough frames are under way; then it goes out when one of them is acknowledged. */
  flush(): void {
    const { state, options } = this.context;
    if (this.over || this.batch.isEmpty || this.framesOut.length >= options.framesInFlight) return;
    const { entries, replies, objects } = this.batch;
    this.batch = new Batch();
    const frame: Frame = { epoch: this.epoch, previous: state.head, entries, replies: [...replies.values()] };
    const saved = state.append(frame, seal(frame, state.level), objects);
    const end = state.head.revision;
    this.framesOut.push(end);
    saved.then(
      () => {
        this.onDisk = Math.max(this.onDisk, end);
        this.events.onPersisted();
      },
      () => undefined, // The replica stops through ReplicaState.onFailure.
    );
    this.events.onFrame();
  }

  /** What enough peers have on disk is part of the state below from now on. */
  commit(upTo: Revision): void {
    this.context.state.commitUpTo(upTo);
    this.overlay.settle(upTo);
    this.framesOut = this.framesOut.filter((end) => end > upTo);
  }

  /** Nothing goes out any more. What is in the log stays there. */
  stop(): void {
    this.over = true;
  }

  private enqueue(change: EntryChange, object?: KubeObject): Revision {
    const revision = this.nextRevision++;
    this.batch.add({ ...change, revision, stamp: this.context.stamps.next() } as Entry, object);
    return revision;
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
