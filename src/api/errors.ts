/**
 * API errors with the reasons, codes and texts of Kubernetes (apimachinery `api/errors`). Thrown by the API pipeline and
 * by every `Client`; matched by `isNotFound` and friends, never by text.
 */

/** `metav1.StatusReason`. */
export type StatusReason =
  | 'Unauthorized'
  | 'Forbidden'
  | 'NotFound'
  | 'AlreadyExists'
  | 'Conflict'
  | 'Gone'
  | 'Invalid'
  | 'ServerTimeout'
  | 'Timeout'
  | 'TooManyRequests'
  | 'BadRequest'
  | 'MethodNotAllowed'
  | 'NotAcceptable'
  | 'RequestEntityTooLarge'
  | 'UnsupportedMediaType'
  | 'InternalError'
  | 'Expired'
  | 'ServiceUnavailable'
  | 'NamespaceTerminating'
  | '';

export interface StatusCause {
  reason?: string;
  message?: string;
  field?: string;
}

export interface StatusDetails {
  name?: string;
  group?: string;
  kind?: string;
  uid?: string;
  causes?: StatusCause[];
  retryAfterSeconds?: number;
}

/** `metav1.Status` as it goes over the wire. */
export interface Status {
  kind: 'Status';
  apiVersion: 'v1';
  metadata: Record<string, unknown>;
  status: 'Success' | 'Failure';
  message?: string;
  reason?: StatusReason;
  details?: StatusDetails;
  code: number;
}

export class ApiError extends Error {
  constructor(
    readonly code: number,
    readonly reason: StatusReason,
    message: string,
    readonly details?: StatusDetails,
    options?: { cause?: unknown },
  ) {
    super(message, options);
    this.name = 'ApiError';
  }

  /** The `Status` object that a Kubernetes server would send. */
  toStatus(): Status {
    return {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      message: this.message,
      ...(this.reason ? { reason: this.reason } : {}),
      ...(this.details ? { details: this.details } : {}),
      code: this.code,
    };
  }

  /** The error that a received `Status` stands for. */
  static fromStatus(status: Partial<Status>): ApiError {
    return new ApiError(status.code ?? 500, status.reason ?? '', status.message ?? 'unknown error', status.details);
  }
}

/** Names a resource in messages and details. `resource` is the plural; `kind` is used where upstream names the kind. */
export interface Qualified {
  readonly group: string;
  readonly resource: string;
}

const qualified = ({ group, resource }: Qualified) => (group ? `${resource}.${group}` : resource);
const detailsOf = ({ group, resource }: Qualified, name: string): StatusDetails => ({
  ...(name ? { name } : {}),
  ...(group ? { group } : {}),
  kind: resource,
});

export const notFound = (of: Qualified, name: string) =>
  new ApiError(404, 'NotFound', `${qualified(of)} "${name}" not found`, detailsOf(of, name));

/** Nothing is served at a path below a built-in API group, or below one of this server's own APIs. */
export const notFoundPath = () => new ApiError(404, 'NotFound', 'the server could not find the requested resource', {});

/** Nothing is served at a path anywhere else: sent as plain text, as upstream's handler of last resort does. */
export class PageNotFound extends ApiError {
  constructor() {
    super(404, 'NotFound', '404 page not found');
  }
}

export const alreadyExists = (of: Qualified, name: string) =>
  new ApiError(409, 'AlreadyExists', `${qualified(of)} "${name}" already exists`, detailsOf(of, name));

export const conflict = (of: Qualified, name: string, why: string) =>
  new ApiError(
    409,
    'Conflict',
    `Operation cannot be fulfilled on ${qualified(of)} "${name}": ${why}`,
    detailsOf(of, name),
  );

/** The message upstream gives when a `resourceVersion` is not the current one. */
export const OPTIMISTIC_LOCK_TEXT =
  'the object has been modified; please apply your changes to the latest version and try again';

/** One entry of a 422: `field.Error`. `type` as in apimachinery's `field.ErrorType` (FieldValueInvalid, …). */
export interface FieldError {
  readonly type:
    | 'FieldValueNotFound'
    | 'FieldValueRequired'
    | 'FieldValueDuplicate'
    | 'FieldValueInvalid'
    | 'FieldValueNotSupported'
    | 'FieldValueForbidden'
    | 'FieldValueTooLong'
    | 'FieldValueTooMany'
    | 'FieldValueTypeInvalid'
    | 'InternalError';
  readonly field: string;
  /** The text after `field: `, complete: `Invalid value: "x": must be …`, `Required value`, … */
  readonly message: string;
}

/** 422 with upstream's summary: one error inline, several in brackets. `kind` is the kind, e.g. `Pod`. */
export function invalid(of: { group: string; kind: string }, name: string, errors: readonly FieldError[]): ApiError {
  const texts = errors.map(({ field, message }) => `${field}: ${message}`);
  const summary = texts.length === 1 ? texts[0] : `[${texts.join(', ')}]`;
  const kind = of.group ? `${of.kind}.${of.group}` : of.kind;
  return new ApiError(422, 'Invalid', `${kind} "${name}" is invalid: ${summary}`, {
    name,
    ...(of.group ? { group: of.group } : {}),
    kind: of.kind,
    causes: errors.map(({ type, field, message }) => ({ reason: type, message, field })),
  });
}

export const badRequest = (message: string) => new ApiError(400, 'BadRequest', message);
export const forbidden = (of: Qualified, name: string, why: string) =>
  new ApiError(
    403,
    'Forbidden',
    `${qualified(of)} ${name ? `"${name}" ` : ''}is forbidden: ${why}`,
    detailsOf(of, name),
  );
export const unauthorized = () => new ApiError(401, 'Unauthorized', 'Unauthorized');
export const methodNotAllowed = () =>
  new ApiError(405, 'MethodNotAllowed', 'the server does not allow this method on the requested resource', {});
export const tooLarge = (limitBytes: number) =>
  new ApiError(413, 'RequestEntityTooLarge', `Request entity too large: limit is ${limitBytes}`);
export const unsupportedMediaType = (message: string) => new ApiError(415, 'UnsupportedMediaType', message);
/** 410 for a `resourceVersion` or continue token that is too old: the client lists again. */
export const expired = (message: string) => new ApiError(410, 'Expired', message);
export const internalError = (cause: unknown) =>
  new ApiError(
    500,
    'InternalError',
    `Internal error occurred: ${cause instanceof Error ? cause.message : String(cause)}`,
    { causes: [{ message: cause instanceof Error ? cause.message : String(cause) }] },
    { cause },
  );
export const serviceUnavailable = (message: string) => new ApiError(503, 'ServiceUnavailable', message);
export const timeout = (message: string) => new ApiError(504, 'Timeout', message);

const hasReason = (error: unknown, reason: StatusReason) => error instanceof ApiError && error.reason === reason;
export const isNotFound = (error: unknown) => hasReason(error, 'NotFound');
export const isAlreadyExists = (error: unknown) => hasReason(error, 'AlreadyExists');
export const isConflict = (error: unknown) => hasReason(error, 'Conflict');
export const isExpired = (error: unknown) => hasReason(error, 'Expired') || hasReason(error, 'Gone');
export const isInvalid = (error: unknown) => hasReason(error, 'Invalid');
export const isForbidden = (error: unknown) => hasReason(error, 'Forbidden');
/** Refused because the namespace is going: no use trying again. */
export const isNamespaceTerminating = (error: unknown) =>
  error instanceof ApiError && error.details?.causes?.some(({ reason }) => reason === 'NamespaceTerminating') === true;
