/** A watch as an HTTP stream of JSON lines or of protobuf frames. A reader that falls behind its buffer is cut off and lists again. */
import type { Cancel, Clock } from '../../../base/clock.js';
import type { RemoteConversion } from '../../../api/conversion/conversion.js';
import { ApiError, badRequest } from '../../../api/errors.js';
import type { KubeObject } from '../../../api/object.js';
import { apiVersionOf } from '../../../api/resource.js';
import type { ResourceInfo } from '../../../api/schema/registry.js';
import type { ObjectStore, Revision } from '../../../store/object-store.js';
import type { WatchEventType } from '../reads/encoding.js';
import { type Encoding, FORMATS } from '../reads/formats.js';
import { parseRevision, type ObjectReads } from '../reads/object-reads.js';
import { watchObjects, type WatchSink } from '../reads/object-watch.js';
import type { Selection } from '../reads/selection.js';
import { partialOf, tableFor } from '../tables/table.js';
import { isGone, type ApiRequest, type ApiResponse } from './exchange.js';
import { observerOf } from './exchange-observer.js';
import { sendWithin } from './fan-out.js';
import type { Flushable, FlushSchedule } from './flush-schedule.js';
import type { Representation } from './negotiation.js';
import type { ChannelReader, Encode, WatchChannels } from './watch-channel.js';

export interface WatchStreamLimits {
  /** Bytes that may wait for one reader before it is cut off. */
  readonly bufferBytes: number;
  /** Time between bookmarks, in milliseconds (upstream: about a minute). */
  readonly bookmarkMs: number;
  /** How long a watch lasts unless it says so, in milliseconds (upstream: 30 to 60 minutes). */
  readonly timeoutMs: number;
}

export const DEFAULT_WATCH_LIMITS: WatchStreamLimits = Object.freeze({
  bufferBytes: 16 * 1024 * 1024,
  bookmarkMs: 60_000,
  timeoutMs: 2_700_000,
});

export interface WatchStreamRequest {
  readonly request: ApiRequest;
  readonly response: ApiResponse;
  readonly info: ResourceInfo;
  readonly selection: Selection;
  readonly shown: Representation;
  readonly resourceVersion: string | undefined;
  readonly resourceVersionMatch: string | undefined;
  readonly sendInitialEvents: boolean | undefined;
  readonly bookmarks: boolean;
  /** 0: the default. */
  readonly timeoutSeconds: number;
  readonly includeObject: string;
}

export interface WatchStreamDeps {
  readonly store: ObjectStore;
  readonly reads: ObjectReads;
  readonly clock: Clock;
  readonly flushes: FlushSchedule;
  readonly channels: WatchChannels;
}

const INITIAL_END = { 'k8s.io/initial-events-end': 'true' };

function checkInitialEvents({ sendInitialEvents, resourceVersionMatch }: WatchStreamRequest): void {
  const refuse = (text: string) => new ApiError(422, 'Invalid', `ListOptions.meta.k8s.io "" is invalid: ${text}`);
  if (sendInitialEvents !== undefined && resourceVersionMatch !== 'NotOlderThan') {
    throw refuse(
      'resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan',
    );
  }
  if (sendInitialEvents === undefined && resourceVersionMatch) {
    throw refuse(
      'resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided',
    );
  }
}

/** One reader's stream: what it has in common with others comes by a channel, the rest from a watch of its own. */
class WatchStream implements ChannelReader, Flushable, WatchSink {
  /** What waits for the next flush, of a stream without a channel. */
  private pending: Buffer[] = [];
  private timers: Cancel[] = [];
  private firstTable = true;
  /** The initial state goes out with the headers; then either a channel sends, or what waits here takes turns with it. */
  private phase: 'initial' | 'shared' | 'own' = 'initial';
  private ended = false;
  private stop: () => void = () => undefined;
  private catchUp: () => void = () => this.flushSome();
  readonly response: ApiResponse;
  readonly done: Promise<void>;
  private finish: () => void = () => undefined;

  constructor(
    private readonly deps: WatchStreamDeps,
    private readonly call: WatchStreamRequest,
    private readonly limits: WatchStreamLimits,
  ) {
    this.response = call.response;
    this.done = new Promise((resolve) => (this.finish = resolve));
  }

  /** Starts the store's watch first, so that a 410 is still an HTTP status. */
  begin(from: Revision | undefined): void {
    const { response } = this;
    const { timeoutSeconds, bookmarks } = this.call;
    response.statusCode = 200;
    response.setHeader('Content-Type', this.contentType());
    response.setHeader('Cache-Control', 'no-cache, private');
    response.cork();
    try {
      this.follow(from);
    } finally {
      response.uncork();
    }
    if (this.phase === 'initial') this.phase = 'own';
    if (this.ended) {
      this.stop();
      return;
    }
    response.flushHeaders();
    observerOf(this.call.request)?.started?.();
    const timeout = timeoutSeconds > 0 ? timeoutSeconds * 1000 : this.limits.timeoutMs;
    this.timers.push(this.deps.clock.timer(timeout, () => this.end()));
    // What a conversion webhook still has to show is older than what has been applied.
    if (bookmarks && this.call.info.view?.remote === undefined) {
      this.timers.push(this.deps.clock.interval(this.limits.bookmarkMs, () => this.bookmark(this.deps.store.revision)));
    }
    response.once('close', () => this.end());
  }

  private follow(from: Revision | undefined): void {
    const { info, selection, shown } = this.call;
    const { store, reads, channels } = this.deps;
    const convert = (remote: RemoteConversion, stored: readonly KubeObject[]) => reads.converted(remote, stored);
    this.stop = watchObjects(store, info, selection, { from, convert }, this);
    // Tables carry ages and describe their columns once; what a webhook converts comes later.
    if (this.ended || shown.as === 'table' || info.view?.remote !== undefined) return;
    this.stop();
    const encode: Encode = (type, object) => frameOf(type, object, shown);
    const place = channels.join(info, selection, `${shown.format}/${shown.as}/${shown.metaVersion}`, encode, this);
    this.stop = place.leave;
    this.catchUp = place.catchUp;
    this.phase = 'shared';
  }

  event(type: WatchEventType, object: KubeObject): void {
    if (this.ended) return;
    const { shown, info, includeObject } = this.call;
    if (shown.as !== 'table') {
      this.write(frameOf(type, object, shown));
      return;
    }
    const nowMs = this.deps.clock.nowMs();
    const table = tableFor(info, [object], { metaVersion: shown.metaVersion, includeObject, nowMs });
    // Only the first event of a table watch describes the columns.
    this.line(type, this.firstTable ? table : { ...table, columnDefinitions: null });
    this.firstTable = false;
  }

  initialEnd(revision: Revision): void {
    if (this.call.sendInitialEvents && this.call.bookmarks) this.bookmark(revision, INITIAL_END);
  }

  failed(error: ApiError): void {
    if (this.ended) return;
    this.line('ERROR', error.toStatus());
    this.end();
  }

  end(): void {
    if (this.ended) return;
    this.catchUp();
    this.ended = true;
    for (const cancel of this.timers) cancel();
    this.stop();
    this.deps.flushes.remove(this);
    this.response.end();
    this.finish();
  }

  private contentType(): string {
    const { as, metaVersion } = this.call.shown;
    // What upstream answers; kubectl only looks at the media type.
    const { contentType } = watchOf(this.call.shown);
    return as === 'table' ? `${contentType};as=Table;v=${metaVersion};g=meta.k8s.io` : contentType;
  }

  private bookmark(revision: Revision, annotations?: Record<string, string>): void {
    const { shown, info, includeObject } = this.call;
    const object: KubeObject = {
      kind: info.kind,
      apiVersion: apiVersionOf(info),
      metadata: { resourceVersion: String(revision), ...(annotations ? { annotations } : {}) },
    };
    // It says that everything before it has been sent.
    this.catchUp();
    if (shown.as === 'table') {
      const options = { metaVersion: shown.metaVersion, includeObject, nowMs: this.deps.clock.nowMs() };
      this.line('BOOKMARK', { ...tableFor(info, [object], options), columnDefinitions: null });
    } else this.line('BOOKMARK', shown.as === 'partial' ? partialOf(object, shown.metaVersion) : object);
  }

  private line(type: string, object: object): void {
    this.write(watchOf(this.call.shown).frame(type, object));
  }

  private write(bytes: Buffer): void {
    if (this.phase === 'initial') this.response.write(bytes);
    else if (this.phase === 'shared') this.send([bytes]);
    else {
      this.pending.push(bytes);
      this.deps.flushes.add(this);
    }
  }

  flushSome(): boolean {
    const { pending } = this;
    if (pending.length > 0) {
      this.pending = [];
      this.send(pending);
    }
    return false;
  }

  private send(pieces: readonly Buffer[]): void {
    if (!this.ended) sendWithin(this.response, pieces, this.limits.bufferBytes);
  }
}

/** Throws a 400 for a format without streams. */
function watchOf({ format }: Representation): NonNullable<Encoding['watch']> {
  const { watch } = FORMATS[format];
  if (!watch) throw badRequest('watches are available as JSON and protobuf only');
  return watch;
}

function frameOf(type: WatchEventType, object: KubeObject, shown: Representation): Buffer {
  const { as, metaVersion } = shown;
  return watchOf(shown).frame(type, as === 'partial' ? partialOf(object, metaVersion) : object);
}

/** Serves a watch until the client, its timeout or the server ends it. Throws before anything is sent only. */
export async function streamWatch(
  deps: WatchStreamDeps,
  call: WatchStreamRequest,
  limits: WatchStreamLimits,
  stopping: AbortSignal,
): Promise<void> {
  watchOf(call.shown);
  checkInitialEvents(call);
  const revision = parseRevision(call.resourceVersion);
  await deps.reads.fresh(call.resourceVersion);
  const initial = call.sendInitialEvents ?? (revision === undefined || revision === 0);
  // Without initial events and version, the watch starts now.
  const from = initial ? undefined : revision || deps.store.revision;
  if (isGone(call.response)) return;
  const stream = new WatchStream(deps, call, limits);
  stream.begin(from);
  const onStop = () => stream.end();
  stopping.addEventListener('abort', onStop, { once: true });
  if (stopping.aborted) stream.end();
  await stream.done;
  stopping.removeEventListener('abort', onStop);
}
