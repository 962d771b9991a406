/**
 * Join tokens: `skein1.` and base64url of JSON. A token says where to join, pins the CA's hash, and carries a secret that
 * the cluster keeps only as a hash, in a Secret of the form of Kubernetes' bootstrap tokens.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { rfc3339, type Clock } from '../../base/clock.js';
import type { Random } from '../../base/random.js';

export type JoinErrorCode =
  | 'malformed-token'
  | 'expired-token'
  | 'unknown-token'
  | 'hash-mismatch'
  | 'unreachable'
  | 'name-in-use'
  | 'bad-request'
  | 'failed';

/** Why a join did not happen, in one line for the person who started it. */
export class JoinError extends Error {
  constructor(
    readonly code: JoinErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = 'JoinError';
  }
}

export interface JoinToken {
  /** `host:port` of HTTPS endpoints, any of which will do. */
  readonly addresses: readonly string[];
  /** SHA-256 of the CA's certificate, base64url. */
  readonly caHash: string;
  readonly id: string;
  readonly secret: string;
  /** Milliseconds since the epoch. */
  readonly expiresMs: number;
}

/** What the cluster remembers of a token. */
export interface TokenRecord {
  readonly id: string;
  /** `sha256:` and hex. */
  readonly secretHash: string;
  readonly expiresMs: number;
}

/** Where the cluster keeps its tokens: Secrets in `kube-system`. Deleting one revokes the token. */
export interface TokenStore {
  get(id: string): Promise<TokenRecord | undefined>;
  put(record: TokenRecord): Promise<void>;
}

const PREFIX = 'skein1.';
const ID_ALPHABET = 'abcdefghijklmnopqrstuvwxyz0123456789';

/** Makes a token and stores its record. */
export async function createToken(
  deps: { readonly clock: Clock; readonly random: Random; readonly store: TokenStore },
  request: { readonly addresses: readonly string[]; readonly caHash: string; readonly ttlMs: number },
): Promise<string> {
  const id = Array.from({ length: 6 }, () => ID_ALPHABET[deps.random.int(ID_ALPHABET.length)]).join('');
  const secret = Buffer.from(deps.random.bytes(32)).toString('base64url');
  const expiresMs = deps.clock.nowMs() + request.ttlMs;
  await deps.store.put({ id, secretHash: hashSecret(secret), expiresMs });
  return formatToken({ addresses: request.addresses, caHash: request.caHash, id, secret, expiresMs });
}

export function formatToken(token: JoinToken): string {
  const { addresses, caHash, id, secret, expiresMs } = token;
  const json = JSON.stringify({ a: addresses, h: caHash, i: id, s: secret, e: Math.floor(expiresMs / 1000) });
  return PREFIX + Buffer.from(json).toString('base64url');
}

/** Reads a token. Throws a {@link JoinError} that says what is wrong with it, without showing the secret. */
export function parseToken(text: string, nowMs: number): JoinToken {
  const trimmed = text.trim();
  const malformed = (why: string) => new JoinError('malformed-token', `this is not a join token: ${why}`);
  if (!trimmed.startsWith(PREFIX)) {
    if (/^skein\d+\./.test(trimmed)) throw malformed('it is of a version that this skein does not know');
    throw malformed(`it does not begin with "${PREFIX}"`);
  }
  let fields: Record<string, unknown>;
  try {
    fields = JSON.parse(Buffer.from(trimmed.slice(PREFIX.length), 'base64url').toString()) as Record<string, unknown>;
  } catch {
    throw malformed('it is damaged or was not copied completely');
  }
  const { a, h, i, s, e } = fields;
  const addresses = Array.isArray(a) ? a.filter((address) => typeof address === 'string') : [];
  if (addresses.length === 0 || typeof h !== 'string' || typeof i !== 'string' || typeof s !== 'string')
    throw malformed('a part of it is missing');
  if (typeof e !== 'number') throw malformed('it has no expiry');
  const token = { addresses, caHash: h, id: i, secret: s, expiresMs: e * 1000 };
  if (nowMs > token.expiresMs) throw expired(token.expiresMs);
  return token;
}

export function hashSecret(secret: string): string {
  return `sha256:${createHash('sha256').update(secret).digest('hex')}`;
}

/** Throws a {@link JoinError} unless the token is known, not expired, and its secret right. */
export function checkToken(record: TokenRecord | undefined, secret: string, nowMs: number): void {
  // Compared even when the token is unknown, so that the time taken tells nothing.
  const actual = Buffer.from(hashSecret(secret));
  const wanted = Buffer.from(record?.secretHash ?? hashSecret(''));
  const equal = actual.length === wanted.length && timingSafeEqual(actual, wanted);
  if (!record || !equal)
    throw new JoinError('unknown-token', 'the join token is not known to the cluster; it may have been revoked');
  if (nowMs > record.expiresMs) throw expired(record.expiresMs);
}

function expired(expiresMs: number): JoinError {
  return new JoinError(
    'expired-token',
    `the join token expired at ${rfc3339(expiresMs)}; make a new one with: skein token create`,
  );
}

/** The Secret that keeps a token: type, names and keys as Kubernetes' bootstrap tokens have them. */
export interface BootstrapTokenSecret {
  readonly apiVersion: 'v1';
  readonly kind: 'Secret';
  readonly metadata: { readonly name: string; readonly namespace: 'kube-system' };
  readonly type: 'bootstrap.kubernetes.io/token';
  readonly data: Readonly<Record<string, string>>;
}

export function tokenSecretName(id: string): string {
  return `bootstrap-token-${id}`;
}

export function tokenToSecret(record: TokenRecord): BootstrapTokenSecret {
  const fields = {
    'token-id': record.id,
    'token-secret': record.secretHash,
    expiration: rfc3339(record.expiresMs),
    'usage-bootstrap-authentication': 'true',
    description: 'Lets a machine join the cluster. The secret is kept as a hash.',
  };
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: tokenSecretName(record.id), namespace: 'kube-system' },
    type: 'bootstrap.kubernetes.io/token',
    data: Object.fromEntries(
      Object.entries(fields).map(([key, value]) => [key, Buffer.from(value).toString('base64')]),
    ),
  };
}

/** Undefined when the Secret does not hold a token of ours that may be used. */
export function tokenFromSecret(secret: {
  readonly type?: string;
  readonly data?: Readonly<Record<string, string>>;
}): TokenRecord | undefined {
  if (secret.type !== 'bootstrap.kubernetes.io/token') return undefined;
  const field = (key: string) => Buffer.from(secret.data?.[key] ?? '', 'base64').toString();
  const expiresMs = Date.parse(field('expiration'));
  const secretHash = field('token-secret');
  if (field('usage-bootstrap-authentication') !== 'true' || !secretHash.startsWith('sha256:')) return undefined;
  if (Number.isNaN(expiresMs)) return undefined;
  return { id: field('token-id'), secretHash, expiresMs };
}
