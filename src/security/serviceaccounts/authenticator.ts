/**
 * Recognises service account tokens: bound ones (`serviceaccounts/token`) and those of Secrets.
 *
 * A signature is verified once and remembered, by the token's hash, until the token expires. That the account and what the
 * token is bound to still exist is looked up for every request in this peer's memory, so a deletion counts at once, not
 * after upstream's 10 s. Before a token is refused for something that is missing, this peer catches up: a token may arrive
 * before the news of its account does.
 */
import { hash } from 'node:crypto';
import { decodeJwt, errors, jwtVerify, type JWTPayload } from 'jose';
import type { Clock } from '../../base/clock.js';
import { TokenRefusal, type TokenAnswer, type TokenAuthenticator } from '../authn/authenticator.js';
import type { UserInfo } from '../authn/user.js';
import { userOf } from './claims.js';
import type { ObjectLookups } from './lookups.js';
import { SIGNING_ALGORITHM, type ServiceAccountKeys } from './signing-keys.js';
import { LEGACY_ISSUER } from './token-issuer.js';
import { boundProblem, readBound, readLegacy, secretProblem, type BoundClaims, type LegacyClaims } from './validity.js';

export interface ServiceAccountAuthenticatorDeps {
  readonly clock: Clock;
  readonly keys: ServiceAccountKeys;
  readonly lookups: ObjectLookups;
}

export interface ServiceAccountAuthenticatorOptions {
  readonly issuer: string;
  /** Tokens for one of these are tokens for the API. */
  readonly audiences: readonly string[];
  /** Tokens whose verified claims are remembered; 4,096 unless told. */
  readonly cacheEntries?: number;
}

interface Verified {
  readonly claims: BoundClaims | LegacyClaims;
  readonly audiences: readonly string[];
  readonly keyNumber: number;
  readonly user: UserInfo;
  /** Wall clock. */
  readonly untilMs: number;
  /** Until then a refusal stands without asking others again; monotonic. */
  refusedUntilMs: number;
}

const DEFAULT_CACHE_ENTRIES = 4096;
/** How far clocks may differ (upstream's leeway). */
const LEEWAY_SECONDS = 60;
/** A refused token makes this peer catch up at most so often, in milliseconds. */
const REFUSAL_MS = 1_000;

export class ServiceAccountAuthenticator implements TokenAuthenticator {
  private readonly verified = new Map<string, Verified>();

  constructor(
    private readonly deps: ServiceAccountAuthenticatorDeps,
    private readonly options: ServiceAccountAuthenticatorOptions,
  ) {}

  async authenticate(
    token: string,
    wanted: readonly string[] = this.options.audiences,
  ): Promise<TokenAnswer | undefined> {
    const found = this.remembered(token) ?? (await this.verify(token));
    if (found === undefined) return undefined;
    const audiences = found.audiences.filter((audience) => wanted.includes(audience));
    if (audiences.length === 0) {
      throw new TokenRefusal(
        `token audiences ${quoted(found.audiences)} is invalid for the target audiences ${quoted(wanted)}`,
      );
    }
    await this.check(found, token);
    return { user: found.user, audiences };
  }

  private remembered(token: string): Verified | undefined {
    const key = hashOf(token);
    const found = this.verified.get(key);
    if (found === undefined) return undefined;
    if (found.untilMs > this.deps.clock.nowMs() && this.deps.keys.isAccepted(found.keyNumber)) return found;
    this.verified.delete(key);
    return undefined;
  }

  /** Undefined for what is no token of this cluster. */
  private async verify(token: string): Promise<Verified | undefined> {
    const { clock, keys } = this.deps;
    const { issuer, audiences } = this.options;
    const legacy = issuerOf(token) === LEGACY_ISSUER;
    if (!legacy && issuerOf(token) !== issuer) return undefined;
    let keyNumber = 0;
    let payload: JWTPayload;
    try {
      ({ payload } = await jwtVerify(
        token,
        ({ kid }) => {
          const key = keys.find(kid);
          if (!key) throw new errors.JWKSNoMatchingKey();
          keyNumber = key.number;
          return key.publicKey;
        },
        {
          algorithms: [SIGNING_ALGORITHM],
          currentDate: new Date(clock.nowMs()),
          clockTolerance: LEEWAY_SECONDS,
          issuer: legacy ? LEGACY_ISSUER : issuer,
          requiredClaims: legacy ? [] : ['exp', 'nbf'],
        },
      ));
    } catch (error) {
      const problem = problemOf(error);
      if (problem === undefined) return undefined;
      throw new TokenRefusal(problem, { cause: error });
    }
    const claims = legacy ? readLegacy(payload) : readBound(payload);
    if (!claims) throw new TokenRefusal('service account token claims could not be validated');
    const user =
      claims.kind === 'secret'
        ? userOf(claims.namespace, claims.account)
        : userOf(claims.namespace, claims.account, claims);
    const untilMs = payload.exp === undefined ? Infinity : (payload.exp + LEEWAY_SECONDS) * 1000;
    const entry: Verified = {
      claims,
      audiences: claims.kind === 'secret' ? audiences : claims.audiences,
      keyNumber,
      user,
      untilMs,
      refusedUntilMs: 0,
    };
    this.remember(token, entry);
    return entry;
  }

  private remember(token: string, entry: Verified): void {
    const limit = this.options.cacheEntries ?? DEFAULT_CACHE_ENTRIES;
    for (const oldest of this.verified.keys()) {
      if (this.verified.size < limit) break;
      this.verified.delete(oldest);
    }
    this.verified.set(hashOf(token), entry);
  }

  private async check(entry: Verified, token: string): Promise<void> {
    const { clock, lookups } = this.deps;
    const problem = this.problem(entry, token);
    if (problem === undefined) return;
    if (clock.monotonicMs() < entry.refusedUntilMs) throw new TokenRefusal(problem);
    // Nobody to catch up with: what is known here has to do.
    await lookups.fresh().catch(() => undefined);
    const still = this.problem(entry, token);
    if (still === undefined) return;
    entry.refusedUntilMs = clock.monotonicMs() + REFUSAL_MS;
    throw new TokenRefusal(still);
  }

  private problem({ claims }: Verified, token: string): string | undefined {
    const nowMs = this.deps.clock.nowMs();
    return claims.kind === 'secret'
      ? secretProblem(claims, this.deps.lookups, token, nowMs)
      : boundProblem(claims, this.deps.lookups, nowMs);
  }
}

const hashOf = (token: string) => hash('sha256', token, 'base64');
const quoted = (texts: readonly string[]) => `[${texts.map((text) => JSON.stringify(text)).join(' ')}]`;

/** The issuer that an unverified token claims; undefined when it is no JWT. */
function issuerOf(token: string): string | undefined {
  try {
    return decodeJwt(token).iss;
  } catch {
    return undefined;
  }
}

/** Upstream's text; undefined for a signature that is not ours. */
function problemOf(error: unknown): string | undefined {
  if (error instanceof errors.JWTExpired) return 'service account token has expired';
  if (error instanceof errors.JWTClaimValidationFailed) {
    return error.claim === 'nbf'
      ? 'service account token is not valid yet'
      : 'service account token claims could not be validated';
  }
  if (error instanceof errors.JOSEError) return undefined;
  throw error;
}
