/**
 * Authentication: from a connection and its headers to a user. Client certificates that the cluster's CA signed name the
 * user (CN) and its groups (O), as in Kubernetes; without any credential the user is anonymous; a credential that is
 * given and wrong is a 401, never anonymous.
 */
import type { PeerCertificate } from 'node:tls';
import { unauthorized } from '../../api/errors.js';
import { peerIn } from '../ca/peer-uri.js';
import { ANONYMOUS, AUTHENTICATED_GROUP, type UserInfo } from './user.js';

/** What authenticators look at. */
export interface Credentials {
  /** The subject of the client certificate when the TLS layer has verified it against the CA. */
  readonly certificate?: {
    readonly commonName: string;
    readonly organizations: readonly string[];
    /** SHA-256 of the certificate, hexadecimal; names the credential in the user's `extra`. */
    readonly fingerprint?: string;
    /** The peer that it was made for, of a peer's own. */
    readonly peer?: string;
  };
  /** The token of `Authorization: Bearer …`. */
  readonly bearerToken?: string;
}

/** Who a bearer token stands for, and for which of the wanted audiences it was made. */
export interface TokenAnswer {
  readonly user: UserInfo;
  readonly audiences: readonly string[];
}

/** A token of a kind that is known here and does not count; the message says why, for a `TokenReview`. */
export class TokenRefusal extends Error {
  readonly code = 'ERR_TOKEN_REFUSED';
}

/** Recognises one kind of bearer token. */
export interface TokenAuthenticator {
  /**
   * Undefined: not mine. Rejects with a {@link TokenRefusal}. The token must be for one of `audiences`; absent: for the API.
   */
  authenticate(token: string, audiences?: readonly string[]): Promise<TokenAnswer | undefined>;
}

/** What a `TokenReview` says. */
export type TokenVerdict =
  ({ readonly authenticated: true } & TokenAnswer) | { readonly authenticated: false; readonly error: string };

const NOT_MINE = 'invalid bearer token';

const withAuthenticated = (user: UserInfo): UserInfo =>
  user.groups.includes(AUTHENTICATED_GROUP) ? user : { ...user, groups: [...user.groups, AUTHENTICATED_GROUP] };

export class Authenticator {
  /** @param isRevoked whether that peer was removed from the cluster: its certificates count no more. */
  constructor(
    private readonly tokens: readonly TokenAuthenticator[] = [],
    private readonly isRevoked: (peer: string) => boolean = () => false,
  ) {}

  /** Throws a 401 for a token that nobody recognises. The certificate wins over the token, as upstream's union does. */
  async authenticate({ certificate, bearerToken }: Credentials): Promise<UserInfo> {
    if (certificate !== undefined && certificate.commonName !== '') {
      const { commonName, organizations, fingerprint, peer } = certificate;
      if (peer !== undefined && this.isRevoked(peer)) throw unauthorized();
      return withAuthenticated({
        name: commonName,
        groups: organizations,
        ...(fingerprint === undefined
          ? {}
          : { extra: { 'authentication.kubernetes.io/credential-id': [`X509SHA256=${fingerprint}`] } }),
      });
    }
    if (bearerToken === undefined || bearerToken === '') return ANONYMOUS;
    const verdict = await this.review(bearerToken);
    if (!verdict.authenticated) throw unauthorized();
    return verdict.user;
  }

  /** Who a token stands for, when it is for one of `audiences` (absent: for the API), or why it does not count. */
  async review(token: string, audiences?: readonly string[]): Promise<TokenVerdict> {
    const problems: string[] = [];
    for (const authenticator of this.tokens) {
      try {
        const answer = await authenticator.authenticate(token, audiences);
        if (answer) return { authenticated: true, user: withAuthenticated(answer.user), audiences: answer.audiences };
      } catch (error) {
        if (!(error instanceof TokenRefusal)) throw error;
        problems.push(error.message);
      }
    }
    return {
      authenticated: false,
      error: problems.length === 0 ? NOT_MINE : `[${[NOT_MINE, ...problems].join(', ')}]`,
    };
  }
}

const listOf = (value: string | string[] | undefined): string[] =>
  value === undefined ? [] : Array.isArray(value) ? value : [value];

/** The subject of a verified peer certificate. Node gives an attribute that occurs more than once as an array. */
export function subjectOf(certificate: PeerCertificate | undefined): Credentials['certificate'] {
  const subject = certificate?.subject as { CN?: string | string[]; O?: string | string[] } | undefined;
  const commonName = listOf(subject?.CN)[0];
  if (commonName === undefined) return undefined;
  const fingerprint = certificate?.fingerprint256?.replaceAll(':', '').toLowerCase();
  const peer = peerIn(certificate?.subjectaltname);
  return {
    commonName,
    organizations: listOf(subject?.O),
    ...(fingerprint ? { fingerprint } : {}),
    ...(peer === undefined ? {} : { peer }),
  };
}

/** The token of an `Authorization` header; undefined when it is absent or of another scheme. */
export function bearerTokenOf(header: string | undefined): string | undefined {
  const match = /^bearer +(\S+) *$/i.exec(header ?? '');
  return match?.[1];
}
