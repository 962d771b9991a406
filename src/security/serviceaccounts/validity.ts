/** Whether what a verified token speaks of is still there (upstream's `Validator`s). Pure but for the lookups. */
import { timingSafeEqual } from 'node:crypto';
import type { KubeObject } from '../../api/object.js';
import type { Secret } from '../../api/types/core-v1.js';
import type { ObjectClaim } from './claims.js';
import type { ObjectLookups } from './lookups.js';
import { LEGACY_CLAIM } from './token-issuer.js';

export interface BoundClaims {
  readonly kind: 'bound';
  readonly id: string;
  readonly audiences: readonly string[];
  readonly namespace: string;
  readonly account: ObjectClaim;
  readonly pod?: ObjectClaim;
  readonly secret?: ObjectClaim;
  readonly node?: ObjectClaim;
}

export interface LegacyClaims {
  readonly kind: 'secret';
  readonly namespace: string;
  readonly account: ObjectClaim;
  readonly secretName: string;
}

type Payload = Readonly<Record<string, unknown>>;

/** Objects that are being deleted count so long after their `deletionTimestamp`. */
const DELETION_LEEWAY_MS = 60_000;
const INVALIDATED = 'service account token has been invalidated';

function claim(value: unknown): ObjectClaim | undefined {
  const { name, uid } = (value ?? {}) as { readonly name?: unknown; readonly uid?: unknown };
  if (typeof name !== 'string' || name === '') return undefined;
  return typeof uid === 'string' ? { name, uid } : { name };
}

/** Undefined when the claims are not those of a bound token. */
export function readBound(payload: Payload): BoundClaims | undefined {
  const own = (payload['kubernetes.io'] ?? {}) as Payload;
  const { namespace } = own;
  const account = claim(own['serviceaccount']);
  const { aud, jti } = payload;
  const audiences = (Array.isArray(aud) ? aud : [aud]).filter((one): one is string => typeof one === 'string');
  if (typeof namespace !== 'string' || namespace === '' || !account) return undefined;
  const pod = claim(own['pod']);
  const secret = claim(own['secret']);
  const node = claim(own['node']);
  return {
    kind: 'bound',
    id: typeof jti === 'string' ? jti : '',
    audiences,
    namespace,
    account,
    ...(pod ? { pod } : {}),
    ...(secret ? { secret } : {}),
    ...(node ? { node } : {}),
  };
}

/** Undefined when the claims are not those of a Secret's token. */
export function readLegacy(payload: Payload): LegacyClaims | undefined {
  const text = (key: string) => {
    const value = payload[key];
    return typeof value === 'string' ? value : '';
  };
  const claims: LegacyClaims = {
    kind: 'secret',
    namespace: text(LEGACY_CLAIM.namespace),
    account: { name: text(LEGACY_CLAIM.account), uid: text(LEGACY_CLAIM.uid) },
    secretName: text(LEGACY_CLAIM.secret),
  };
  return claims.namespace && claims.account.name && claims.account.uid && claims.secretName ? claims : undefined;
}

function isGone(object: KubeObject, nowMs: number): boolean {
  const { deletionTimestamp } = object.metadata;
  return deletionTimestamp !== undefined && Date.parse(deletionTimestamp) < nowMs - DELETION_LEEWAY_MS;
}

function accountProblem(namespace: string, account: ObjectClaim, lookups: ObjectLookups, nowMs: number) {
  const present = lookups.get('', 'serviceaccounts', namespace, account.name);
  if (!present) return `serviceaccounts "${account.name}" not found`;
  if (isGone(present, nowMs)) return `service account ${namespace}/${account.name} has been deleted`;
  const { uid = '' } = present.metadata;
  return uid === account.uid ? undefined : `service account UID (${uid}) does not match claim (${String(account.uid)})`;
}

/** Why a bound token does not count any more, in upstream's words; undefined when it does. */
export function boundProblem(claims: BoundClaims, lookups: ObjectLookups, nowMs: number): string | undefined {
  const { namespace, account, pod, secret, node } = claims;
  const trouble = accountProblem(namespace, account, lookups, nowMs);
  if (trouble !== undefined) return trouble;
  const bound = (resource: string, at: string, what: string, object: ObjectClaim) => {
    const present = lookups.get('', resource, at, object.name);
    if (!present || isGone(present, nowMs)) return INVALIDATED;
    const { uid = '' } = present.metadata;
    const title = what === 'secret' ? what : what.slice(0, 1).toUpperCase() + what.slice(1);
    return uid === object.uid
      ? undefined
      : `${title} UID (${uid}) does not match service account ${what} ref claim (${String(object.uid)})`;
  };
  if (secret) return bound('secrets', namespace, 'secret', secret);
  if (pod) return bound('pods', namespace, 'pod', pod);
  // A pod's token tells of its node, but is bound to the pod alone.
  return node ? bound('nodes', '', 'node', node) : undefined;
}

/** The same for the token of a Secret: it counts while the Secret holds just this token. */
export function secretProblem(
  { namespace, account, secretName }: LegacyClaims,
  lookups: ObjectLookups,
  token: string,
  nowMs: number,
): string | undefined {
  const secret = lookups.get('', 'secrets', namespace, secretName) as Secret | undefined;
  if (!secret || isGone(secret as KubeObject, nowMs)) return INVALIDATED;
  const held = Buffer.from(secret.data?.['token'] ?? '', 'base64');
  const given = Buffer.from(token);
  if (held.length !== given.length || !timingSafeEqual(held, given)) return INVALIDATED;
  return accountProblem(namespace, account, lookups, nowMs);
}
