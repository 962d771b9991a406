/** What the audit log says of a request (`audit.k8s.io/v1 Event`). */
import { rfc3339Micro } from '../../../base/clock.js';
import type { UserInfo } from '../../../security/authn/user.js';
import type { AuthorizationAttributes } from '../../../security/authz/authorizer.js';
import type { AuditLevel, AuditStage } from './policy.js';

export interface AuditUser {
  readonly username?: string;
  readonly uid?: string;
  readonly groups?: readonly string[];
  readonly extra?: UserInfo['extra'];
}

export interface AuditEvent {
  readonly kind: 'Event';
  readonly apiVersion: 'audit.k8s.io/v1';
  readonly level: AuditLevel;
  readonly auditID: string;
  readonly stage: AuditStage;
  readonly requestURI: string;
  readonly verb: string;
  readonly user: AuditUser;
  readonly impersonatedUser?: AuditUser;
  readonly sourceIPs: readonly string[];
  readonly userAgent?: string;
  readonly objectRef?: Readonly<Record<string, string>>;
  readonly responseStatus?: { readonly metadata: object; readonly code: number; readonly [field: string]: unknown };
  readonly requestObject?: unknown;
  readonly responseObject?: unknown;
  readonly requestReceivedTimestamp: string;
  readonly stageTimestamp: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

export const auditUser = ({ name, uid, groups, extra }: UserInfo): AuditUser => ({
  username: name,
  ...(uid === undefined ? {} : { uid }),
  groups,
  ...(extra === undefined ? {} : { extra }),
});

/** The object a request is about; undefined for paths that are none. */
export function objectReference(asked: AuthorizationAttributes): Record<string, string> | undefined {
  if (asked.path !== undefined) return undefined;
  const { resource, namespace, name, group, version, subresource } = asked;
  const fields = { resource, namespace, name, apiGroup: group, apiVersion: version, subresource };
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== ''));
}

/** `metav1.MicroTime`. */
export const auditTime = (ms: number): string => rfc3339Micro(ms);
