/**
 * What the API server sees of the replicated store. Reads are served from this peer's memory; a write runs as one
 * synchronous function on the component's sequencer, against the newest state, so nothing can come between its read and
 * its write.
 */
import type { KubeObject } from '../api/object.js';

/** A revision: one increasing integer, the same on all peers for the same write. Fits 53 bits. */
export type Revision = number;

/** Identifies a stored object whatever its version: `group/resource/namespace/name`. */
export interface ObjectKey {
  readonly group: string;
  readonly resource: string;
  /** Empty for cluster-scoped objects. */
  readonly namespace: string;
  readonly name: string;
}

/** The canonical string form. The parts cannot contain a slash. */
export const keyString = (key: ObjectKey): string => `${key.group}/${key.resource}/${key.namespace}/${key.name}`;

/** The inverse of {@link keyString}. */
export function parseKey(text: string): ObjectKey {
  const [group = '', resource = '', namespace = '', name = ''] = text.split('/');
  return { group, resource, namespace, name };
}

export interface StoreEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly key: ObjectKey;
  /** The object after the write; for DELETED its last state, with the deletion's revision as resourceVersion. */
  readonly object: KubeObject;
  /** The object before the write, so that a filtered watch can tell entering from leaving. */
  readonly previous: KubeObject | undefined;
  readonly revision: Revision;
}

export interface StoreWatcher {
  /** Events in revision order; called synchronously as they are applied. Must not throw. */
  onEvents(events: readonly StoreEvent[]): void;
  /** The history line was lost in a merge, or the replica stops: the watch is over, answer 410 Gone. */
  onEnd(): void;
}

export interface ObjectReader {
  /** The newest revision applied on this peer. */
  readonly revision: Revision;
  /** A frozen object with its resourceVersion set. */
  get(key: ObjectKey): KubeObject | undefined;
  /** All objects of a resource in key order (namespace, name); of one namespace when given. */
  list(group: string, resource: string, namespace?: string): readonly KubeObject[];
  /**
   * Delivers every event of the resource after `from`: those still in the history at once, the rest as they happen.
   * Returns a function that ends the watch.
   * Throws {@link RevisionGone} if the history does not reach back to `from` or that line was lost in a merge.
   */
  watch(
    group: string,
    resource: string,
    namespace: string | undefined,
    from: Revision,
    watcher: StoreWatcher,
  ): () => void;
}

/** The history does not reach back to that revision (or the line was lost in a merge). */
export class RevisionGone extends Error {
  readonly code = 'ERR_REVISION_GONE';
  constructor(
    readonly requested: Revision,
    readonly oldest: Revision,
  ) {
    super(`too old resource version: ${requested} (${oldest})`);
  }
}

/**
 * The newest state on the sequencer, including writes that are appended but not yet acknowledged. Valid only during the
 * synchronous function it is given to. If that function throws, nothing it did takes effect.
 */
export interface WriteTransaction {
  /** Wall-clock time of this write in milliseconds, the same on every peer. */
  readonly nowMs: number;
  get(key: ObjectKey): KubeObject | undefined;
  list(group: string, resource: string, namespace?: string): readonly KubeObject[];
  /** Creates or replaces. Returns the frozen object with its new resourceVersion. Takes ownership of `object`. */
  put(key: ObjectKey, object: KubeObject): KubeObject;
  /** Removes the object and returns its last state with the deletion's revision. Does nothing for an absent key. */
  delete(key: ObjectKey): KubeObject | undefined;
}

/** A write's answer as it is logged and sent back. */
export interface WriteReply {
  /** HTTP status code. */
  readonly code: number;
  readonly body: unknown;
  /** Texts for `Warning:` headers. */
  readonly warnings: readonly string[];
  /** What the audit log is to say of the request besides. */
  readonly annotations?: Readonly<Record<string, string>>;
  /** The answer may only be given once a majority of the registered peers has what it rests on on their disks. */
  readonly majority?: true;
}

/**
 * Runs on the sequencer, synchronously; gets the request as submitted (plain JSON-like data or bytes). Failures are
 * answers too: return them; of one with a code of 400 or more nothing is written, whatever was put before it was known. A
 * throw is a bug and is answered as an internal error.
 */
export type WriteExecutor = (transaction: WriteTransaction, request: unknown) => WriteReply;

export interface ObjectStore extends ObjectReader {
  /**
   * Learns the sequencer's newest acknowledged revision, waits until it is applied here, and returns it. Rejects with
   * {@link StoreUnavailable} when there is no sequencer in reach within the configured time.
   */
  barrier(signal?: AbortSignal): Promise<Revision>;
  /** Resolves once `revision` is applied here; rejects when the signal aborts. */
  waitFor(revision: Revision, signal: AbortSignal): Promise<void>;
  /**
   * Runs the request on the component's sequencer, exactly once per `id` (also across a takeover), and resolves when it
   * is durable on enough peers. Rejects with {@link StoreUnavailable}; the outcome is then unknown.
   */
  write(id: string, request: unknown): Promise<WriteReply>;
}

/** The store with something in front of its writes; all else goes to it as it comes. */
export function withWrite(store: ObjectStore, write: ObjectStore['write']): ObjectStore {
  return {
    get revision() {
      return store.revision;
    },
    get: (key) => store.get(key),
    list: (group, resource, namespace) => store.list(group, resource, namespace),
    watch: (group, resource, namespace, from, watcher) => store.watch(group, resource, namespace, from, watcher),
    barrier: (signal) => store.barrier(signal),
    waitFor: (revision, signal) => store.waitFor(revision, signal),
    write,
  };
}

/** No sequencer was in reach in time, or nothing can be stored. Answered as 503 (or 504 when the outcome is unknown). */
export class StoreUnavailable extends Error {
  readonly code = 'ERR_STORE_UNAVAILABLE';
  constructor(
    message: string,
    /** The request was refused at once: it certainly has no effect. */
    readonly refused = false,
  ) {
    super(message);
  }
}
