/**
 * All that a component sees of the cluster. Implemented in process by the API server (no HTTP, no copies: returned
 * objects are frozen and shared) and over HTTPS for the CLI and light nodes. Every method throws `ApiError`.
 */
import type { KubeObject } from '../api/object.js';
import type { ResourceRef } from '../api/resource.js';

export interface ListOptions {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** Absent: consistent (waits for the newest revision). `'0'`: whatever this peer has, at once. */
  readonly resourceVersion?: string;
}

export interface ObjectList<T> {
  readonly items: readonly T[];
  /** Start a watch here to see everything after this list. */
  readonly resourceVersion: string;
}

export interface WatchOptions {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** Events after this revision are delivered. Absent or `'0'`: current objects first, as ADDED. */
  readonly resourceVersion?: string;
  /** Ends the watch (the iteration returns normally). */
  readonly signal: AbortSignal;
}

export type WatchEvent<T> =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly object: T }
  /** Nothing happened up to this revision. */
  | { readonly type: 'BOOKMARK'; readonly resourceVersion: string };

export type PatchType = 'json' | 'merge' | 'strategic' | 'apply';

export interface WriteOptions {
  readonly fieldManager?: string;
  readonly subresource?: string;
  /**
   * What is left out of the object's allocations is allocated anew, though it never changes otherwise (cluster IPs, pod CIDRs).
   * For repairs by components; a client over HTTP cannot ask for it.
   */
  readonly reallocate?: boolean;
}

export interface DeleteOptions {
  readonly gracePeriodSeconds?: number;
  readonly propagationPolicy?: 'Orphan' | 'Background' | 'Foreground';
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string };
}

export interface Client {
  get<T extends KubeObject>(resource: ResourceRef, namespace: string, name: string): Promise<T>;
  list<T extends KubeObject>(resource: ResourceRef, options?: ListOptions): Promise<ObjectList<T>>;
  /**
   * Ends normally when the signal aborts. Throws a 410 (`isExpired`) when the revision is too old or the history line
   * was lost in a merge: list again.
   */
  watch<T extends KubeObject>(resource: ResourceRef, options: WatchOptions): AsyncIterable<WatchEvent<T>>;
  create<T extends KubeObject>(resource: ResourceRef, object: T, options?: WriteOptions): Promise<T>;
  /** Replaces; `metadata.resourceVersion`, when present, must be current, else 409. */
  update<T extends KubeObject>(resource: ResourceRef, object: T, options?: WriteOptions): Promise<T>;
  /** Replaces only `status` (and nothing when it is unchanged). */
  updateStatus<T extends KubeObject>(resource: ResourceRef, object: T): Promise<T>;
  patch<T extends KubeObject>(
    resource: ResourceRef,
    namespace: string,
    name: string,
    type: PatchType,
    patch: unknown,
    options?: WriteOptions,
  ): Promise<T>;
  /** Resolves when the deletion is accepted; finalizers and grace may keep the object for a while. */
  delete(resource: ResourceRef, namespace: string, name: string, options?: DeleteOptions): Promise<void>;
  /** POST to a subresource that is not an object of its own: `binding`, `eviction`, `token`. Resolves with the answer. */
  createSubresource(
    resource: ResourceRef,
    namespace: string,
    name: string,
    subresource: string,
    body: unknown,
  ): Promise<unknown>;
}
