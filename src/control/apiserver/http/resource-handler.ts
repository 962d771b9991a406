/** Requests about resources: reads from the replica, writes to the sequencer, watches as streams. */
import type { Clock } from '../../../base/clock.js';
import {
  type ApiError,
  badRequest,
  methodNotAllowed,
  notFound,
  notFoundPath,
  unsupportedMediaType,
} from '../../../api/errors.js';
import { mediaTypeOf, parseBody } from '../../../api/body.js';
import type { KubeObject } from '../../../api/object.js';
import type { FieldValidation } from '../../../api/schema/decode.js';
import type { KindRegistry, ResourceInfo } from '../../../api/schema/registry.js';
import { toScale } from '../../../api/strategy/scale.js';
import type { UserInfo } from '../../../security/authn/user.js';
import { refusalText, type AuthorizationAttributes, type Authorizer } from '../../../security/authz/authorizer.js';
import type { ObjectStore, WriteReply } from '../../../store/object-store.js';
import { addAuditAnnotations } from '../audit/annotations.js';
import { storeFailure, type ObjectReads } from '../reads/object-reads.js';
import { parseSelection } from '../reads/selection.js';
import { unknownPath } from '../unknown-path.js';
import { creatableOnUpdate } from '../writes/kind-rules.js';
import type { DeleteParameters, PatchKind, WriteRequest, WriteVerb } from '../writes/write-request.js';
import { FlushSchedule } from './flush-schedule.js';
import { readBodyInTime, type BodyLimits } from './request-body.js';
import { representationFor, sendList, sendOne, type ListedObjects } from './object-answer.js';
import type { ApiRequest, ApiResponse } from './exchange.js';
import { isTrue, scopeFits, type ApiVerb, type ResourcePath } from './request-info.js';
import { sendStatus, warningHeader } from './response.js';
import { makerOf } from './write-options.js';
import { WatchChannels, type MakeFanOut } from './watch-channel.js';
import { streamWatch, type WatchStreamLimits } from './watch-stream.js';

export interface ResourceRequest {
  readonly request: ApiRequest;
  readonly response: ApiResponse;
  readonly query: URLSearchParams;
  readonly user: UserInfo;
  readonly path: ResourcePath;
  readonly verb: ApiVerb;
  readonly info: ResourceInfo;
  /** Names this request wherever it travels, so that handing it over again is the same write. */
  readonly id: string;
  /** What the request was allowed for. */
  readonly attributes: AuthorizationAttributes;
}

export interface ResourceHandlerDeps {
  readonly authorizer: Authorizer;
  readonly store: ObjectStore;
  readonly reads: ObjectReads;
  readonly registry: KindRegistry;
  readonly clock: Clock;
  readonly fanOut: MakeFanOut;
}

export interface ResourceHandlerLimits extends BodyLimits {
  readonly watch: WatchStreamLimits;
}

const PATCH_KINDS: Readonly<Record<string, PatchKind>> = {
  'application/json-patch+json': 'json',
  'application/merge-patch+json': 'merge',
  'application/strategic-merge-patch+json': 'strategic',
  'application/apply-patch+yaml': 'apply',
};

/** What upstream says of built-in kinds whose time is over. */
const DEPRECATED: Readonly<Record<string, string>> = { ComponentStatus: 'v1 ComponentStatus is deprecated in v1.19+' };

function fieldValidationOf(query: URLSearchParams): FieldValidation {
  const value = query.get('fieldValidation') ?? '';
  if (value === '') return 'Warn';
  if (value === 'Strict' || value === 'Warn' || value === 'Ignore') return value;
  throw badRequest(`fieldValidation parameter unsupported: ${value}`);
}

/**
 * Whether nothing may be stored: as the query says, or the `DeleteOptions` that are the body of a deletion or part of an
 * eviction's (kubectl says it only there). Throws the 400 for a value that means nothing.
 */
function dryRunOf(verb: WriteVerb, subresource: string, query: URLSearchParams, sent: () => unknown): boolean {
  const values: unknown[] = query.getAll('dryRun').filter((value) => value !== '');
  if (verb === 'delete' || verb === 'deletecollection') values.push(...dryRunIn(sent()));
  else if (subresource === 'eviction') values.push(...dryRunIn((sent() as { deleteOptions?: unknown })?.deleteOptions));
  if (values.some((value) => value !== 'All')) throw badRequest('dryRun: Unsupported value: supported values: "All"');
  return values.length > 0;
}

function dryRunIn(options: unknown): readonly unknown[] {
  const values = (options as { dryRun?: unknown } | null | undefined)?.dryRun;
  return Array.isArray(values) ? values : values === undefined || values === null ? [] : [values];
}

function deletionOf(query: URLSearchParams): DeleteParameters {
  const grace = query.get('gracePeriodSeconds');
  const policy = query.get('propagationPolicy');
  const orphan = query.get('orphanDependents');
  if (grace !== null && !/^-?\d+$/.test(grace)) throw badRequest('gracePeriodSeconds must be an integer');
  return {
    ...(grace === null ? {} : { gracePeriodSeconds: Number(grace) }),
    ...(policy === null ? {} : { propagationPolicy: policy }),
    ...(orphan === null ? {} : { orphanDependents: isTrue(orphan) }),
  };
}

const numberOf = (query: URLSearchParams, name: string): number => {
  const text = query.get(name);
  if (text === null || text === '') return 0;
  if (!/^\d+$/.test(text)) throw badRequest(`strconv.ParseInt: parsing "${text}": invalid syntax`);
  return Number(text);
};

/** Custom resources' handler names the object, as upstream's does. */
const unknownSubresource = (info: ResourceInfo, { name }: ResourcePath): ApiError =>
  info.custom ? notFound(info, name) : notFoundPath();

export class ResourceHandler {
  private readonly flushes: FlushSchedule;
  private readonly channels: WatchChannels;

  constructor(
    private readonly deps: ResourceHandlerDeps,
    private readonly limits: ResourceHandlerLimits,
    private readonly stopping: AbortSignal,
  ) {
    this.flushes = new FlushSchedule(deps.clock);
    this.channels = new WatchChannels(deps);
  }

  async handle(call: ResourceRequest): Promise<void> {
    const { verb, path, info } = call;
    const deprecation = info.rules?.deprecation ?? (info.group === '' ? DEPRECATED[info.kind] : undefined);
    if (deprecation !== undefined) call.response.setHeader('Warning', warningHeader(deprecation));
    if (!scopeFits(info, path, verb) && !(verb === 'create' && path.subresource !== '')) throw this.unknown(info);
    switch (verb) {
      case 'get':
        return this.get(call);
      case 'list':
        return this.list(call);
      case 'watch':
        return this.watch(call);
      case 'connect':
        throw this.unknown(info);
      case 'create':
      case 'update':
      case 'patch':
      case 'delete':
      case 'deletecollection':
        return this.write(call, verb);
    }
  }

  private unknown({ group }: ResourceInfo): ApiError {
    return unknownPath(this.deps.registry, group);
  }

  private async get(call: ResourceRequest): Promise<void> {
    const { query, path, info } = call;
    const shown = representationFor(call);
    const { subresource } = path;
    if (subresource !== '') {
      const known = info.subresources.get(subresource);
      if (!known) throw unknownSubresource(info, path);
      if (!known.verbs.includes('get')) throw methodNotAllowed();
    } else if (!info.verbs.includes('get')) throw methodNotAllowed();
    const object = await this.deps.reads.get(
      info,
      path.namespace,
      path.name,
      query.get('resourceVersion') ?? undefined,
    );
    const view = subresource === 'scale' ? toScale(info, object) : object;
    await sendOne(call, 200, view, shown, this.deps.clock.nowMs());
  }

  private selectionOf({ query, path, info }: ResourceRequest) {
    const field = query.get('fieldSelector') ?? '';
    // Watching or listing one name by path, as old clients do.
    const named = path.name === '' ? '' : `metadata.name=${path.name}`;
    return parseSelection(info, {
      namespace: path.namespace,
      labelSelector: query.get('labelSelector') ?? '',
      fieldSelector: [field, named].filter((part) => part !== '').join(','),
    });
  }

  private async list(call: ResourceRequest): Promise<void> {
    const { query, path, info } = call;
    if (!info.verbs.includes('list')) throw methodNotAllowed();
    const shown = representationFor(call);
    if (query.get('sendInitialEvents') !== null) {
      throw badRequest(
        'ListOptions.meta.k8s.io "" is invalid: sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list',
      );
    }
    const shape = [info.group, info.resource, path.namespace, query.get('labelSelector'), query.get('fieldSelector')];
    const result = await this.deps.reads.list(info, {
      selection: this.selectionOf(call),
      resourceVersion: query.get('resourceVersion') ?? undefined,
      resourceVersionMatch: query.get('resourceVersionMatch') ?? undefined,
      limit: numberOf(query, 'limit'),
      continueToken: query.get('continue') ?? undefined,
      shape: shape.join('\u0000'),
    });
    const metadata = {
      resourceVersion: String(result.revision),
      ...(result.continueToken === undefined ? {} : { continue: result.continueToken }),
      ...(result.remaining === undefined ? {} : { remainingItemCount: result.remaining }),
    };
    return sendList(call, { metadata, items: result.items }, shown, this.deps.clock.nowMs());
  }

  private async watch(call: ResourceRequest): Promise<void> {
    if (!call.info.verbs.includes('watch')) throw methodNotAllowed();
    const { query, request, response, info } = call;
    await streamWatch(
      { ...this.deps, flushes: this.flushes, channels: this.channels },
      {
        request,
        response,
        info,
        selection: this.selectionOf(call),
        shown: representationFor(call),
        resourceVersion: query.get('resourceVersion') ?? undefined,
        resourceVersionMatch: query.get('resourceVersionMatch') ?? undefined,
        sendInitialEvents: query.get('sendInitialEvents') === null ? undefined : isTrue(query.get('sendInitialEvents')),
        bookmarks: isTrue(query.get('allowWatchBookmarks')),
        timeoutSeconds: numberOf(query, 'timeoutSeconds'),
        includeObject: query.get('includeObject') ?? 'Metadata',
      },
      this.limits.watch,
      this.stopping,
    );
  }

  private async write(call: ResourceRequest, verb: WriteVerb): Promise<void> {
    const { request, response, query, path, info, user, id } = call;
    this.checkWritable(info, path, verb);
    const shown = representationFor(call);
    const contentType = mediaTypeOf(request.headers['content-type']);
    const patch = verb === 'patch' ? patchKind(contentType) : undefined;
    const body = await readBodyInTime(call, this.limits, this.deps.clock);
    const submitted: WriteRequest = {
      id,
      verb,
      group: path.group,
      version: path.version,
      resource: path.resource,
      subresource: path.subresource,
      namespace: path.namespace,
      name: path.name,
      user,
      dryRun: dryRunOf(verb, path.subresource, query, () =>
        body.length === 0 ? undefined : parseBody(body, contentType).value,
      ),
      ...makerOf(verb, patch, query, request.headers['user-agent']),
      fieldValidation: fieldValidationOf(query),
      contentType,
      body,
      labelSelector: query.get('labelSelector') ?? '',
      fieldSelector: query.get('fieldSelector') ?? '',
      deletion: verb === 'delete' || verb === 'deletecollection' ? deletionOf(query) : {},
      ...(patch === undefined ? {} : { patch }),
      ...this.creationRefusal(call, patch),
    };
    const reply = verb === 'deletecollection' ? await this.deletePieces(submitted) : await this.submit(submitted);
    const { warnings } = reply;
    if (reply.annotations) addAuditAnnotations(response, reply.annotations);
    const failure = reply.body as { kind?: string; details?: { retryAfterSeconds?: number } };
    if (reply.code >= 400) {
      const seconds = failure.details?.retryAfterSeconds;
      const headers = seconds === undefined ? {} : { 'Retry-After': String(seconds) };
      return sendStatus(request, response, reply.code, reply.body as object, { warnings, headers });
    }
    if (verb === 'deletecollection' && failure.kind === info.listKind) {
      return sendList(call, reply.body as unknown as ListedObjects, shown, this.deps.clock.nowMs(), warnings);
    }
    const object = await this.inVersion(info, reply.body as KubeObject);
    return sendOne(call, reply.code, object, shown, this.deps.clock.nowMs(), warnings);
  }

  /** An update or apply of an absent object creates it, which is another right. */
  private creationRefusal({ verb, attributes, info }: ResourceRequest, patch: PatchKind | undefined) {
    const mayCreate = verb === 'update' ? creatableOnUpdate(info) : patch === 'apply';
    if (!mayCreate || attributes.subresource !== '') return {};
    const creating = { ...attributes, verb: 'create' };
    const { decision, reason } = this.deps.authorizer.authorize(creating);
    return decision === 'allow' ? {} : { creationRefused: refusalText(creating, reason) };
  }

  private checkWritable(info: ResourceInfo, path: ResourcePath, verb: WriteVerb): void {
    const { subresource, name } = path;
    if (subresource !== '') {
      const known = info.subresources.get(subresource);
      if (!known) throw unknownSubresource(info, path);
      if (!known.verbs.includes(verb)) throw methodNotAllowed();
      return;
    }
    if (!info.verbs.includes(verb)) throw methodNotAllowed();
    if (verb === 'create' ? name !== '' : verb !== 'deletecollection' && name === '') throw methodNotAllowed();
  }

  /** A large collection goes in several writes, as upstream deletes it one by one: what failed half way has begun. */
  private async deletePieces(submitted: WriteRequest): Promise<WriteReply> {
    const items: KubeObject[] = [];
    const warnings = new Set<string>();
    let collectionAfter: string | undefined;
    for (let piece = 0; ; piece++) {
      const request = piece === 0 ? submitted : { ...submitted, id: `${submitted.id}+${piece}` };
      const reply = await this.submit(collectionAfter === undefined ? request : { ...request, collectionAfter });
      if (reply.code >= 400) return reply;
      const list = reply.body as { metadata: { continue?: string }; items: KubeObject[] };
      if (piece === 0 && list.metadata.continue === undefined) return reply;
      items.push(...list.items);
      for (const warning of reply.warnings) warnings.add(warning);
      collectionAfter = list.metadata.continue;
      if (collectionAfter !== undefined) continue;
      return { ...reply, body: { ...list, items }, warnings: [...warnings] };
    }
  }

  /** Deletions are carried out on the stored version; it is shown in the one that was asked for. */
  private async inVersion(info: ResourceInfo, object: KubeObject): Promise<KubeObject> {
    const remote = info.view?.remote;
    if (remote === undefined || object.kind !== info.kind || object.apiVersion === remote.shown) return object;
    const [shown] = await this.deps.reads.converted(remote, [object]);
    return shown ?? object;
  }

  private async submit(request: WriteRequest): Promise<WriteReply> {
    try {
      return await this.deps.reads.write(request, (ready) => this.deps.store.write(ready.id, ready));
    } catch (error) {
      throw storeFailure(error, true);
    }
  }
}

function patchKind(contentType: string): PatchKind {
  const kind = PATCH_KINDS[contentType];
  if (kind !== undefined) return kind;
  const known = Object.keys(PATCH_KINDS).join(', ');
  throw unsupportedMediaType(
    `the body of the request was in an unknown format - accepted media types include: ${known}`,
  );
}
