/**
 * GET and LIST from this peer's replica. Without a version they are consistent: they wait for the sequencer's newest
 * acknowledged revision. Chunked lists continue on the snapshot they began with while it is remembered.
 */
import type { Clock } from '../../../base/clock.js';
import {
  ApiError,
  badRequest,
  expired,
  internalError,
  invalid,
  notFound,
  serviceUnavailable,
  timeout,
} from '../../../api/errors.js';
import type { KubeObject } from '../../../api/object.js';
import type { ResourceRef } from '../../../api/resource.js';
import { viewOf } from './view.js';
import {
  RevisionGone,
  StoreUnavailable,
  type ObjectStore,
  type Revision,
  type WriteReply,
} from '../../../store/object-store.js';
import type { RemoteConversion, StorageView } from '../../../api/conversion/conversion.js';
import type { WebhookConversions } from '../customresources/webhook-conversions.js';
import type { WriteRequest } from '../writes/write-request.js';
import { listAt, positionOf } from './rewound-list.js';
import { isLease, renewed, type NodeHeartbeats } from './node-leases.js';
import { ListSizes } from './list-sizes.js';
import type { Selection } from './selection.js';

export interface ReadDeps {
  readonly store: ObjectStore;
  readonly clock: Clock;
  /** Asks conversion webhooks; without it, resources that need one cannot be read. */
  readonly conversions?: Pick<WebhookConversions, 'shown' | 'write'>;
  /** Shown in the Leases of nodes; without it those are shown as they are stored. */
  readonly heartbeats?: NodeHeartbeats;
}

export interface ReadLimits {
  /** How long a read waits for a version that is not applied here yet, in milliseconds (upstream: 3 s). */
  readonly waitMs: number;
  /** Snapshots remembered for chunked lists. */
  readonly snapshots: number;
  /** A snapshot is forgotten after this time, in milliseconds. */
  readonly snapshotTtlMs: number;
}

export const DEFAULT_READ_LIMITS: ReadLimits = Object.freeze({ waitMs: 3000, snapshots: 64, snapshotTtlMs: 300_000 });

export interface ListRequest {
  readonly selection: Selection;
  readonly resourceVersion: string | undefined;
  readonly resourceVersionMatch: string | undefined;
  /** 0: no limit. */
  readonly limit: number;
  readonly continueToken: string | undefined;
  /** Tells snapshots of different requests apart: resource, namespace and selectors. */
  readonly shape: string;
}

export interface ListResult {
  readonly items: readonly KubeObject[];
  readonly revision: Revision;
  readonly continueToken: string | undefined;
  readonly remaining: number | undefined;
}

interface Snapshot {
  readonly items: readonly KubeObject[];
  readonly expiresMs: number;
}

interface Token {
  /** The version of the whole list; -1 asks for the rest of an expired list, as it is now. */
  readonly rv: Revision;
  readonly start: string;
  /** When the list began, in milliseconds of wall-clock time. */
  readonly at: number;
}

const encodeToken = (token: Token) =>
  Buffer.from(JSON.stringify({ v: 'meta.k8s.io/v1', ...token })).toString('base64url');

function decodeToken(text: string): Token {
  try {
    const token = JSON.parse(Buffer.from(text, 'base64url').toString()) as Partial<Token>;
    if (Number.isSafeInteger(token.rv) && typeof token.start === 'string') {
      return { rv: token.rv as number, start: token.start, at: Number(token.at ?? 0) };
    }
  } catch {
    // Falls through to the refusal.
  }
  throw badRequest('continue key is not valid: the continue token is malformed');
}

/** A version parameter as a number; undefined when absent. Throws upstream's 400. */
export function parseRevision(text: string | undefined): Revision | undefined {
  if (text === undefined || text === '') return undefined;
  if (!/^\d{1,16}$/.test(text)) {
    throw badRequest(`Invalid value: "${text}": strconv.ParseUint: parsing "${text}": invalid syntax`);
  }
  return Number(text);
}

/** What a failing store means to an API client. */
export function storeFailure(error: unknown, outcomeUnknown = false): unknown {
  if (!(error instanceof StoreUnavailable)) return error;
  return outcomeUnknown && !error.refused
    ? timeout(`request did not complete: ${error.message}`)
    : serviceUnavailable(error.message);
}

export class ObjectReads {
  private readonly snapshots = new Map<string, Snapshot>();
  /** Of what lists went through, by the resource that was asked for. */
  readonly sizes = new ListSizes();

  constructor(
    private readonly deps: ReadDeps,
    private readonly limits: ReadLimits = DEFAULT_READ_LIMITS,
  ) {}

  /** Waits until this replica is as new as the request asks for. */
  async fresh(resourceVersion: string | undefined): Promise<void> {
    const { store, clock } = this.deps;
    const revision = parseRevision(resourceVersion);
    if (revision === 0) return;
    if (revision === undefined) {
      try {
        await store.barrier();
      } catch (error) {
        throw storeFailure(error);
      }
      return;
    }
    if (store.revision >= revision) return;
    const abort = new AbortController();
    const cancel = clock.timer(this.limits.waitMs, () => abort.abort(new Error('timed out')));
    try {
      await store.waitFor(revision, abort.signal);
    } catch {
      throw new ApiError(504, 'Timeout', `Too large resource version: ${revision}, current: ${store.revision}`, {
        causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }],
        retryAfterSeconds: 1,
      });
    } finally {
      cancel();
    }
  }

  /** Throws a 404. */
  async get(resource: ResourceRef, namespace: string, name: string, resourceVersion?: string): Promise<KubeObject> {
    await this.fresh(resourceVersion);
    const found = this.stored(resource, namespace, name);
    const view = viewOf(resource);
    if (view === undefined)
      return this.deps.heartbeats && isLease(resource) ? renewed(found, this.deps.heartbeats) : found;
    if (view.remote === undefined) return view.fromStorage(found);
    const [shown] = await this.converted(view.remote, [found]);
    return shown ?? found;
  }

  /** What this replica has now. Throws a 404. Not for versions that only a webhook can show. */
  present(resource: ResourceRef, namespace: string, name: string): KubeObject {
    const found = this.stored(resource, namespace, name);
    const view = viewOf(resource);
    return view === undefined ? found : view.fromStorage(found);
  }

  /** As kept. Throws a 404. */
  private stored(resource: ResourceRef, namespace: string, name: string): KubeObject {
    const { namespaced } = resource;
    const { group, resource: plural } = viewOf(resource)?.storage ?? resource;
    const found = this.deps.store.get({ group, resource: plural, namespace: namespaced ? namespace : '', name });
    if (found === undefined) throw notFound(resource, name);
    return found;
  }

  async list(resource: ResourceRef, request: ListRequest): Promise<ListResult> {
    const listed = await this.listStored(resource, request);
    const { heartbeats } = this.deps;
    if (heartbeats === undefined || !isLease(resource)) return listed;
    return { ...listed, items: listed.items.map((lease) => renewed(lease, heartbeats)) };
  }

  private async listStored(resource: ResourceRef, request: ListRequest): Promise<ListResult> {
    checkVersionMatch(request);
    if (request.continueToken) return this.continued(resource, request, decodeToken(request.continueToken));
    await this.fresh(request.resourceVersion);
    const { store, clock } = this.deps;
    const exact = request.resourceVersionMatch === 'Exact' ? parseRevision(request.resourceVersion) : undefined;
    const revision = exact ?? store.revision;
    const items = await (revision === store.revision
      ? this.selectAll(resource, request.selection)
      : this.selectAt(resource, request.selection, revision));
    if (!items) {
      throw expired(
        `The resourceVersion for the provided list is too old: ${revision}; list without resourceVersionMatch=Exact`,
      );
    }
    return this.page(items, revision, 0, request, clock.nowMs());
  }

  /** As `select`, also for versions that only a webhook can show. */
  async selectAll(resource: ResourceRef, selection: Selection): Promise<readonly KubeObject[]> {
    const view = viewOf(resource);
    const remote = view?.remote;
    if (view === undefined || remote === undefined) return this.select(resource, selection);
    const { group, resource: plural } = view.storage;
    const stored = this.deps.store.list(group, plural, selection.namespace);
    this.sizes.note(resource, selection.namespace, stored.length);
    const shown = await this.converted(remote, stored);
    return selection.everything ? shown : shown.filter((object) => selection.matches(object));
  }

  /** Submits a write with the conversions that it needs. */
  write(request: WriteRequest, submit: (request: WriteRequest) => Promise<WriteReply>): Promise<WriteReply> {
    return this.deps.conversions?.write(request, submit) ?? submit(request);
  }

  /** Rejects with a 500 when the webhook fails, or cannot be asked from here. */
  async converted(remote: RemoteConversion, stored: readonly KubeObject[]): Promise<readonly KubeObject[]> {
    const { conversions } = this.deps;
    if (conversions === undefined) throw internalError(new Error('this server asks no conversion webhooks'));
    return conversions.shown(remote, stored);
  }

  /** The selected objects as they are on this replica now. */
  select(target: ResourceRef, selection: Selection): readonly KubeObject[] {
    const view = viewOf(target);
    return view === undefined ? this.selectStored(target, selection) : this.selectShown(target, view, selection);
  }

  private selectShown(target: ResourceRef, view: StorageView, selection: Selection): readonly KubeObject[] {
    const { group, resource } = view.storage;
    if (selection.name !== undefined && selection.namespace !== undefined) {
      const { namespace, name } = selection;
      const found = this.deps.store.get({ group, resource, namespace, name });
      const shown = found && view.fromStorage(found);
      return shown && selection.matches(shown) ? [shown] : [];
    }
    const all = this.deps.store.list(group, resource, selection.namespace).map((object) => view.fromStorage(object));
    this.sizes.note(target, selection.namespace, all.length);
    return selection.everything ? all : all.filter((object) => selection.matches(object));
  }

  private selectStored({ group, resource }: ResourceRef, selection: Selection): readonly KubeObject[] {
    const { store } = this.deps;
    if (selection.name !== undefined && selection.namespace !== undefined) {
      const found = store.get({ group, resource, namespace: selection.namespace, name: selection.name });
      return found && selection.matches(found) ? [found] : [];
    }
    const all = store.list(group, resource, selection.namespace);
    this.sizes.note({ group, resource }, selection.namespace, all.length);
    return selection.everything ? all : all.filter((object) => selection.matches(object));
  }

  private async continued(resource: ResourceRef, request: ListRequest, token: Token): Promise<ListResult> {
    if (request.resourceVersion && request.resourceVersion !== '0') {
      throw badRequest('specifying resource version is not allowed when using continue');
    }
    const after = (items: readonly KubeObject[]) => {
      const index = items.findIndex((item) => positionOf(item) > token.start);
      return index < 0 ? items.length : index;
    };
    const { store, clock } = this.deps;
    // The peer that gave the token may be ahead of this one.
    if (token.rv > store.revision) await this.fresh(String(token.rv));
    if (token.rv === -1 || token.rv === store.revision) {
      const { revision } = store;
      const items = await this.selectAll(resource, request.selection);
      return this.page(items, revision, after(items), request, token.rv === -1 ? clock.nowMs() : token.at);
    }
    if (clock.nowMs() - token.at <= this.limits.snapshotTtlMs) {
      const snapshot = this.snapshots.get(`${token.rv} ${request.shape}`);
      const items = snapshot?.items ?? (await this.selectAt(resource, request.selection, token.rv));
      if (items) return this.page(items, token.rv, after(items), request, token.at);
    }
    const error = expired(
      'The provided continue parameter is too old to display a consistent list result. You can start a new list ' +
        'without the continue parameter, or use the continue token in this response to retrieve the remainder of the ' +
        'results. Continuing with the provided token results in an inconsistent list - objects that were created, ' +
        'modified, or deleted between the time the first chunk was returned and now may show up in the list.',
    );
    throw new ExpiredContinuation(error, encodeToken({ rv: -1, start: token.start, at: 0 }));
  }

  /** The selected objects as they were at an earlier revision; undefined when too much happened since. */
  private async selectAt(
    resource: ResourceRef,
    selection: Selection,
    revision: Revision,
  ): Promise<readonly KubeObject[] | undefined> {
    const view = viewOf(resource);
    let stored: readonly KubeObject[];
    try {
      stored = listAt(this.deps.store, view?.storage ?? resource, selection.namespace, revision);
    } catch (error) {
      if (error instanceof RevisionGone) return undefined;
      throw error;
    }
    const named = selection.name === undefined ? stored : stored.filter((o) => o.metadata.name === selection.name);
    const shown = view?.remote ? await this.converted(view.remote, named) : named.map((o) => view?.fromStorage(o) ?? o);
    return selection.everything ? shown : shown.filter((object) => selection.matches(object));
  }

  private page(
    items: readonly KubeObject[],
    revision: Revision,
    from: number,
    request: ListRequest,
    at: number,
  ): ListResult {
    const rest = items.length - from;
    if (request.limit <= 0 || rest <= request.limit) {
      return {
        items: from === 0 ? items : items.slice(from),
        revision,
        continueToken: undefined,
        remaining: undefined,
      };
    }
    this.remember(`${revision} ${request.shape}`, items);
    const chunk = items.slice(from, from + request.limit);
    const last = chunk.at(-1);
    return {
      items: chunk,
      revision,
      continueToken: last && encodeToken({ rv: revision, start: positionOf(last), at }),
      // Upstream does not count what a selector would still have to be asked about.
      remaining: request.selection.everything ? rest - chunk.length : undefined,
    };
  }

  private remember(key: string, items: readonly KubeObject[]): void {
    const now = this.deps.clock.monotonicMs();
    for (const [old, { expiresMs }] of this.snapshots) if (expiresMs <= now) this.snapshots.delete(old);
    this.snapshots.delete(key);
    this.snapshots.set(key, { items, expiresMs: now + this.limits.snapshotTtlMs });
    for (const old of this.snapshots.keys()) {
      if (this.snapshots.size <= this.limits.snapshots) break;
      this.snapshots.delete(old);
    }
  }
}

/** 410 whose Status carries a token to go on inconsistently. */
export class ExpiredContinuation extends ApiError {
  constructor(
    error: ApiError,
    readonly continueToken: string,
  ) {
    super(error.code, error.reason, error.message, error.details);
  }

  override toStatus() {
    return { ...super.toStatus(), metadata: { continue: this.continueToken } };
  }
}

function checkVersionMatch({ resourceVersion, resourceVersionMatch, continueToken }: ListRequest): void {
  if (!resourceVersionMatch) return;
  const refuse = (message: string, type: 'FieldValueForbidden' | 'FieldValueNotSupported') =>
    invalid({ group: 'meta.k8s.io', kind: 'ListOptions' }, '', [{ type, field: 'resourceVersionMatch', message }]);
  if (continueToken) {
    throw refuse('Forbidden: resourceVersionMatch is forbidden when continue is provided', 'FieldValueForbidden');
  }
  if (!resourceVersion) {
    throw refuse(
      'Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided',
      'FieldValueForbidden',
    );
  }
  if (resourceVersionMatch !== 'Exact' && resourceVersionMatch !== 'NotOlderThan') {
    throw refuse(
      `Unsupported value: "${resourceVersionMatch}": supported values: "Exact", "NotOlderThan"`,
      'FieldValueNotSupported',
    );
  }
  if (resourceVersionMatch === 'Exact' && resourceVersion === '0') {
    throw refuse('Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"', 'FieldValueForbidden');
  }
}
