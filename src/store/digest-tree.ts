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
const LEAVES = BUCKETS * LEAVES_PER_BUCKET;
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

export type RecordState = readonly [key: string, version: string, revision: Revision];

/** What is compared: all that a digest depends on. */
type Identity = Pick<ObjectRecord, 'key' | 'version' | 'revision'>;

/** Digests that are kept up to date record by record, in constant time, with the keys of each leaf. */
export class DigestTree {
  /** High and low words of the digests; numbers of 64 bits would have to be boxed. */
  private readonly leaves = [new Uint32Array(LEAVES), new Uint32Array(LEAVES)] as const;
  private readonly keys: (string[] | undefined)[] = Array.from({ length: LEAVES });

  /** A record took the place of another, or of none; or went. */
  change(before: Identity | undefined, after: Identity | undefined): void {
    const key = (after ?? before)?.key;
    if (key === undefined) return;
    const leaf = leafOf(key);
    if (before) this.toggle(leaf, before);
    if (after) this.toggle(leaf, after);
    if (after && !before) (this.keys[leaf] ??= []).push(key);
    else if (before && !after) {
      const keys = this.keys[leaf];
      keys?.splice(keys.indexOf(key), 1);
    }
  }

  /** The keys of a leaf, in no particular order. */
  keysIn(leaf: number): readonly string[] {
    return this.keys[leaf] ?? [];
  }

  /** One digest per bucket, in hexadecimal. */
  buckets(): string[] {
    return Array.from({ length: BUCKETS }, (_, bucket) => {
      let [high, low] = [0, 0];
      for (let i = 0; i < LEAVES_PER_BUCKET; i++) {
        high ^= this.leaves[0][bucket * LEAVES_PER_BUCKET + i] ?? 0;
        low ^= this.leaves[1][bucket * LEAVES_PER_BUCKET + i] ?? 0;
      }
      return ((BigInt(high >>> 0) << 32n) | BigInt(low >>> 0)).toString(16);
    });
  }

  /** The digests of a bucket's leaves, one after the other. */
  leavesOf(bucket: number): Uint8Array {
    const out = new Uint8Array(LEAVES_PER_BUCKET * DIGEST_BYTES);
    const view = new DataView(out.buffer);
    for (let i = 0; i < LEAVES_PER_BUCKET; i++) {
      view.setUint32(i * DIGEST_BYTES, this.leaves[0][bucket * LEAVES_PER_BUCKET + i] ?? 0);
      view.setUint32(i * DIGEST_BYTES + 4, this.leaves[1][bucket * LEAVES_PER_BUCKET + i] ?? 0);
    }
    return out;
  }

  /** How many records there are in a bucket. */
  sizeOf(bucket: number): number {
    let size = 0;
    for (const leaf of leavesIn(bucket)) size += this.keys[leaf]?.length ?? 0;
    return size;
  }

  /** A tree of its own with the same content. */
  copy(): DigestTree {
    const copy = new DigestTree();
    for (let bucket = 0; bucket < BUCKETS; bucket++) this.copyBucket(bucket, copy);
    return copy;
  }

  /** The same, with turns for others in between. */
  async copied(pause: () => Promise<void>): Promise<DigestTree> {
    const copy = new DigestTree();
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      this.copyBucket(bucket, copy);
      if (bucket % COPIED_AT_ONCE === 0) await pause();
    }
    return copy;
  }

  private copyBucket(bucket: number, to: DigestTree): void {
    for (const leaf of leavesIn(bucket)) {
      for (const half of [0, 1] as const) to.leaves[half][leaf] = this.leaves[half][leaf] ?? 0;
      const keys = this.keys[leaf];
      if (keys) to.keys[leaf] = [...keys];
    }
  }

  private toggle(leaf: number, { key, version, revision }: Identity): void {
    const digest = hash('sha1', `${key}\u0000${version}${revision}`, 'binary');
    const [high, low] = this.leaves;
    high[leaf] = (high[leaf] ?? 0) ^ word(digest, 0);
    low[leaf] = (low[leaf] ?? 0) ^ word(digest, 4);
  }
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
    const [from, to] = [i * DIGEST_BYTES, (i + 1) * DIGEST_BYTES];
    return !Buffer.from(ours.subarray(from, to)).equals(theirs.subarray(from, to));
  });
}
