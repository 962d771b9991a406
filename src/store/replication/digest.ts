/**
 * Comparing two states in kilobytes: every record falls into one of {@link BUCKETS} buckets by its key; a bucket's digest
 * is the exclusive or of its records' hashes. Equal digests mean equal buckets but for chance (64 bits). Pure.
 *
 * A record is told from others by its version and its revision: one and the same write has different revisions on two
 * lines.
 */
import { createHash } from 'node:crypto';
import type { Revision } from '../object-store.js';
import type { ObjectRecord } from '../record.js';

export const BUCKETS = 256;

function hashOf(record: ObjectRecord): Buffer {
  return createHash('sha1').update(`${record.key}\u0000${record.version}${record.revision}`).digest();
}

export const bucketOf = (key: string): number => createHash('sha1').update(key).digest()[0] as number;

/** One digest per bucket, in hexadecimal. */
export function digestBuckets(records: Iterable<ObjectRecord>): string[] {
  const buckets = Array.from({ length: BUCKETS }, () => 0n);
  for (const record of records) {
    const bucket = bucketOf(record.key);
    buckets[bucket] = (buckets[bucket] ?? 0n) ^ hashOf(record).readBigUInt64BE(0);
  }
  return buckets.map((digest) => digest.toString(16));
}

/** The buckets whose digests differ. */
export const differingBuckets = (a: readonly string[], b: readonly string[]): number[] =>
  Array.from({ length: BUCKETS }, (_, i) => i).filter((i) => a[i] !== b[i]);

export type RecordState = readonly [key: string, version: string, revision: Revision];

/** Key, version and revision of every record in those buckets. */
export function statesIn(records: Iterable<ObjectRecord>, buckets: readonly number[]): RecordState[] {
  const wanted = new Set(buckets);
  const out: RecordState[] = [];
  for (const record of records)
    if (wanted.has(bucketOf(record.key))) out.push([record.key, record.version, record.revision]);
  return out;
}
