/**
 * Watches that are shown the same share one channel: however many there are, an event is looked at and encoded once, and handed to
 * their fan-out.
 */
import type { ApiError } from '../../../api/errors.js';
import type { KubeObject } from '../../../api/object.js';
import type { ResourceInfo } from '../../../api/schema/registry.js';
import type { ObjectStore } from '../../../store/object-store.js';
import type { WatchEventType } from '../reads/encoding.js';
import { watchObjects, type WatchSink } from '../reads/object-watch.js';
import type { Selection } from '../reads/selection.js';
import type { ApiResponse } from './exchange.js';
import type { FanOut } from './fan-out.js';

export interface ChannelReader {
  /** Where the channel's frames go. */
  readonly response: ApiResponse;
  /** The channel is over, with everything sent that came before. */
  failed(error: ApiError): void;
}

/** How events are shown. */
export type Encode = (type: WatchEventType, object: KubeObject) => Buffer;

/** Makes what sends a channel's frames to its readers. */
export type MakeFanOut = () => FanOut<ApiResponse>;

export interface ChannelDeps {
  readonly store: ObjectStore;
  readonly fanOut: MakeFanOut;
}

class WatchChannel implements WatchSink {
  private readonly readers = new Set<ChannelReader>();
  private readonly fanOut: FanOut<ApiResponse>;
  private stop: () => void = () => undefined;

  constructor(
    private readonly deps: ChannelDeps,
    private readonly encode: Encode,
    private readonly onEmpty: () => void,
  ) {
    this.fanOut = deps.fanOut();
  }

  open(info: ResourceInfo, selection: Selection): void {
    const { store } = this.deps;
    this.stop = watchObjects(store, info, selection, { from: store.revision }, this);
  }

  event(type: WatchEventType, object: KubeObject): void {
    this.fanOut.push(this.encode(type, object));
  }

  failed(error: ApiError): void {
    for (const reader of this.readers) {
      this.catchUp(reader);
      reader.failed(error);
    }
  }

  join(reader: ChannelReader): void {
    this.readers.add(reader);
    this.fanOut.join(reader.response);
  }

  leave(reader: ChannelReader): void {
    if (!this.readers.delete(reader)) return;
    this.fanOut.leave(reader.response);
    if (this.readers.size > 0) return;
    this.stop();
    this.onEmpty();
  }

  catchUp(reader: ChannelReader): void {
    if (this.readers.has(reader)) this.fanOut.catchUp(reader.response);
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
