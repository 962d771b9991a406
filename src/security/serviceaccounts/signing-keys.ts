/**
 * The keys that service account tokens are signed with: ES256 pairs derived from the cluster's secret (HKDF, RFC 5869), so
 * that every peer can issue and verify alone, also cut off and after a restart, with nothing more to hand out or to store.
 *
 * Keys are numbered. The ConfigMap `kube-system/skein-service-account-keys` may say which number signs and which is the
 * oldest that still verifies; without it the first key does both. The key behind the signing one verifies already, so a
 * peer that hears late of a rotation refuses nothing. Pairs are made when first needed; at most
 * {@link MAX_KEYS} are accepted at a time.
 */
import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import { derivedPrivateKey } from '../../base/derived-key.js';
import type { KubeObject } from '../../api/object.js';
import type { ConfigMap } from '../../api/types/core-v1.js';
import type { ObjectLookups } from './lookups.js';

export interface SigningKey {
  readonly number: number;
  /** As upstream: SHA-256 of the public key's SubjectPublicKeyInfo, base64url. */
  readonly id: string;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

/** A public key as `/openid/v1/jwks` shows it (RFC 7517). */
export interface PublicJwk {
  readonly use: 'sig';
  readonly kty: 'EC';
  readonly kid: string;
  readonly alg: 'ES256';
  readonly crv: string;
  readonly x: string;
  readonly y: string;
}

export const SIGNING_ALGORITHM = 'ES256';
export const KEYS_CONFIG_MAP = { namespace: 'kube-system', name: 'skein-service-account-keys' } as const;
/** Keys that verify at the same time, the one ahead not counted. */
const MAX_KEYS = 8;
const MAX_NUMBER = 100_000;

interface Range {
  readonly oldest: number;
  readonly signing: number;
}

const FIRST: Range = { oldest: 1, signing: 1 };

export class ServiceAccountKeys {
  private readonly made = new Map<number, SigningKey>();
  private seen: { readonly object: KubeObject | undefined; readonly range: Range } = {
    object: undefined,
    range: FIRST,
  };

  constructor(
    private readonly clusterSecret: Uint8Array,
    private readonly lookups: Pick<ObjectLookups, 'get'>,
  ) {}

  /** The key that signs now. */
  signing(): SigningKey {
    return this.key(this.range().signing);
  }

  /** The key of that id; undefined when it does not verify (any more). */
  find(id: string | undefined): SigningKey | undefined {
    return this.accepted().find((key) => key.id === id);
  }

  /** Whether tokens of that key still count. Cheap. */
  isAccepted(number: number): boolean {
    const { oldest, signing } = this.range();
    return number >= oldest && number <= signing + 1;
  }

  jwks(): PublicJwk[] {
    return this.accepted().map(({ id, publicKey }) => {
      const { crv = '', x = '', y = '' } = publicKey.export({ format: 'jwk' });
      return { use: 'sig', kty: 'EC', kid: id, alg: SIGNING_ALGORITHM, crv, x, y };
    });
  }

  /** Changes when the set of keys does. */
  get revision(): string {
    const { oldest, signing } = this.range();
    return `${oldest}-${signing}`;
  }

  private accepted(): SigningKey[] {
    const { oldest, signing } = this.range();
    return Array.from({ length: signing + 2 - oldest }, (_, index) => this.key(oldest + index));
  }

  private range(): Range {
    const { namespace, name } = KEYS_CONFIG_MAP;
    const object = this.lookups.get('', 'configmaps', namespace, name);
    if (object !== this.seen.object) {
      this.seen = { object, range: rangeOf(object) };
      for (const number of this.made.keys()) if (!this.isAccepted(number)) this.made.delete(number);
    }
    return this.seen.range;
  }

  private key(number: number): SigningKey {
    let key = this.made.get(number);
    if (!key) this.made.set(number, (key = deriveKey(this.clusterSecret, number)));
    return key;
  }
}

/** What cannot be read counts as absent: tokens must never stop working for a typing error. */
function rangeOf(object: KubeObject | undefined): Range {
  const { data = {} } = (object ?? {}) as ConfigMap;
  const number = (text: string | undefined, fallback: number) => {
    const value = Number(text);
    return Number.isInteger(value) && value >= 1 && value <= MAX_NUMBER ? value : fallback;
  };
  const signing = number(data['signing'], 1);
  const oldest = Math.min(number(data['oldest'], 1), signing);
  return { signing, oldest: Math.max(oldest, signing - MAX_KEYS + 1) };
}

function deriveKey(secret: Uint8Array, number: number): SigningKey {
  const privateKey = derivedPrivateKey(secret, `service account signing key ${number}`);
  const publicKey = createPublicKey(privateKey);
  const der = publicKey.export({ format: 'der', type: 'spki' });
  return { number, id: createHash('sha256').update(der).digest('base64url'), privateKey, publicKey };
}
