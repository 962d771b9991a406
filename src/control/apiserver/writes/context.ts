/** What every step of a write works with. */
import type { Random } from '../../../base/random.js';
import { DEFAULT_BODY_LIMITS, parseBody, type BodyLimits } from '../../../api/body.js';
import { ApiError, badRequest } from '../../../api/errors.js';
import type { KubeObject } from '../../../api/object.js';
import { apiVersionOf } from '../../../api/resource.js';
import { decodeObject } from '../../../api/schema/decode.js';
import type { KindInfo, KindRegistry, ResourceInfo } from '../../../api/schema/registry.js';
import type {
  AdmissionAttributes,
  AdmissionChain,
  AdmissionEffects,
  AdmissionLookups,
} from '../../../security/admission/admission.js';
import type { ObjectKey, WriteTransaction } from '../../../store/object-store.js';
import type { OnAdmitted } from './staged-admission.js';
import type { WriteRequest } from './write-request.js';

export interface ExecutorDeps {
  readonly registry: KindRegistry;
  readonly random: Random;
  readonly admission: AdmissionChain;
  readonly bodyLimits?: BodyLimits;
  /** For rehearsals of writes. */
  readonly onAdmitted?: OnAdmitted;
}

export interface WriteContext {
  readonly deps: ExecutorDeps;
  readonly transaction: WriteTransaction;
  readonly lookups: AdmissionLookups;
  readonly effects: AdmissionEffects;
  readonly request: WriteRequest;
  readonly info: ResourceInfo;
  /** Texts for `Warning:` headers, added to by every step. */
  readonly warnings: string[];
}

/** An answer before it is put into a `WriteReply`. */
export interface Outcome {
  readonly code: number;
  readonly body: unknown;
}

export const keyOf = (info: ResourceInfo, namespace: string, name: string): ObjectKey => ({
  group: info.group,
  resource: info.resource,
  namespace: info.namespaced ? namespace : '',
  name,
});

export function attributesOf(
  { request, info, effects }: WriteContext,
  operation: AdmissionAttributes['operation'],
  name: string,
  object: KubeObject | undefined,
  oldObject: KubeObject | undefined,
): AdmissionAttributes {
  return {
    operation,
    group: info.group,
    version: info.version,
    resource: info.resource,
    kind: info.kind,
    subresource: request.subresource,
    namespace: info.namespaced ? request.namespace : '',
    name,
    user: request.user,
    dryRun: request.dryRun,
    effects,
    ...(object === undefined ? {} : { object }),
    ...(oldObject === undefined ? {} : { oldObject }),
  };
}

/** The request's body as a value with the parser's findings about duplicate fields. Undefined for an empty body. */
export function bodyOf({ request, deps }: WriteContext): { value: unknown; duplicates: readonly string[] } | undefined {
  if (request.object !== undefined) return { value: request.object, duplicates: [] };
  if (request.body === undefined || request.body.length === 0) return undefined;
  return parseBody(request.body, request.contentType, deps.bodyLimits ?? DEFAULT_BODY_LIMITS);
}

/** Refuses an object of another kind; absent `apiVersion` and `kind` are taken from the URL. */
function requireKind(info: KindInfo, value: Record<string, unknown>): void {
  const { apiVersion, kind } = value;
  const expected = apiVersionOf(info);
  if (typeof kind === 'string' && kind !== '' && kind !== info.kind) {
    const version = typeof apiVersion === 'string' ? apiVersion : info.version;
    throw badRequest(
      `${kind} in version "${version}" cannot be handled as a ${info.kind}: no kind "${kind}" is accepted here`,
    );
  }
  if (typeof apiVersion === 'string' && apiVersion !== '' && apiVersion !== expected) {
    throw badRequest(
      `the API version in the data (${apiVersion}) does not match the expected API version (${expected})`,
    );
  }
}

/** What cannot be parsed is described as upstream does: with the kind that was expected and the beginning of the data. */
function parsed(context: WriteContext, info: KindInfo): ReturnType<typeof bodyOf> {
  try {
    return bodyOf(context);
  } catch (error) {
    if (!(error instanceof ApiError) || error.reason !== 'BadRequest') throw error;
    const data = summaryOf(context.request.body ?? new Uint8Array());
    throw badRequest(`the object provided is unrecognized (must be of type ${info.kind}): ${error.message} (${data})`);
  }
}

const SUMMARY_BYTES = 30;
const OPENING_BRACE = 0x7b;

function summaryOf(data: Uint8Array): string {
  const rest = data.length > SUMMARY_BYTES ? ' ...' : '';
  const start = Buffer.from(data.subarray(0, SUMMARY_BYTES));
  return `${data[0] === OPENING_BRACE ? start.toString() : start.toString('hex')}${rest}`;
}

/** Decodes the body as an object of `info`'s kind. The result belongs to the caller. */
export function decodeBody(context: WriteContext, info: KindInfo = context.info): KubeObject {
  const body = parsed(context, info);
  if (body === undefined || typeof body.value !== 'object' || body.value === null || Array.isArray(body.value)) {
    throw badRequest(
      `${info.kind} in version "${info.version}" cannot be handled as a ${info.kind}: an object is required`,
    );
  }
  requireKind(info, body.value as Record<string, unknown>);
  const { object, warnings } = decodeObject(info, body.value, context.request.fieldValidation, body.duplicates);
  context.warnings.push(...warnings);
  return object;
}

/** The object must live where the URL says. */
export function checkPlace({ request, info }: WriteContext, object: KubeObject): void {
  const { metadata } = object;
  if (info.namespaced) {
    if (metadata.namespace !== undefined && metadata.namespace !== '' && metadata.namespace !== request.namespace) {
      throw badRequest('the namespace of the provided object does not match the namespace sent on the request');
    }
    metadata.namespace = request.namespace;
  } else delete metadata.namespace;
  if (request.name === '' || request.verb === 'create') return;
  if (metadata.name === undefined || metadata.name === '') metadata.name = request.name;
  else if (metadata.name !== request.name) {
    throw badRequest(`the name of the object (${metadata.name}) does not match the name on the URL (${request.name})`);
  }
}
