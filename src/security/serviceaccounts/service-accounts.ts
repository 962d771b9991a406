/** Everything about service account tokens that one peer needs, put together. */
import type { Clock } from '../../base/clock.js';
import type { Random } from '../../base/random.js';
import { ServiceAccountAuthenticator } from './authenticator.js';
import type { ObjectLookups } from './lookups.js';
import { SIGNING_ALGORITHM, ServiceAccountKeys, type PublicJwk } from './signing-keys.js';
import { TokenIssuer } from './token-issuer.js';
import { TokenRequests } from './token-request.js';

export const JWKS_PATH = '/openid/v1/jwks';
export const OPENID_CONFIGURATION_PATH = '/.well-known/openid-configuration';

export interface ServiceAccountsDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly lookups: ObjectLookups;
  /** What the signing keys are derived from; the same on every peer. */
  readonly clusterSecret: Uint8Array;
}

export interface ServiceAccountsOptions {
  /** The cluster's DNS domain; `cluster.local` unless told. */
  readonly clusterDomain?: string;
  /** Longest life of a token in seconds; no limit unless told. */
  readonly maxTokenSeconds?: number;
}

/** The documents of OpenID Connect Discovery 1.0, for programs that verify tokens themselves. */
export interface OpenIdDocuments {
  configuration(): object;
  jwks(): { readonly keys: readonly PublicJwk[] };
}

export interface ServiceAccounts {
  readonly lookups: ObjectLookups;
  readonly requests: TokenRequests;
  readonly issuer: TokenIssuer;
  readonly authenticator: ServiceAccountAuthenticator;
  readonly documents: OpenIdDocuments;
}

export function createServiceAccounts(
  deps: ServiceAccountsDeps,
  options: ServiceAccountsOptions = {},
): ServiceAccounts {
  const { lookups } = deps;
  const issuerName = `https://kubernetes.default.svc.${options.clusterDomain ?? 'cluster.local'}`;
  const audiences = [issuerName];
  const keys = new ServiceAccountKeys(deps.clusterSecret, lookups);
  const issuer = new TokenIssuer(keys);
  const { maxTokenSeconds } = options;
  return {
    lookups,
    issuer,
    requests: new TokenRequests(
      { ...deps, issuer },
      { issuer: issuerName, audiences, ...(maxTokenSeconds === undefined ? {} : { maxSeconds: maxTokenSeconds }) },
    ),
    authenticator: new ServiceAccountAuthenticator({ ...deps, keys }, { issuer: issuerName, audiences }),
    documents: {
      configuration: () => ({
        issuer: issuerName,
        jwks_uri: `${issuerName}${JWKS_PATH}`,
        response_types_supported: ['id_token'],
        subject_types_supported: ['public'],
        id_token_signing_alg_values_supported: [SIGNING_ALGORITHM],
      }),
      jwks: () => ({ keys: keys.jwks() }),
    },
  };
}
