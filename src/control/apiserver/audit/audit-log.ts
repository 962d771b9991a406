/**
 * The audit log of one peer: who asked for what, when, and how it was answered, as the policy asks for it. Each request is
 * recorded by the peer that served it; a write that this peer forwards is not recorded again by the sequencer.
 */
import type { Clock } from '../../../base/clock.js';
import { parseBody } from '../../../api/body.js';
import type { UserInfo } from '../../../security/authn/user.js';
import type { AuthorizationAttributes } from '../../../security/authz/authorizer.js';
import { connectionOf, type ApiRequest } from '../http/exchange.js';
import { observeExchange } from '../http/exchange-observer.js';
import { auditAnnotationsOf } from './annotations.js';
import { auditTime, auditUser, objectReference, type AuditEvent } from './event.js';
import { decideAudit, type AuditDecision, type AuditPolicy, type AuditStage } from './policy.js';

/** Where events go. Must not throw, and must bound what it keeps. */
export interface AuditSink {
  write(event: AuditEvent): void;
}

export interface AuditedRequest {
  readonly request: ApiRequest;
  /** Closes when the answer has been sent, or nobody is there to take it. */
  readonly response: { readonly statusCode: number; once(event: 'close', listener: () => void): unknown };
  readonly auditId: string;
  readonly receivedMs: number;
  readonly attributes: AuthorizationAttributes;
  /** Who asked, when they ask in another's name. */
  readonly impersonator?: UserInfo;
  readonly annotations: Readonly<Record<string, string>>;
}

/** Levels from which a body is recorded. */
const WITH_REQUEST: ReadonlySet<string> = new Set(['Request', 'RequestResponse']);

export class AuditLog {
  constructor(
    private readonly clock: Clock,
    private readonly policy: AuditPolicy,
    private readonly sink: AuditSink,
  ) {}

  /** Records a request from here to its end. */
  follow(audited: AuditedRequest): void {
    const decision = decideAudit(this.policy, audited.attributes);
    if (decision.level === 'None') return;
    const { request, response } = audited;
    const trail = new AuditTrail(audited, decision, this.clock, this.sink);
    trail.stage('RequestReceived');
    observeExchange(request, trail);
    response.once('close', () => trail.complete());
  }

  /** Records a request whose credentials were refused. */
  unauthenticated(request: ApiRequest, auditId: string, verb: string): void {
    const now = auditTime(this.clock.nowMs());
    this.sink.write({
      kind: 'Event',
      apiVersion: 'audit.k8s.io/v1',
      level: 'Metadata',
      auditID: auditId,
      stage: 'ResponseStarted',
      requestURI: request.url ?? '',
      verb,
      user: {},
      sourceIPs: sourcesOf(request),
      responseStatus: {
        metadata: {},
        status: 'Failure',
        message: 'Authentication failed',
        reason: 'Unauthorized',
        code: 401,
      },
      requestReceivedTimestamp: now,
      stageTimestamp: now,
    });
  }
}

function sourcesOf(request: ApiRequest): string[] {
  const address = connectionOf(request).remoteAddress;
  return address === undefined ? [] : [address.replace(/^::ffff:/, '')];
}

class AuditTrail {
  private requestObject: unknown;
  private responseObject: unknown;
  private failure: Record<string, unknown> | undefined;
  private done = false;
  /** Asked for at once: a connection that is gone does not know them. */
  private readonly sources: readonly string[];

  constructor(
    private readonly audited: AuditedRequest,
    private readonly decision: AuditDecision,
    private readonly clock: Clock,
    private readonly sink: AuditSink,
  ) {
    this.sources = sourcesOf(audited.request);
  }

  body(bytes: Buffer, contentType: string): void {
    if (WITH_REQUEST.has(this.decision.level)) this.requestObject = this.recorded(bytes, contentType);
  }

  answer(code: number, bytes: Buffer, contentType: string): void {
    if (code >= 400) this.failure = asObject(parsed(bytes, contentType));
    else if (this.decision.level === 'RequestResponse') this.responseObject = this.recorded(bytes, contentType);
  }

  started(): void {
    this.stage('ResponseStarted');
  }

  complete(): void {
    if (this.done) return;
    this.done = true;
    this.stage('ResponseComplete');
  }

  stage(stage: AuditStage): void {
    if (this.decision.omitStages.has(stage)) return;
    const { request, response, auditId, receivedMs, attributes, impersonator, annotations } = this.audited;
    const reference = objectReference(attributes);
    const userAgent = request.headers['user-agent'];
    const { status, message, reason } = this.failure ?? {};
    const failure = this.failure && { status, message, reason };
    this.sink.write({
      kind: 'Event',
      apiVersion: 'audit.k8s.io/v1',
      level: this.decision.level,
      auditID: auditId,
      stage,
      requestURI: request.url ?? '',
      verb: attributes.verb,
      user: auditUser(impersonator ?? attributes.user),
      ...(impersonator ? { impersonatedUser: auditUser(attributes.user) } : {}),
      sourceIPs: this.sources,
      ...(userAgent === undefined ? {} : { userAgent }),
      ...(reference ? { objectRef: reference } : {}),
      ...(stage === 'RequestReceived'
        ? {}
        : {
            responseStatus: { metadata: {}, ...failure, code: response.statusCode },
            annotations: { ...annotations, ...auditAnnotationsOf(response) },
          }),
      ...(this.requestObject === undefined ? {} : { requestObject: this.requestObject }),
      ...(this.responseObject === undefined ? {} : { responseObject: this.responseObject }),
      requestReceivedTimestamp: auditTime(receivedMs),
      stageTimestamp: auditTime(this.clock.nowMs()),
    });
  }

  private recorded(bytes: Buffer, contentType: string): unknown {
    const value = parsed(bytes, contentType);
    return this.decision.omitManagedFields ? withoutManagedFields(value) : value;
  }
}

/** Undefined for what cannot be read: the answer tells the client why. */
function parsed(bytes: Buffer, contentType: string): unknown {
  try {
    return parseBody(bytes, contentType).value;
  } catch {
    return undefined;
  }
}

const asObject = (value: unknown): Record<string, unknown> | undefined =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;

function withoutManagedFields(value: unknown): unknown {
  const object = asObject(value);
  if (!object) return value;
  const { items } = object;
  if (Array.isArray(items)) return { ...object, items: items.map(withoutManagedFields) };
  const metadata = asObject(object['metadata']);
  if (!metadata || !('managedFields' in metadata)) return object;
  const { managedFields: _, ...rest } = metadata;
  return { ...object, metadata: rest };
}
