/**
 * Watches that are shown the same share one channel: however many there are, an event is looked at, encoded and kept once,
 * and each reader only has a place in the channel's frames. What a reader sends is a run of frames up to the newest, so
 * readers that are equally far share even the bytes of it.
 */
import type { ApiError } from '../../../api/errors.js';
import type { KubeObject } from '../../../api/object.js';
import type { ResourceInfo } from '../../../api/schema/registry.js';
import type { ObjectStore } from '../../../store/object-store.js';
import type { WatchEventType } from '../reads/encoding.js';
import { watchObjects, type WatchSink } from '../reads/object-watch.js';
import type { Selection } from '../reads/selection.js';
import type { Flushable, FlushSchedule } from './flush-schedule.js';

export interface ChannelReader {
  /** Sends events, encoded one by one. Must not throw. */
  send(frames: readonly Buffer[]): void;
  /** The channel is over, and this reader out of it, with everything sent that came before. */
  failed(error: ApiError): void;
}

/** How events are shown. */
export type Encode = (type: WatchEventType, object: KubeObject) => Buffer;

export interface ChannelDeps {
  readonly store: ObjectStore;
  readonly flushes: FlushSchedule;
}

class WatchChannel implements Flushable, WatchSink {
  /** Where each reader is: the number of the frame it gets next. */
  private readonly readers = new Map<ChannelReader, number>();
  private frames: Buffer[] = [];
  /** The number of the first of `frames`. */
  private first = 0;
  private turn: IterableIterator<ChannelReader> | undefined;
  private headOfTurn = 0;
  private latest: { readonly from: number; readonly to: number; readonly frames: readonly Buffer[] } | undefined;
  private stop: () => void = () => undefined;

  constructor(
    private readonly deps: ChannelDeps,
    private readonly encode: Encode,
    private readonly onEmpty: () => void,
  ) {}

  open(info: ResourceInfo, selection: Selection): void {
    const { store } = this.deps;
    this.stop = watchObjects(store, info, selection, { from: store.revision }, this);
  }

  event(type: WatchEventType, object: KubeObject): void {
    this.frames.push(this.encode(type, object));
    this.deps.flushes.add(this);
  }

  failed(error: ApiError): void {
    for (const reader of this.readers.keys()) {
      this.catchUp(reader);
      reader.failed(error);
    }
  }

  join(reader: ChannelReader): void {
    this.readers.set(reader, this.head);
  }

  leave(reader: ChannelReader): void {
    if (!this.readers.delete(reader) || this.readers.size > 0) return;
    this.stop();
    this.deps.flushes.remove(this);
    this.onEmpty();
  }

  /** Brings one reader up to date out of turn. */
  catchUp(reader: ChannelReader): void {
    const at = this.readers.get(reader);
    if (at === undefined || at === this.head) return;
    this.readers.set(reader, this.head);
    reader.send(this.framesFrom(at));
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

/** The channels of one API server, each for as long as somebody reads it. */
export class WatchChannels {
  private readonly channels = new Map<ResourceInfo, Map<string, WatchChannel>>();

  constructor(private readonly deps: ChannelDeps) {}

  /**
   * Gives the reader every event from now on. `shown` names what `encode` makes of them. Returns how to leave and how to be
   * brought up to date at once.
   */
  join(
    info: ResourceInfo,
    selection: Selection,
    shown: string,
    encode: Encode,
    reader: ChannelReader,
  ): { readonly leave: () => void; readonly catchUp: () => void } {
    let ofResource = this.channels.get(info);
    if (!ofResource) this.channels.set(info, (ofResource = new Map()));
    const channels = ofResource;
    const key = `${shown}\n${selection.text}`;
    let channel = channels.get(key);
    if (!channel) {
      channel = new WatchChannel(this.deps, encode, () => {
        channels.delete(key);
        if (channels.size === 0) this.channels.delete(info);
      });
      channel.open(info, selection);
      channels.set(key, channel);
    }
    const joined = channel;
    joined.join(reader);
    return { leave: () => joined.leave(reader), catchUp: () => joined.catchUp(reader) };
  }
}
