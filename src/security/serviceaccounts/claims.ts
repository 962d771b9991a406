/** What a service account token says (upstream's `pkg/serviceaccount/claims`), and who it stands for. */
import type { KubeObject } from '../../api/object.js';
import type { Pod } from '../../api/types/core-v1.js';
import type { UserInfo } from '../authn/user.js';

export const SERVICE_ACCOUNT_PREFIX = 'system:serviceaccount:';
export const ALL_SERVICE_ACCOUNTS_GROUP = 'system:serviceaccounts';

/** An object that a token is bound to, or tells of. */
export interface ObjectClaim {
  readonly name: string;
  /** Absent for a node that a pod names but that is not there. */
  readonly uid?: string;
}

/** The claim `kubernetes.io`. */
export interface KubernetesClaims {
  readonly namespace: string;
  readonly serviceaccount: ObjectClaim;
  readonly pod?: ObjectClaim;
  readonly secret?: ObjectClaim;
  readonly node?: ObjectClaim;
  /** Seconds since the epoch: a token used after it should have been replaced, and counts until `exp`. */
  readonly warnafter?: number;
}

/** All claims; times in seconds since the epoch. */
export interface TokenClaims {
  readonly aud: readonly string[];
  readonly exp: number;
  readonly iat: number;
  readonly iss: string;
  readonly jti: string;
  readonly 'kubernetes.io': KubernetesClaims;
  readonly nbf: number;
  readonly sub: string;
}

/** What a token is bound to besides its account. */
export interface Binding {
  readonly pod?: Pod;
  readonly secret?: KubeObject;
  readonly node?: ObjectClaim;
}

const claimOf = ({ metadata }: { readonly metadata: KubeObject['metadata'] }): ObjectClaim => ({
  name: metadata.name ?? '',
  uid: metadata.uid ?? '',
});

export interface ClaimsRequest {
  readonly account: KubeObject;
  readonly binding: Binding;
  readonly audiences: readonly string[];
  readonly issuer: string;
  /** A new UUID. */
  readonly id: string;
  readonly nowMs: number;
  readonly lifeSeconds: number;
  readonly warnAfterSeconds?: number;
}

export function claimsOf(request: ClaimsRequest): TokenClaims {
  const { account, binding, nowMs, warnAfterSeconds } = request;
  const now = Math.floor(nowMs / 1000);
  const { namespace = '', name = '' } = account.metadata;
  return {
    aud: request.audiences,
    exp: now + request.lifeSeconds,
    iat: now,
    iss: request.issuer,
    jti: request.id,
    'kubernetes.io': {
      namespace,
      ...(binding.node ? { node: binding.node } : {}),
      ...(binding.pod ? { pod: claimOf(binding.pod as KubeObject) } : {}),
      ...(binding.secret ? { secret: claimOf(binding.secret) } : {}),
      serviceaccount: claimOf(account),
      ...(warnAfterSeconds === undefined ? {} : { warnafter: now + warnAfterSeconds }),
    },
    nbf: now,
    sub: accountUser(namespace, name),
  };
}

export const accountUser = (namespace: string, name: string) => `${SERVICE_ACCOUNT_PREFIX}${namespace}:${name}`;

/** The user of an account's tokens. `extra` as upstream names it (`authentication.kubernetes.io/…`). */
export function userOf(
  namespace: string,
  account: ObjectClaim,
  more: { readonly id?: string; readonly pod?: ObjectClaim; readonly node?: ObjectClaim } = {},
): UserInfo {
  const extra: Record<string, readonly string[]> = {};
  const add = (key: string, value: string | undefined) => {
    if (value !== undefined && value !== '') extra[`authentication.kubernetes.io/${key}`] = [value];
  };
  add('credential-id', more.id === undefined || more.id === '' ? undefined : `JTI=${more.id}`);
  add('node-name', more.node?.name);
  add('node-uid', more.node?.uid);
  add('pod-name', more.pod?.name);
  add('pod-uid', more.pod?.uid);
  return Object.freeze({
    name: accountUser(namespace, account.name),
    uid: account.uid ?? '',
    groups: [ALL_SERVICE_ACCOUNTS_GROUP, `${ALL_SERVICE_ACCOUNTS_GROUP}:${namespace}`, 'system:authenticated'],
    ...(Object.keys(extra).length === 0 ? {} : { extra }),
  });
}
