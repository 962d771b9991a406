/**
 * A watch on one resource: history first, then changes as they are applied, filtered by a selection. Delivers
 * synchronously to its sink; who writes to a slow reader bounds what waits.
 */
import { ApiError, expired, internalError } from '../../../api/errors.js';
import type { RemoteConversion, StorageView } from '../../../api/conversion/conversion.js';
import type { KubeObject } from '../../../api/object.js';
import type { ResourceRef } from '../../../api/resource.js';
import { RevisionGone, type ObjectReader, type Revision, type StoreEvent } from '../../../store/object-store.js';
import { ConvertedWatch, type Convert } from './converted-watch.js';
import type { WatchEventType } from './encoding.js';
import type { Selection } from './selection.js';
import { viewOf } from './view.js';

export interface WatchSink {
  event(type: WatchEventType, object: KubeObject): void;
  /** The initial state is complete; only asked for with `initialEventsEnd`. */
  initialEnd?(revision: Revision): void;
  /** The watch is over with this error. Nothing follows. */
  failed(error: ApiError): void;
}

export interface WatchStart {
  /** Events after this revision; undefined: present objects first, as ADDED. */
  readonly from: Revision | undefined;
  /** For resources that only a webhook can show. */
  readonly convert?: Convert;
}

export const goneError = (error: RevisionGone) =>
  expired(`too old resource version: ${error.requested} (${error.oldest})`);

/** What a change means to a watch with a selection: objects enter and leave it. */
export function selectedType({ type, object, previous }: StoreEvent, selection: Selection): WatchEventType | undefined {
  if (selection.everything) return type;
  const before = previous !== undefined && selection.matches(previous);
  const after = type !== 'DELETED' && selection.matches(object);
  if (after) return before ? 'MODIFIED' : 'ADDED';
  return before ? 'DELETED' : undefined;
}

/**
 * Starts a watch; returns a function that ends it. Throws a 410 when the history does not reach back. Initial objects
 * are delivered before this returns.
 */
export function watchObjects(
  store: ObjectReader,
  target: ResourceRef,
  selection: Selection,
  { from, convert }: WatchStart,
  sink: WatchSink,
): () => void {
  const view = viewOf(target);
  const { group, resource } = view?.storage ?? target;
  const deliver = (event: StoreEvent) => {
    const type = selectedType(event, selection);
    if (type) sink.event(type, leaving(type, event));
  };
  const initial = (objects: readonly KubeObject[]) => {
    for (const object of objects) if (selection.matches(object)) sink.event('ADDED', object);
  };
  const remote = view?.remote && remoteWatch(view.remote, convert, { initial, deliver, sink });
  let start = from;
  if (start === undefined) {
    start = store.revision;
    const stored = store.list(group, resource, selection.namespace);
    if (remote) remote.initial(stored, start);
    else {
      initial(view === undefined ? stored : stored.map((object) => view.fromStorage(object)));
      sink.initialEnd?.(start);
    }
  }
  try {
    const stop = store.watch(group, resource, selection.namespace, start, {
      onEvents(events) {
        try {
          if (remote) remote.events(events);
          else for (const event of events) deliver(view === undefined ? event : viewedEvent(event, view));
        } catch (error) {
          // The store is applying: what cannot be shown ends this watch and nothing else.
          sink.failed(error instanceof ApiError ? error : internalError(error));
        }
      },
      onEnd: () => {
        remote?.end();
        sink.failed(expired('the history this watch followed is gone; list again'));
      },
    });
    return () => {
      remote?.end();
      stop();
    };
  } catch (error) {
    if (error instanceof RevisionGone) throw goneError(error);
    throw error;
  }
}

function remoteWatch(
  remote: RemoteConversion,
  convert: Convert | undefined,
  to: {
    readonly initial: (objects: readonly KubeObject[]) => void;
    readonly deliver: (event: StoreEvent) => void;
    readonly sink: WatchSink;
  },
): ConvertedWatch {
  if (convert === undefined) throw internalError(new Error('this server asks no conversion webhooks'));
  return new ConvertedWatch(remote, convert, {
    initial: to.initial,
    initialEnd: (revision) => to.sink.initialEnd?.(revision),
    event: to.deliver,
    failed: (error) => to.sink.failed(error),
  });
}

/** One conversion an event and view, however many watch: departures and encodings are remembered by identity. */
const viewed = new WeakMap<StoreEvent, Map<StorageView, StoreEvent>>();

function viewedEvent(event: StoreEvent, view: StorageView): StoreEvent {
  let byView = viewed.get(event);
  if (!byView) viewed.set(event, (byView = new Map()));
  let shown = byView.get(view);
  if (!shown) {
    const { previous } = event;
    shown = {
      ...event,
      object: view.fromStorage(event.object),
      previous: previous && view.fromStorage(previous),
    };
    byView.set(view, shown);
  }
  return shown;
}

/** An object that leaves a selection is shown as it last matched, with the revision at which it left. */
const departures = new WeakMap<StoreEvent, KubeObject>();

function leaving(type: WatchEventType, event: StoreEvent): KubeObject {
  if (type !== 'DELETED' || event.type === 'DELETED' || event.previous === undefined) return event.object;
  const known = departures.get(event);
  if (known) return known;
  const { previous, object } = event;
  const { resourceVersion } = object.metadata;
  const last = Object.freeze({
    ...previous,
    metadata: Object.freeze({ ...previous.metadata, ...(resourceVersion === undefined ? {} : { resourceVersion }) }),
  });
  departures.set(event, last);
  return last;
}
