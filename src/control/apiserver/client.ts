/**
 * The `Client` of components in this process: the API server's own reads and writes without HTTP and without copies.
 * Returned objects are frozen and shared with the store.
 */
import { uuid, type Random } from '../../base/random.js';
import { ApiError, badRequest, expired, isConflict, isNotFound, notFoundPath, type Status } from '../../api/errors.js';
import type { KubeObject } from '../../api/object.js';
import { SERVICEACCOUNTS, type ResourceRef } from '../../api/resource.js';
import type { TokenRequest } from '../../api/types/authentication-v1.js';
import type {
  Client,
  DeleteOptions,
  ListOptions,
  ObjectList,
  PatchType,
  WatchEvent,
  WatchOptions,
  WriteOptions,
} from '../../client/client.js';
import type { UserInfo } from '../../security/authn/user.js';
import type { ServiceAccounts } from '../../security/serviceaccounts/service-accounts.js';
import type { ObjectStore } from '../../store/object-store.js';
import { storeFailure, type ObjectReads } from './reads/object-reads.js';
import { watchObjects } from './reads/object-watch.js';
import { parseSelection } from './reads/selection.js';
import { SYSTEM_USER } from './writes/executor.js';
import type { WriteRequest } from './writes/write-request.js';

export interface InProcessClientDeps {
  readonly store: ObjectStore;
  readonly reads: ObjectReads;
  readonly random: Random;
  /** Issues service account tokens. */
  readonly serviceAccounts?: ServiceAccounts;
}

export interface InProcessClientOptions {
  /** Who the writes are made by; skein itself unless told. */
  readonly user?: UserInfo;
  /** Events that may wait for the reader of a watch before it ends with a 410; 10,000 unless told. */
  readonly watchBuffer?: number;
}

type Target = Pick<WriteRequest, 'verb' | 'namespace' | 'name'> & Partial<WriteRequest>;

export class InProcessClient implements Client {
  constructor(
    private readonly deps: InProcessClientDeps,
    private readonly options: InProcessClientOptions = {},
  ) {}

  async get<T extends KubeObject>(resource: ResourceRef, namespace: string, name: string): Promise<T> {
    return (await this.deps.reads.get(resource, namespace, name)) as T;
  }

  async list<T extends KubeObject>(resource: ResourceRef, options: ListOptions = {}): Promise<ObjectList<T>> {
    const selection = parseSelection(resource, options);
    await this.deps.reads.fresh(options.resourceVersion);
    const resourceVersion = String(this.deps.store.revision);
    return { items: (await this.deps.reads.selectAll(resource, selection)) as readonly T[], resourceVersion };
  }

  async *watch<T extends KubeObject>(resource: ResourceRef, options: WatchOptions): AsyncIterable<WatchEvent<T>> {
    const { signal, resourceVersion } = options;
    if (signal.aborted) return;
    const queue = new EventQueue<T>(this.options.watchBuffer ?? 10_000);
    const from = resourceVersion === undefined || resourceVersion === '0' ? undefined : Number(resourceVersion);
    if (from !== undefined && from > this.deps.store.revision) await this.deps.reads.fresh(resourceVersion);
    const { store, reads } = this.deps;
    const start = { from, convert: reads.converted.bind(reads) };
    const stop = watchObjects(store, resource, parseSelection(resource, options), start, queue);
    const onAbort = () => queue.end();
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      queue.limited = true;
      for (let events = await queue.take(); events !== undefined; events = await queue.take()) {
        for (const event of events) {
          if (signal.aborted) return;
          yield event;
        }
      }
    } finally {
      signal.removeEventListener('abort', onAbort);
      stop();
    }
  }

  create<T extends KubeObject>(resource: ResourceRef, object: T, options: WriteOptions = {}): Promise<T> {
    if (options.subresource) throw badRequest('use createSubresource');
    const namespace = object.metadata.namespace ?? '';
    return this.write(resource, { verb: 'create', namespace, name: '', object, ...managerOf(options) });
  }

  update<T extends KubeObject>(resource: ResourceRef, object: T, options: WriteOptions = {}): Promise<T> {
    const { namespace = '', name = '' } = object.metadata;
    return this.write(resource, {
      verb: 'update',
      namespace,
      name,
      object,
      subresource: options.subresource ?? '',
      ...(options.reallocate ? { reallocate: true } : {}),
      ...managerOf(options),
    });
  }

  updateStatus<T extends KubeObject>(resource: ResourceRef, object: T): Promise<T> {
    return this.update(resource, object, { subresource: 'status' });
  }

  patch<T extends KubeObject>(
    resource: ResourceRef,
    namespace: string,
    name: string,
    type: PatchType,
    patch: unknown,
    options: WriteOptions = {},
  ): Promise<T> {
    return this.write(resource, {
      verb: 'patch',
      namespace,
      name,
      object: patch,
      patch: type,
      subresource: options.subresource ?? '',
      ...managerOf(options),
    });
  }

  async delete(resource: ResourceRef, namespace: string, name: string, options: DeleteOptions = {}): Promise<void> {
    const { gracePeriodSeconds, propagationPolicy, preconditions } = options;
    await this.write(resource, {
      verb: 'delete',
      namespace,
      name,
      deletion: {
        ...(gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }),
        ...(propagationPolicy === undefined ? {} : { propagationPolicy }),
        ...preconditions,
      },
    });
  }

  async createSubresource(
    resource: ResourceRef,
    namespace: string,
    name: string,
    subresource: string,
    body: unknown,
  ): Promise<unknown> {
    if (subresource === 'token' && resource.resource === SERVICEACCOUNTS.resource) {
      return this.token(namespace, name, body as TokenRequest);
    }
    return this.write(resource, { verb: 'create', namespace, name, subresource, object: body });
  }

  /** From this peer's memory, so that pods start when nobody else is in reach; it catches up when that is not enough. */
  private async token(namespace: string, name: string, request: TokenRequest): Promise<TokenRequest> {
    const { serviceAccounts } = this.deps;
    if (!serviceAccounts) throw notFoundPath();
    const { requests, lookups } = serviceAccounts;
    try {
      return (await requests.create(namespace, name, request)).object;
    } catch (error) {
      if (!isNotFound(error) && !isConflict(error)) throw error;
      await lookups.fresh();
      return (await requests.create(namespace, name, request)).object;
    }
  }

  private async write<T extends KubeObject>(resource: ResourceRef, target: Target): Promise<T> {
    const request: WriteRequest = {
      id: uuid(this.deps.random),
      group: resource.group,
      version: resource.version,
      resource: resource.resource,
      subresource: '',
      user: this.options.user ?? SYSTEM_USER,
      dryRun: false,
      fieldManager: 'skein',
      unowned: true,
      fieldValidation: 'Ignore',
      force: false,
      contentType: '',
      ...target,
    };
    let reply;
    try {
      reply = await this.deps.reads.write(request, (ready) => this.deps.store.write(ready.id, ready));
    } catch (error) {
      throw storeFailure(error, true);
    }
    if (reply.code >= 400) throw ApiError.fromStatus(reply.body as Partial<Status>);
    return reply.body as T;
  }
}

const managerOf = ({ fieldManager }: WriteOptions) => (fieldManager === undefined ? {} : { fieldManager });

/** What a watch has seen and its reader has not taken yet. */
class EventQueue<T extends KubeObject> {
  /** The initial state may be larger than the buffer: it is there anyway. */
  limited = false;
  private events: WatchEvent<T>[] = [];
  private error: ApiError | undefined;
  private ended = false;
  private waiting: (() => void) | undefined;

  constructor(private readonly limit: number) {}

  event(type: 'ADDED' | 'MODIFIED' | 'DELETED', object: KubeObject): void {
    if (this.ended) return;
    if (this.limited && this.events.length >= this.limit) {
      this.events = [];
      this.failed(expired('the reader of this watch is too slow; list again'));
      return;
    }
    this.events.push({ type, object: object as T });
    this.wake();
  }

  failed(error: ApiError): void {
    this.error ??= error;
    this.end();
  }

  end(): void {
    this.ended = true;
    this.wake();
  }

  /** All that waits; undefined once the watch has ended. Throws what it ended with. */
  async take(): Promise<WatchEvent<T>[] | undefined> {
    while (this.events.length === 0) {
      if (this.error) throw this.error;
      if (this.ended) return undefined;
      await new Promise<void>((resolve) => (this.waiting = resolve));
    }
    const { events } = this;
    this.events = [];
    return events;
  }

  private wake(): void {
    this.waiting?.();
    this.waiting = undefined;
  }
}
