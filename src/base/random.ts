import { randomBytes, randomFillSync } from 'node:crypto';

/** The randomness seam: passed in, so that a simulation replays from its seed. */
export interface Random {
  /** Uniform in [0, 1). */
  next(): number;
  /** Uniform integer in [0, bound). */
  int(bound: number): number;
  bytes(length: number): Uint8Array;
}

/** Random bytes drawn ahead: asking the generator for a few at a time costs many times as much. None is used twice. */
const pool = Buffer.alloc(4096);
let poolUsed = pool.length;

/** Where `length` fresh bytes of the pool begin. */
function draw(length: number): number {
  if (poolUsed + length > pool.length) {
    randomFillSync(pool);
    poolUsed = 0;
  }
  const at = poolUsed;
  poolUsed += length;
  return at;
}

/** Cryptographically strong randomness of this machine. */
export const systemRandom: Random = {
  next: () => pool.readUIntBE(draw(6), 6) / 2 ** 48,
  int: (bound) => Math.floor(systemRandom.next() * bound),
  bytes(length) {
    // Keys and other long ones are not kept in memory longer than their owner keeps them.
    if (length > 16) return new Uint8Array(randomBytes(length));
    const at = draw(length);
    const bytes = Uint8Array.prototype.slice.call(pool, at, at + length);
    pool.fill(0, at, at + length);
    return bytes;
  },
};

/** A deterministic generator (mulberry32) for simulations and tests. Not for secrets. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  return {
    next,
    int: (bound) => Math.floor(next() * bound),
    bytes: (length) => Uint8Array.from({ length }, () => Math.floor(next() * 256)),
  };
}

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

/** A version 4 UUID (RFC 9562). */
export function uuid(random: Random): string {
  const b = random.bytes(16);
  b[6] = ((b[6] ?? 0) & 0x0f) | 0x40;
  b[8] = ((b[8] ?? 0) & 0x3f) | 0x80;
  let out = '';
  for (let i = 0; i < 16; i++) out += (i === 4 || i === 6 || i === 8 || i === 10 ? '-' : '') + (HEX[b[i] ?? 0] ?? '');
  return out;
}

/** The alphabet of Kubernetes' `rand.String`: no vowels and no look-alikes, so no words appear by chance. */
const SAFE_ALPHABET = 'bcdfghjklmnpqrstvwxz2456789';

/** A random suffix as `generateName` and pod names use it. */
export function safeSuffix(random: Random, length = 5): string {
  let out = '';
  for (let i = 0; i < length; i++) out += SAFE_ALPHABET[random.int(SAFE_ALPHABET.length)];
  return out;
}
