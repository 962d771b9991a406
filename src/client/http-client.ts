/**
 * The cluster over HTTPS: what the CLI uses, and nodes that do not hold everything themselves.
 *
 * A watch outlives single connections: when the server ends it (every one ends some day) or the connection breaks, it
 * goes on behind the last revision seen; it throws only when that fails as well.
 */
import { abortReason, type Clock } from '../base/clock.js';
import { ApiError, type Status } from '../api/errors.js';
import type { KubeObject } from '../api/object.js';
import { apiVersionOf, type ResourceRef } from '../api/resource.js';
import type {
  Client,
  DeleteOptions,
  ListOptions,
  ObjectList,
  PatchType,
  WatchEvent,
  WatchOptions,
  WriteOptions,
} from './client.js';
import { HttpConnection, isUnreachable, type HttpConnectionOptions } from './http-connection.js';
import { jsonLines } from './json-lines.js';

export interface HttpClientOptions extends HttpConnectionOptions {
  /** Bytes of one watch event; 16 MiB unless told. */
  readonly maxLineBytes?: number;
  /**
   * A watch that brought nothing, no bookmark either, for so many milliseconds is taken for dead; 180 000 unless told
   * (bookmarks come once a minute).
   */
  readonly watchIdleMs?: number;
  /** Least time between two connections of one watch, in milliseconds; 1 000 unless told. */
  readonly watchPauseMs?: number;
}

const PATCH_TYPES: Readonly<Record<PatchType, string>> = {
  json: 'application/json-patch+json',
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  apply: 'application/apply-patch+yaml',
};

interface WireList {
  readonly metadata?: { readonly resourceVersion?: string };
  readonly items?: readonly KubeObject[] | null;
}

interface WireEvent {
  readonly type: string | undefined;
  readonly object?: unknown;
}

/** `/api/v1/namespaces/default/pods/web/log`; the namespace is left out where empty. */
export function pathOf(resource: ResourceRef, namespace = '', name = '', subresource = ''): string {
  const root = resource.group ? `/apis/${resource.group}/${resource.version}` : `/api/${resource.version}`;
  const parts = [
    ...(resource.namespaced && namespace ? ['namespaces', namespace] : []),
    resource.resource,
    ...(name ? [name] : []),
    ...(subresource ? [subresource] : []),
  ];
  return `${root}/${parts.map(encodeURIComponent).join('/')}`;
}

export class HttpClient implements Client {
  /** For what is not an object: logs, tables, images, discovery. */
  readonly connection: HttpConnection;
  private readonly maxLineBytes: number;
  private readonly watchIdleMs: number;
  private readonly watchPauseMs: number;

  constructor(
    private readonly deps: { readonly clock: Clock },
    options: HttpClientOptions,
  ) {
    this.connection = new HttpConnection(deps, options);
    this.maxLineBytes = options.maxLineBytes ?? 16 * 1024 * 1024;
    this.watchIdleMs = options.watchIdleMs ?? 180_000;
    this.watchPauseMs = options.watchPauseMs ?? 1_000;
  }

  /** Breaks everything that is under way. */
  close(): void {
    this.connection.close();
  }

  async get<T extends KubeObject>(resource: ResourceRef, namespace: string, name: string): Promise<T> {
    return this.connection.json<T>({ path: pathOf(resource, namespace, name) });
  }

  async list<T extends KubeObject>(resource: ResourceRef, options: ListOptions = {}): Promise<ObjectList<T>> {
    const { namespace, labelSelector, fieldSelector, resourceVersion } = options;
    const list = await this.connection.json<WireList>({
      path: pathOf(resource, namespace),
      query: { labelSelector, fieldSelector, resourceVersion },
    });
    // Items of a list do not repeat what the list says; everyone here expects whole objects.
    const items = (list.items ?? []).map((item) => ({
      apiVersion: apiVersionOf(resource),
      kind: resource.kind,
      ...item,
    })) as unknown as T[];
    return { items, resourceVersion: list.metadata?.resourceVersion ?? '' };
  }

  async *watch<T extends KubeObject>(resource: ResourceRef, options: WatchOptions): AsyncIterable<WatchEvent<T>> {
    const { clock } = this.deps;
    let revision = options.resourceVersion;
    // Until the first bookmark, a watch from "now" brings the present objects in no order that could be resumed.
    let resumable = revision !== undefined && revision !== '0' && revision !== '';
    while (!options.signal.aborted) {
      const began = clock.monotonicMs();
      let seen = 0;
      try {
        for await (const event of this.watchOnce<T>(resource, options, revision)) {
          seen += 1;
          if (event.type === 'BOOKMARK') resumable = true;
          const at = event.type === 'BOOKMARK' ? event.resourceVersion : event.object.metadata.resourceVersion;
          if (at !== undefined) revision = at;
          yield event;
        }
      } catch (error) {
        if (options.signal.aborted) return;
        if (!isUnreachable(error) || !resumable || seen === 0) throw error;
      }
      if (options.signal.aborted) return;
      if (!resumable) throw new ApiError(410, 'Expired', 'the watch ended before its first bookmark');
      const pause = this.watchPauseMs - (clock.monotonicMs() - began);
      if (pause > 0) await clock.sleep(pause, options.signal).catch(() => undefined);
    }
  }

  private async *watchOnce<T extends KubeObject>(
    resource: ResourceRef,
    options: WatchOptions,
    resourceVersion: string | undefined,
  ): AsyncGenerator<WatchEvent<T>> {
    const { namespace, labelSelector, fieldSelector, signal } = options;
    const idle = new AbortController();
    const onAbort = () => idle.abort(abortReason(signal));
    signal.addEventListener('abort', onAbort, { once: true });
    let stopTimer: () => void = () => undefined;
    const listen = () => {
      stopTimer();
      const text = `nothing came for ${this.watchIdleMs} ms`;
      stopTimer = this.deps.clock.timer(this.watchIdleMs, () =>
        idle.abort(this.connection.unreachable(new Error(text))),
      );
    };
    try {
      const stream = await this.connection.stream({
        path: pathOf(resource, namespace),
        query: { watch: true, allowWatchBookmarks: true, resourceVersion, labelSelector, fieldSelector },
        signal: idle.signal,
      });
      try {
        listen();
        for await (const line of jsonLines(stream, this.maxLineBytes)) {
          listen();
          yield decodeEvent<T>(line);
        }
      } finally {
        stream.destroy();
      }
    } catch (error) {
      if (idle.signal.aborted) throw abortReason(idle.signal);
      throw error instanceof ApiError ? error : this.connection.unreachable(error);
    } finally {
      stopTimer();
      signal.removeEventListener('abort', onAbort);
    }
  }

  async create<T extends KubeObject>(resource: ResourceRef, object: T, options: WriteOptions = {}): Promise<T> {
    const { namespace, name = '' } = object.metadata;
    const path = options.subresource
      ? pathOf(resource, namespace, name, options.subresource)
      : pathOf(resource, namespace);
    return this.write('POST', path, object, options);
  }

  async update<T extends KubeObject>(resource: ResourceRef, object: T, options: WriteOptions = {}): Promise<T> {
    const { namespace, name = '' } = object.metadata;
    return this.write('PUT', pathOf(resource, namespace, name, options.subresource), object, options);
  }

  async updateStatus<T extends KubeObject>(resource: ResourceRef, object: T): Promise<T> {
    return this.update(resource, object, { subresource: 'status' });
  }

  async patch<T extends KubeObject>(
    resource: ResourceRef,
    namespace: string,
    name: string,
    type: PatchType,
    patch: unknown,
    options: WriteOptions = {},
  ): Promise<T> {
    const path = pathOf(resource, namespace, name, options.subresource);
    return this.write('PATCH', path, patch, options, PATCH_TYPES[type]);
  }

  async delete(resource: ResourceRef, namespace: string, name: string, options: DeleteOptions = {}): Promise<void> {
    await this.connection.request({
      method: 'DELETE',
      path: pathOf(resource, namespace, name),
      body: JSON.stringify({ apiVersion: 'v1', kind: 'DeleteOptions', ...options }),
    });
  }

  async createSubresource(
    resource: ResourceRef,
    namespace: string,
    name: string,
    subresource: string,
    body: unknown,
  ): Promise<unknown> {
    const path = pathOf(resource, namespace, name, subresource);
    return this.connection.json<unknown>({ method: 'POST', path, body: JSON.stringify(body) });
  }

  private async write<T>(
    method: string,
    path: string,
    body: unknown,
    { fieldManager }: WriteOptions,
    contentType = 'application/json',
  ): Promise<T> {
    return this.connection.json<T>({ method, path, query: { fieldManager }, body: JSON.stringify(body), contentType });
  }
}

function decodeEvent<T extends KubeObject>(line: unknown): WatchEvent<T> {
  const { type, object } = (line ?? {}) as WireEvent;
  switch (type) {
    case 'ADDED':
    case 'MODIFIED':
    case 'DELETED':
      return { type, object: object as T };
    case 'BOOKMARK':
      return { type, resourceVersion: (object as T).metadata.resourceVersion ?? '' };
    case 'ERROR':
      throw ApiError.fromStatus(object as Partial<Status>);
    case undefined:
    default:
      throw new ApiError(502, '', `a watch event of type ${JSON.stringify(type)} came`);
  }
}
