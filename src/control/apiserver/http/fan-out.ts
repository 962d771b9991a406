/**
 * Frames that many answers have in common, given to each of them. What a reader gets is a run of frames up to the newest, so readers
 * that are equally far share even the bytes of it.
 */
import { isGone, sendPieces, type ApiResponse } from './exchange.js';
import type { Flushable, FlushSchedule } from './flush-schedule.js';

/** One sequence of frames and those who read it. What a reader is sent keeps the order of the calls. */
export interface FanOut<Reader> {
  push(frame: Buffer): void;
  /** Gives the reader every frame from now on. */
  join(reader: Reader): void;
  /** Brings one reader up to date out of turn. */
  catchUp(reader: Reader): void;
  /** Nothing more goes to the reader; what has been pushed and not been sent to it is not sent. */
  leave(reader: Reader): void;
}

/** Sends pieces of an answer, and breaks it off when more than `limitBytes` wait for its reader then. */
export function sendWithin(response: ApiResponse, pieces: readonly Buffer[], limitBytes: number): void {
  if (isGone(response) || sendPieces(response, pieces) <= limitBytes) return;
  response.destroy(new Error('the watcher has fallen behind'));
}

/** Readers whose connections this thread holds. They take turns with those of others. */
export class LocalFanOut<Reader> implements FanOut<Reader>, Flushable {
  /** Where each reader is: the number of the frame it gets next. */
  private readonly readers = new Map<Reader, number>();
  private frames: Buffer[] = [];
  /** The number of the first of `frames`. */
  private first = 0;
  private turn: IterableIterator<Reader> | undefined;
  private headOfTurn = 0;
  private latest: { readonly from: number; readonly to: number; readonly frames: readonly Buffer[] } | undefined;

  /** @param send must not throw. */
  constructor(
    private readonly flushes: FlushSchedule,
    private readonly send: (reader: Reader, frames: readonly Buffer[]) => void,
  ) {}

  push(frame: Buffer): void {
    if (this.readers.size === 0) return;
    this.frames.push(frame);
    this.flushes.add(this);
  }

  join(reader: Reader): void {
    this.readers.set(reader, this.head);
  }

  catchUp(reader: Reader): void {
    const at = this.readers.get(reader);
    if (at === undefined || at === this.head) return;
    this.readers.set(reader, this.head);
    this.send(reader, this.framesFrom(at));
  }

  leave(reader: Reader): void {
    if (!this.readers.delete(reader) || this.readers.size > 0) return;
    this.flushes.remove(this);
    this.turn = undefined;
    this.forgetUpTo(this.head);
  }

  flushSome(count: number): boolean {
    if (!this.turn) {
      this.turn = this.readers.keys();
      this.headOfTurn = this.head;
    }
    for (let served = 0; served < count; served++) {
      const next = this.turn.next();
      if (next.done) {
        this.turn = undefined;
        this.forgetUpTo(this.headOfTurn);
        return false;
      }
      this.catchUp(next.value);
    }
    return true;
  }

  private get head(): number {
    return this.first + this.frames.length;
  }

  private framesFrom(from: number): readonly Buffer[] {
    const to = this.head;
    if (this.latest?.from !== from || this.latest.to !== to) {
      this.latest = { from, to, frames: this.frames.slice(from - this.first) };
    }
    return this.latest.frames;
  }

  private forgetUpTo(frame: number): void {
    if (frame <= this.first) return;
    this.frames = this.frames.slice(frame - this.first);
    this.first = frame;
    this.latest = undefined;
  }
}
