/**
 * A `Client` on memory alone, for tests of components: one global revision counter, optimistic locking, the `status`
 * subresource, finalizers, graceful pod deletion, watches that replay or answer 410, and injected failures.
 *
 * Not a server: no defaulting, validation, admission or authorization. Calls settle asynchronously but act at once, so
 * concurrent calls are ordered by when they were made. Returned objects are deep-frozen and shared.
 */
import { isDeepStrictEqual } from 'node:util';
import { applyPatch, type Operation } from 'rfc6902';
import { rfc3339, type Clock } from '../base/clock.js';
import { safeSuffix, uuid, type Random } from '../base/random.js';
import {
  alreadyExists,
  ApiError,
  badRequest,
  conflict,
  expired,
  forbidden,
  notFound,
  OPTIMISTIC_LOCK_TEXT,
} from '../api/errors.js';
import { keyOf, type KubeObject } from '../api/object.js';
import { apiVersionOf, groupResourceOf, type ResourceRef } from '../api/resource.js';
import type { Binding, Namespace, Pod } from '../api/types/core-v1.js';
import type {
  Client,
  DeleteOptions,
  ListOptions,
  ObjectList,
  PatchType,
  WatchEvent,
  WatchOptions,
  WriteOptions,
} from '../client/client.js';
import { parseFieldSelector } from '../api/selectors/field.js';
import { parseLabelSelector } from '../api/selectors/label.js';
import { mergePatch } from './merge-patch.js';

export type Verb = 'get' | 'list' | 'watch' | 'create' | 'update' | 'updateStatus' | 'patch' | 'delete' | 'subresource';

export interface Call {
  readonly verb: Verb;
  readonly resource: ResourceRef;
  readonly namespace: string;
  readonly name: string;
}

export interface Failure {
  readonly verb?: Verb;
  readonly resource?: ResourceRef;
  /** How many calls fail; 1 unless told. */
  readonly times?: number;
  readonly error: Error;
}

interface Change {
  readonly revision: number;
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly resource: string;
  readonly object: KubeObject;
  readonly previous: KubeObject | undefined;
}

export class MemoryClient implements Client {
  /** Every call made, in order. */
  readonly calls: Call[] = [];
  private revision = 1;
  private readonly objects = new Map<string, Map<string, KubeObject>>();
  private history: Change[] = [];
  private oldest = 0;
  private failures: (Omit<Failure, 'times'> & { left: number })[] = [];
  private wakers = new Set<() => void>();
  private held = false;

  constructor(
    private readonly deps: { readonly clock: Clock; readonly random: Random },
    private readonly options: {
      /** Changes kept for watches; older resumes get 410. 100,000 unless told. */
      readonly historyLimit?: number;
    } = {},
  ) {}

  // What tests use beside the Client interface.

  /** The next matching calls throw `error` and do nothing. */
  failNext(failure: Failure): void {
    const { times, ...rest } = failure;
    this.failures.push({ ...rest, left: times ?? 1 });
  }

  /** Watches deliver nothing until {@link releaseWatches}: a cache that lags. */
  holdWatches(): void {
    this.held = true;
  }

  releaseWatches(): void {
    this.held = false;
    this.wake();
  }

  /** Forgets the history, so that watches from before get 410. */
  compact(): void {
    this.oldest = this.revision;
    this.history = [];
    this.wake();
  }

  /** Puts an object in as it is, status included, without any rule of the API. */
  seed<T extends KubeObject>(resource: ResourceRef, object: T): T {
    return this.insert(resource, structuredClone(object)) as T;
  }

  /** The present objects of a resource, without counting as a call. */
  all<T extends KubeObject>(resource: ResourceRef, namespace?: string): T[] {
    return [...this.bucket(resource).values()].filter(
      (object) => namespace === undefined || object.metadata.namespace === namespace,
    ) as T[];
  }

  /** Writes among {@link calls}: everything but get, list and watch. */
  writes(resource?: ResourceRef): Call[] {
    return this.calls.filter(
      (call) =>
        !['get', 'list', 'watch'].includes(call.verb) &&
        (!resource || groupResourceOf(call.resource) === groupResourceOf(resource)),
    );
  }

  // The Client interface.

  async get<T extends KubeObject>(resource: ResourceRef, namespace: string, name: string): Promise<T> {
    await this.called('get', resource, namespace, name);
    return this.present(resource, namespace, name) as T;
  }

  async list<T extends KubeObject>(resource: ResourceRef, options: ListOptions = {}): Promise<ObjectList<T>> {
    await this.called('list', resource, options.namespace ?? '', '');
    const matches = matcher(resource, options);
    return {
      items: this.all<T>(resource).filter(matches),
      resourceVersion: String(this.revision),
    };
  }

  async *watch<T extends KubeObject>(resource: ResourceRef, options: WatchOptions): AsyncIterable<WatchEvent<T>> {
    await this.called('watch', resource, options.namespace ?? '', '');
    const matches = matcher(resource, options);
    const type = groupResourceOf(resource);
    let seen = Number(options.resourceVersion ?? 0);
    if (seen === 0) {
      seen = this.revision;
      for (const object of this.all<T>(resource).filter(matches)) yield { type: 'ADDED', object };
    }
    while (!options.signal.aborted) {
      if (seen < this.oldest) throw expired(`too old resource version: ${seen} (${this.oldest})`);
      const change = this.held ? undefined : this.history.find(({ revision }) => revision > seen);
      if (!change) {
        await this.changed(options.signal);
        continue;
      }
      seen = change.revision;
      if (change.resource !== type) continue;
      const event = selected<T>(change, matches);
      if (event) yield event;
    }
  }

  async create<T extends KubeObject>(resource: ResourceRef, object: T, options?: WriteOptions): Promise<T> {
    const namespace = object.metadata.namespace ?? '';
    await this.called('create', resource, namespace, object.metadata.name ?? object.metadata.generateName ?? '');
    if (options?.subresource) throw badRequest('use createSubresource');
    if (resource.namespaced && !namespace) throw badRequest('an empty namespace may not be set during creation');
    this.requireLiveNamespace(resource, namespace, object.metadata.name ?? '');
    const made = structuredClone(object) as KubeObject;
    delete made.status;
    delete made.metadata.resourceVersion;
    delete made.metadata.uid;
    delete made.metadata.deletionTimestamp;
    if (resource.kind === 'Pod') made.status = { phase: 'Pending' };
    if (resource.kind === 'Namespace') {
      made.spec = { finalizers: ['kubernetes'] };
      made.status = { phase: 'Active' };
    }
    return this.insert(resource, made) as T;
  }

  async update<T extends KubeObject>(resource: ResourceRef, object: T, options?: WriteOptions): Promise<T> {
    const { namespace = '', name = '' } = object.metadata;
    await this.called('update', resource, namespace, name);
    return this.write(resource, namespace, name, structuredClone(object), options?.subresource) as T;
  }

  async updateStatus<T extends KubeObject>(resource: ResourceRef, object: T): Promise<T> {
    const { namespace = '', name = '' } = object.metadata;
    await this.called('updateStatus', resource, namespace, name);
    return this.write(resource, namespace, name, structuredClone(object), 'status') as T;
  }

  async patch<T extends KubeObject>(
    resource: ResourceRef,
    namespace: string,
    name: string,
    type: PatchType,
    patch: unknown,
    options?: WriteOptions,
  ): Promise<T> {
    await this.called('patch', resource, namespace, name);
    const changed = structuredClone(this.present(resource, namespace, name));
    if (type === 'apply') throw badRequest('MemoryClient has no server-side apply');
    if (type === 'json') {
      const failure = applyPatch(changed, patch as Operation[]).find((error) => error !== null);
      if (failure) throw new ApiError(422, 'Invalid', failure.message);
      return this.write(resource, namespace, name, changed, options?.subresource) as T;
    }
    const merged = mergePatch(changed, patch, type === 'strategic') as KubeObject;
    return this.write(resource, namespace, name, merged, options?.subresource) as T;
  }

  async delete(resource: ResourceRef, namespace: string, name: string, options: DeleteOptions = {}): Promise<void> {
    await this.called('delete', resource, namespace, name);
    const present = this.present(resource, namespace, name);
    const { uid, resourceVersion } = options.preconditions ?? {};
    if (uid !== undefined && uid !== present.metadata.uid) {
      throw conflict(
        resource,
        name,
        `the UID in the precondition (${uid}) does not match the UID in record (${present.metadata.uid}). ` +
          'The object might have been deleted and then recreated',
      );
    }
    if (resourceVersion !== undefined && resourceVersion !== present.metadata.resourceVersion) {
      throw conflict(resource, name, 'the ResourceVersion in the precondition does not match');
    }
    this.startDeletion(resource, present, options);
  }

  async createSubresource(
    resource: ResourceRef,
    namespace: string,
    name: string,
    subresource: string,
    body: unknown,
  ): Promise<void> {
    await this.called('subresource', resource, namespace, name);
    const present = this.present(resource, namespace, name);
    if (subresource === 'eviction') {
      this.startDeletion(resource, present, {});
      return;
    }
    if (subresource !== 'binding') throw notFound(resource, `${name}/${subresource}`);
    const pod = structuredClone(present) as Pod;
    if (pod.spec?.nodeName)
      throw conflict(resource, name, `pod ${name} is already assigned to node "${pod.spec.nodeName}"`);
    pod.spec = { containers: [], ...pod.spec, nodeName: (body as Binding).target.name ?? '' };
    this.replace(resource, present, pod);
  }

  // The state and its rules.

  private async called(verb: Verb, resource: ResourceRef, namespace: string, name: string): Promise<void> {
    this.calls.push({ verb, resource, namespace, name });
    const failure = this.failures.find(
      (candidate) =>
        candidate.left > 0 &&
        (candidate.verb ?? verb) === verb &&
        (!candidate.resource || groupResourceOf(candidate.resource) === groupResourceOf(resource)),
    );
    if (failure) {
      failure.left -= 1;
      throw failure.error;
    }
    await Promise.resolve();
  }

  private bucket(resource: ResourceRef): Map<string, KubeObject> {
    const type = groupResourceOf(resource);
    let bucket = this.objects.get(type);
    if (!bucket) this.objects.set(type, (bucket = new Map()));
    return bucket;
  }

  private present(resource: ResourceRef, namespace: string, name: string): KubeObject {
    const found = this.bucket(resource).get(
      keyOf({ metadata: { namespace: resource.namespaced ? namespace : '', name } }),
    );
    if (!found) throw notFound(resource, name);
    return found;
  }

  /** A namespace that is known here and being deleted takes no new objects; an unknown one is taken as existing. */
  private requireLiveNamespace(resource: ResourceRef, namespace: string, name: string): void {
    const owner = this.objects.get('namespaces')?.get(namespace);
    if (owner?.metadata.deletionTimestamp) {
      throw forbidden(
        resource,
        name,
        `unable to create new content in namespace ${namespace} because it is being terminated`,
      );
    }
  }

  private insert(resource: ResourceRef, object: KubeObject): KubeObject {
    const { metadata } = object;
    if (!metadata.name && metadata.generateName) metadata.name = metadata.generateName + safeSuffix(this.deps.random);
    if (!metadata.name) throw badRequest('name or generateName is required');
    const key = keyOf(object);
    if (this.bucket(resource).has(key)) throw alreadyExists(resource, metadata.name);
    object.apiVersion = apiVersionOf(resource);
    object.kind = resource.kind;
    metadata.uid ??= uuid(this.deps.random);
    metadata.creationTimestamp ??= rfc3339(this.deps.clock.nowMs());
    metadata.generation ??= 1;
    return this.record('ADDED', resource, object, undefined);
  }

  private write(
    resource: ResourceRef,
    namespace: string,
    name: string,
    next: KubeObject,
    subresource: string | undefined,
  ): KubeObject {
    const present = this.present(resource, namespace, name);
    const { resourceVersion, uid } = next.metadata;
    if (resourceVersion && resourceVersion !== present.metadata.resourceVersion) {
      throw conflict(resource, name, OPTIMISTIC_LOCK_TEXT);
    }
    if (uid && uid !== present.metadata.uid) {
      throw conflict(
        resource,
        name,
        `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${present.metadata.uid}`,
      );
    }
    let result: KubeObject;
    if (subresource === 'status') {
      const { annotations } = next.metadata;
      result = withStatus(structuredClone(present), next);
      if (annotations) result.metadata.annotations = annotations;
    } else if (subresource === 'finalize') result = { ...structuredClone(present), spec: next.spec };
    else if (subresource === 'scale') {
      const replicas = (next.spec as { replicas?: number } | undefined)?.replicas ?? 0;
      result = { ...structuredClone(present), spec: { ...(present.spec as object), replicas } };
    } else result = withStatus(next, present);
    return this.replace(resource, present, result);
  }

  /** Stores what the server does not own; an unchanged object gets no new revision; the last finalizer gone removes. */
  private replace(resource: ResourceRef, present: KubeObject, next: KubeObject): KubeObject {
    const owned = [
      'uid',
      'creationTimestamp',
      'deletionTimestamp',
      'deletionGracePeriodSeconds',
      'resourceVersion',
    ] as const;
    for (const field of owned) {
      delete next.metadata[field];
      if (present.metadata[field] !== undefined) Object.assign(next.metadata, { [field]: present.metadata[field] });
    }
    next.apiVersion = apiVersionOf(resource);
    next.kind = resource.kind;
    if (present.metadata.generation !== undefined) next.metadata.generation = present.metadata.generation;
    if (isDeepStrictEqual(next, present)) return present;
    if (!isDeepStrictEqual(desired(next), desired(present))) {
      next.metadata.generation = (present.metadata.generation ?? 0) + 1;
    }
    if (removable(next)) {
      this.record('DELETED', resource, next, present);
      return next;
    }
    return this.record('MODIFIED', resource, next, present);
  }

  private startDeletion(resource: ResourceRef, present: KubeObject, options: DeleteOptions): void {
    const next = structuredClone(present);
    const grace = graceOf(resource, present, options);
    const finalizers = new Set(next.metadata.finalizers ?? []);
    if (options.propagationPolicy === 'Foreground') finalizers.add('foregroundDeletion');
    if (options.propagationPolicy === 'Orphan') finalizers.add('orphan');
    if (finalizers.size > 0) next.metadata.finalizers = [...finalizers];
    const before = present.metadata.deletionGracePeriodSeconds;
    next.metadata.deletionTimestamp ??= rfc3339(this.deps.clock.nowMs() + grace * 1000);
    next.metadata.deletionGracePeriodSeconds = Math.min(before ?? grace, grace);
    if (resource.kind === 'Namespace') next.status = { ...(next.status as Namespace['status']), phase: 'Terminating' };
    if (removable(next)) {
      this.record('DELETED', resource, next, present);
      return;
    }
    if (isDeepStrictEqual(next, present)) return;
    if (!present.metadata.deletionTimestamp) next.metadata.generation = (present.metadata.generation ?? 0) + 1;
    this.record('MODIFIED', resource, next, present);
  }

  private record(
    type: Change['type'],
    resource: ResourceRef,
    object: KubeObject,
    previous: KubeObject | undefined,
  ): KubeObject {
    this.revision += 1;
    object.metadata.resourceVersion = String(this.revision);
    const frozen = deepFreeze(object);
    if (type === 'DELETED') this.bucket(resource).delete(keyOf(object));
    else this.bucket(resource).set(keyOf(object), frozen);
    this.history.push({ revision: this.revision, type, resource: groupResourceOf(resource), object: frozen, previous });
    const limit = this.options.historyLimit ?? 100_000;
    if (this.history.length > limit) this.oldest = this.history.shift()?.revision ?? this.oldest;
    this.wake();
    return frozen;
  }

  private wake(): void {
    const wakers = [...this.wakers];
    this.wakers.clear();
    for (const waker of wakers) waker();
  }

  private async changed(signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve) => {
      const done = () => {
        signal.removeEventListener('abort', done);
        this.wakers.delete(done);
        resolve();
      };
      this.wakers.add(done);
      signal.addEventListener('abort', done, { once: true });
    });
  }
}

function matcher(resource: ResourceRef, options: ListOptions | WatchOptions): (object: KubeObject) => boolean {
  const labels = parseLabelSelector(options.labelSelector ?? '');
  const fields = parseFieldSelector(resource, options.fieldSelector ?? '');
  const { namespace } = options;
  return (object) =>
    (!namespace || object.metadata.namespace === namespace) &&
    labels.matches(object.metadata.labels) &&
    fields.matches(object);
}

/** What a change is to a watch with a selection: objects enter and leave it. */
function selected<T extends KubeObject>(
  { type, object, previous }: Change,
  matches: (object: KubeObject) => boolean,
): WatchEvent<T> | undefined {
  const before = previous !== undefined && matches(previous);
  const after = type !== 'DELETED' && matches(object);
  if (after) return { type: before ? 'MODIFIED' : 'ADDED', object: object as T };
  return before ? { type: 'DELETED', object: object as T } : undefined;
}

function withStatus(object: KubeObject, from: KubeObject): KubeObject {
  const { status: _, ...rest } = object;
  return from.status === undefined ? rest : { ...rest, status: from.status };
}

/** What a change of counts as a new generation. */
function desired({ metadata: _metadata, status: _status, ...rest }: KubeObject): object {
  return rest;
}

function removable({ kind, metadata, spec }: KubeObject): boolean {
  if (!metadata.deletionTimestamp || metadata.finalizers?.length) return false;
  if (kind === 'Namespace') return !(spec as Namespace['spec'])?.finalizers?.length;
  return kind !== 'Pod' || metadata.deletionGracePeriodSeconds === 0;
}

function graceOf(resource: ResourceRef, object: KubeObject, options: DeleteOptions): number {
  if (resource.kind !== 'Pod') return 0;
  const pod = object as Pod;
  if (!pod.spec?.nodeName || pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed') return 0;
  return options.gracePeriodSeconds ?? pod.spec.terminationGracePeriodSeconds ?? 30;
}

/** Freezes all the way down; what is frozen already is taken as frozen below, too. */
export function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  Object.freeze(value);
  for (const child of Object.values(value)) deepFreeze(child);
  return value;
}
