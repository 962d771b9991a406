/**
 * Authentication: from a connection and its headers to a user. Client certificates that the cluster's CA signed name the
 * user (CN) and its groups (O), as in Kubernetes; without any credential the user is anonymous; a credential that is
 * given and wrong is a 401, never anonymous.
 */
import type { PeerCertificate } from 'node:tls';
import { unauthorized } from '../../api/errors.js';
import { ANONYMOUS, AUTHENTICATED_GROUP, type UserInfo } from './user.js';

/** What authenticators look at. */
export interface Credentials {
  /** The subject of the client certificate when the TLS layer has verified it against the CA. */
  readonly certificate?: { readonly commonName: string; readonly organizations: readonly string[] };
  /** The token of `Authorization: Bearer …`. */
  readonly bearerToken?: string;
}

/** Recognises one kind of bearer token; undefined: not mine. */
export interface TokenAuthenticator {
  authenticate(token: string): UserInfo | undefined | Promise<UserInfo | undefined>;
}

const withAuthenticated = (user: UserInfo): UserInfo =>
  user.groups.includes(AUTHENTICATED_GROUP) ? user : { ...user, groups: [...user.groups, AUTHENTICATED_GROUP] };

export class Authenticator {
  constructor(private readonly tokens: readonly TokenAuthenticator[] = []) {}

  /** Throws a 401 for a token that nobody recognises. The certificate wins over the token, as upstream's union does. */
  async authenticate({ certificate, bearerToken }: Credentials): Promise<UserInfo> {
    if (certificate !== undefined && certificate.commonName !== '') {
      return withAuthenticated({ name: certificate.commonName, groups: certificate.organizations });
    }
    if (bearerToken === undefined || bearerToken === '') return ANONYMOUS;
    for (const authenticator of this.tokens) {
      const user = await authenticator.authenticate(bearerToken);
      if (user !== undefined) return withAuthenticated(user);
    }
    throw unauthorized();
  }
}

const listOf = (value: string | string[] | undefined): string[] =>
  value === undefined ? [] : Array.isArray(value) ? value : [value];

/** The subject of a verified peer certificate. Node gives an attribute that occurs more than once as an array. */
export function subjectOf(certificate: PeerCertificate | undefined): Credentials['certificate'] {
  const subject = certificate?.subject as { CN?: string | string[]; O?: string | string[] } | undefined;
  const commonName = listOf(subject?.CN)[0];
  if (commonName === undefined) return undefined;
  return { commonName, organizations: listOf(subject?.O) };
}

/** The token of an `Authorization` header; undefined when it is absent or of another scheme. */
export function bearerTokenOf(header: string | undefined): string | undefined {
  const match = /^bearer +(\S+) *$/i.exec(header ?? '');
  return match?.[1];
}
