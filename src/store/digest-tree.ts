/**
 * Comparing two states in kilobytes: every record falls into one of {@link BUCKETS} buckets by its key, and into one of the
 * bucket's {@link LEAVES_PER_BUCKET} leaves. A leaf's digest is the exclusive or of its records' hashes, a bucket's that of its
 * leaves: a tree of Merkle's kind with two levels, which a change of one record touches in two places. Equal digests mean equal
 * records but for chance (64 bits).
 *
 * A record is told from others by its version and its revision: one and the same write has different revisions on two
 * lines.
 */
import { hash } from 'node:crypto';
import type { Revision } from './object-store.js';
import type { ObjectRecord } from './record.js';

export const BUCKETS = 256;
export const LEAVES_PER_BUCKET = 256;
/** Buckets copied before others get a turn. */
const COPIED_AT_ONCE = 32;
/** Of a digest on the wire. */
const DIGEST_BYTES = 8;

/** Four bytes of a SHA-1 in binary form. */
const word = (digest: string, at: number): number =>
  ((digest.charCodeAt(at) << 24) |
    (digest.charCodeAt(at + 1) << 16) |
    (digest.charCodeAt(at + 2) << 8) |
    digest.charCodeAt(at + 3)) >>>
  0;

/** Where a key belongs, whatever the record. */
export const leafOf = (key: string): number => word(hash('sha1', key, 'binary'), 0) >>> 16;

const bucketOf = (leaf: number): number => Math.floor(leaf / LEAVES_PER_BUCKET);

export type RecordState = readonly [key: string, version: string, revision: Revision];

/** What is compared: all that a digest depends on. */
type Identity = Pick<ObjectRecord, 'key' | 'version' | 'revision'>;

/** The leaves of one bucket. */
class Bucket {
  /** High and low words of the digests in turn; numbers of 64 bits would have to be boxed. */
  readonly words = new Uint32Array(LEAVES_PER_BUCKET * 2);
  readonly keys: (string[] | undefined)[] = Array.from({ length: LEAVES_PER_BUCKET });

  copy(): Bucket {
    const copy = new Bucket();
    copy.words.set(this.words);
    for (const [leaf, keys] of this.keys.entries()) if (keys) copy.keys[leaf] = [...keys];
    return copy;
  }
}

/**
 * Digests that are kept up to date record by record, in constant time, with the keys of each leaf. Buckets without records
 * take no room: states are made by the dozen while parts of a cluster merge, and most are small.
 */
export class DigestTree {
  private readonly parts: (Bucket | undefined)[] = Array.from({ length: BUCKETS });

  /** A record took the place of another, or of none; or went. */
  change(before: Identity | undefined, after: Identity | undefined): void {
    const key = (after ?? before)?.key;
    if (key === undefined) return;
    const leaf = leafOf(key);
    const bucket = (this.parts[bucketOf(leaf)] ??= new Bucket());
    const at = leaf % LEAVES_PER_BUCKET;
    if (before) toggle(bucket, at, before);
    if (after) toggle(bucket, at, after);
    if (after && !before) (bucket.keys[at] ??= []).push(key);
    else if (before && !after) {
      const keys = bucket.keys[at];
      keys?.splice(keys.indexOf(key), 1);
    }
  }

  /** The keys of a leaf, in no particular order. */
  keysIn(leaf: number): readonly string[] {
    return this.parts[bucketOf(leaf)]?.keys[leaf % LEAVES_PER_BUCKET] ?? [];
  }

  /** One digest per bucket, in hexadecimal. */
  buckets(): string[] {
    return this.parts.map((bucket) => {
      if (!bucket) return '0';
      let [high, low] = [0, 0];
      for (let at = 0; at < bucket.words.length; at += 2) {
        high ^= bucket.words[at] ?? 0;
        low ^= bucket.words[at + 1] ?? 0;
      }
      return ((BigInt(high >>> 0) << 32n) | BigInt(low >>> 0)).toString(16);
    });
  }

  /** The digests of a bucket's leaves, one after the other. */
  leavesOf(bucket: number): Uint8Array {
    const out = new Uint8Array(LEAVES_PER_BUCKET * DIGEST_BYTES);
    const view = new DataView(out.buffer);
    for (const [i, word] of this.parts[bucket]?.words.entries() ?? []) view.setUint32(i * 4, word);
    return out;
  }

  /** How many records there are in a bucket. */
  sizeOf(bucket: number): number {
    return this.parts[bucket]?.keys.reduce((size, keys) => size + (keys?.length ?? 0), 0) ?? 0;
  }

  /** A tree of its own with the same content. */
  copy(): DigestTree {
    const copy = new DigestTree();
    for (const [i, bucket] of this.parts.entries()) copy.parts[i] = bucket?.copy();
    return copy;
  }

  /** The same, with turns for others in between. */
  async copied(pause: () => Promise<void>): Promise<DigestTree> {
    const copy = new DigestTree();
    for (const [i, bucket] of this.parts.entries()) {
      copy.parts[i] = bucket?.copy();
      if (i % COPIED_AT_ONCE === 0) await pause();
    }
    return copy;
  }
}

function toggle({ words }: Bucket, at: number, { key, version, revision }: Identity): void {
  const digest = hash('sha1', `${key}\u0000${version}${revision}`, 'binary');
  words[at * 2] = (words[at * 2] ?? 0) ^ word(digest, 0);
  words[at * 2 + 1] = (words[at * 2 + 1] ?? 0) ^ word(digest, 4);
}

/** All leaves of a bucket. */
export const leavesIn = (bucket: number): number[] =>
  Array.from({ length: LEAVES_PER_BUCKET }, (_, i) => bucket * LEAVES_PER_BUCKET + i);

/** The buckets whose digests differ. */
export const differingBuckets = (a: readonly string[], b: readonly string[]): number[] =>
  Array.from({ length: BUCKETS }, (_, i) => i).filter((i) => a[i] !== b[i]);

/** The leaves of a bucket whose digests differ. */
export function differingLeaves(bucket: number, ours: Uint8Array, theirs: Uint8Array): number[] {
  return leavesIn(bucket).filter((_, i) => {
    for (let at = i * DIGEST_BYTES; at < (i + 1) * DIGEST_BYTES; at++) if (ours[at] !== theirs[at]) return true;
    return false;
  });
}
