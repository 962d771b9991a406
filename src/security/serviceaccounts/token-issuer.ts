/** Signs service account tokens, bound ones and those of Secrets. */
import { SignJWT, type JWTPayload } from 'jose';
import { SIGNING_ALGORITHM, type ServiceAccountKeys } from './signing-keys.js';
import { accountUser, type TokenClaims } from './claims.js';
import type { KubeObject } from '../../api/object.js';

/** The issuer in tokens of Secrets. */
export const LEGACY_ISSUER = 'kubernetes/serviceaccount';
export const LEGACY_CLAIM = {
  namespace: 'kubernetes.io/serviceaccount/namespace',
  secret: 'kubernetes.io/serviceaccount/secret.name',
  account: 'kubernetes.io/serviceaccount/service-account.name',
  uid: 'kubernetes.io/serviceaccount/service-account.uid',
} as const;

export class TokenIssuer {
  constructor(private readonly keys: ServiceAccountKeys) {}

  issue(claims: TokenClaims): Promise<string> {
    return this.sign(claims as unknown as JWTPayload);
  }

  /** The token of a `kubernetes.io/service-account-token` Secret: no audience, counts while the Secret holds it. */
  issueForSecret(account: KubeObject, secretName: string): Promise<string> {
    const { namespace = '', name = '', uid = '' } = account.metadata;
    return this.sign({
      iss: LEGACY_ISSUER,
      [LEGACY_CLAIM.namespace]: namespace,
      [LEGACY_CLAIM.secret]: secretName,
      [LEGACY_CLAIM.account]: name,
      [LEGACY_CLAIM.uid]: uid,
      sub: accountUser(namespace, name),
    });
  }

  private sign(claims: JWTPayload): Promise<string> {
    const { id, privateKey } = this.keys.signing();
    return new SignJWT(claims).setProtectedHeader({ alg: SIGNING_ALGORITHM, kid: id }).sign(privateKey);
  }
}
