/**
 * One object's replicated state: the plain value that readers see, and beside it what a merge needs. Records are
 * immutable; a write makes a new one. Pure and deterministic: every peer that applies the same entries holds equal records.
 *
 * Shared kinds keep an Automerge document of their desired state. It is fed lazily: writes wait as plain values in
 * `pending`, without those that the next one overwrote, and are appended when a merge needs the document or more than
 * {@link MAX_PENDING} wait, which keeps the engine off the write path. Everything else is a stamped register per part.
 */
import type { KubeObject } from '../api/object.js';
import type { VersionRange } from '../base/version-range.js';
import type { Revision } from './object-store.js';
import { freezeObject } from './frozen-object.js';
import { seal, unseal } from './log-entry.js';
import { jsonTextOf } from './object-text.js';
import { NO_STAMP, writerOf, type Stamp } from './stamp.js';
import { AUTOMERGE, type DocumentSide } from './crdt/document.js';
import type { KindPolicy } from './kind-policy.js';
import { isOverwritten } from './crdt/overwritten.js';
import { toShape } from './crdt/shape.js';

export { deepFreeze } from './frozen-object.js';

/** Writes kept as values before they are appended to the document. */
export const MAX_PENDING = 8;

export interface PartStamps {
  /** Labels, annotations and the rest of `metadata`. */
  readonly metadata: Stamp;
  /** Everything that is neither metadata nor status. */
  readonly spec: Stamp;
  readonly status: Stamp;
}

export interface PendingWrite {
  readonly stamp: Stamp;
  readonly value: KubeObject;
}

export interface ObjectRecord {
  readonly key: string;
  /** The revision that brought this state. */
  readonly revision: Revision;
  /** The stamp of the write that brought this state; equal versions of a key are equal states. */
  readonly version: Stamp;
  /** When this incarnation was created. */
  readonly birth: Stamp;
  /** The newest birth that was deleted under this key: an incarnation that old must not come back. */
  readonly buried: Stamp;
  /** Absent for a tombstone. Frozen. */
  readonly value: KubeObject | undefined;
  /** When each part was last written; of a tombstone: the parts of what was deleted. */
  readonly parts: PartStamps;
  readonly document: Uint8Array | undefined;
  readonly pending: readonly PendingWrite[];
}

/** The record after a put. `value` must be frozen and carry its resourceVersion. */
export function afterPut(
  before: ObjectRecord | undefined,
  key: string,
  value: KubeObject,
  revision: Revision,
  stamp: Stamp,
  policy: KindPolicy,
): ObjectRecord {
  const old = before?.value;
  if (!before || !old || old.metadata.uid !== value.metadata.uid) {
    return {
      key,
      revision,
      version: stamp,
      birth: stamp,
      buried: before ? (before.value ? before.birth : before.buried) : NO_STAMP,
      value,
      parts: { metadata: stamp, spec: stamp, status: stamp },
      document: undefined,
      pending: policy.merge === 'document' ? [{ stamp, value }] : [],
    };
  }
  const metadataChanged = !sameMetadata(old, value);
  const specChanged = !sameBody(old, value);
  const statusChanged = !deepEqual(old.status, value.status);
  const parts = {
    metadata: metadataChanged ? stamp : before.parts.metadata,
    spec: specChanged ? stamp : before.parts.spec,
    status: statusChanged ? stamp : before.parts.status,
  };
  const record = { ...before, revision, version: stamp, value, parts };
  if (policy.merge !== 'document' || !(metadataChanged || specChanged)) return record;
  const pending = withWrite(before.pending, { stamp, value }, policy);
  return pending.length <= MAX_PENDING ? { ...record, pending } : settled({ ...record, pending }, policy);
}

/**
 * What waits, with one write more; without the one before it if nothing of that is left. A document has seen all that a writer wrote
 * before what it has seen of it, so one that is left out must be of the same writer.
 */
function withWrite(pending: readonly PendingWrite[], write: PendingWrite, { layout }: KindPolicy): PendingWrite[] {
  const [before, last] = pending.slice(-2);
  if (!before || !last || writerOf(last.stamp) !== writerOf(write.stamp)) return [...pending, write];
  const states = [before, last, write].map(({ value }) => desiredOf(value)) as [unknown, unknown, unknown];
  return isOverwritten(...states, layout) ? [...pending.slice(0, -1), write] : [...pending, write];
}

/** The tombstone after a delete. */
export function afterDelete(before: ObjectRecord, revision: Revision, stamp: Stamp): ObjectRecord {
  return {
    key: before.key,
    revision,
    version: stamp,
    birth: before.birth,
    buried: before.birth,
    value: undefined,
    parts: before.parts,
    document: undefined,
    pending: [],
  };
}

/** The same record with all pending writes in its document. */
export function settled(record: ObjectRecord, policy: KindPolicy): ObjectRecord {
  if (record.pending.length === 0) return record;
  const { append } = policy.documents ?? AUTOMERGE;
  const { bytes, pending } = documentSide(record, policy);
  return { ...record, document: append(bytes, pending, policy.documentLimits), pending: [] };
}

/** What a merge takes of a record. */
export const documentSide = ({ document, pending }: ObjectRecord, { layout }: KindPolicy): DocumentSide => ({
  bytes: document,
  pending: pending.map(({ stamp, value }) => ({ stamp, shaped: toShape(desiredOf(value), layout) })),
});

/** Metadata that the system owns: not merged field by field. */
const SYSTEM_METADATA = new Set([
  'name',
  'namespace',
  'uid',
  'resourceVersion',
  'generation',
  'creationTimestamp',
  'deletionTimestamp',
  'deletionGracePeriodSeconds',
  'managedFields',
  'selfLink',
  'generateName',
]);

/** What people and controllers wish: everything but status and system metadata. */
export function desiredOf(value: KubeObject): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const [key, part] of Object.entries(value)) {
    if (key === 'status' || key === 'kind' || key === 'apiVersion') continue;
    if (key !== 'metadata') {
      out[key] = part;
      continue;
    }
    out['metadata'] = Object.fromEntries(Object.entries(value.metadata).filter(([name]) => !SYSTEM_METADATA.has(name)));
  }
  return out;
}

/** Who owns what moves with every write of any part, and merges on its own. */
const BESIDE_METADATA = new Set(['resourceVersion', 'managedFields']);

function sameMetadata(a: KubeObject, b: KubeObject): boolean {
  const one = a.metadata as Record<string, unknown>;
  const two = b.metadata as Record<string, unknown>;
  for (const key of new Set([...Object.keys(one), ...Object.keys(two)])) {
    if (!BESIDE_METADATA.has(key) && !deepEqual(one[key], two[key])) return false;
  }
  return true;
}

function sameBody(a: KubeObject, b: KubeObject): boolean {
  const one = a as unknown as Record<string, unknown>;
  const two = b as unknown as Record<string, unknown>;
  for (const key of new Set([...Object.keys(one), ...Object.keys(two)])) {
    if (key !== 'metadata' && key !== 'status' && !deepEqual(one[key], two[key])) return false;
  }
  return true;
}

/** Equality of JSON values; key order does not matter, an undefined field equals an absent one. */
export function deepEqual(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) || Array.isArray(b)) {
    if (!Array.isArray(a) || !Array.isArray(b) || a.length !== b.length) return false;
    return a.every((item, i) => deepEqual(item, b[i]));
  }
  const one = a as Record<string, unknown>;
  const two = b as Record<string, unknown>;
  for (const key in one) if (!deepEqual(one[key], two[key])) return false;
  for (const key in two) if (two[key] !== undefined && one[key] === undefined) return false;
  return true;
}

/** The record's form on disk and on the wire, in a format as {@link seal} has it. */
export function encodeRecord(record: ObjectRecord, format?: number): Uint8Array {
  const { value, pending, document, ...rest } = record;
  const data = {
    ...rest,
    ...(value ? { value: jsonTextOf(value) } : {}),
    ...(document ? { document } : {}),
    // The newest pending value is usually the value itself: not written twice.
    pending: pending.map((one) => (one.value === value ? [one.stamp] : [one.stamp, jsonTextOf(one.value)])),
  };
  return seal(data, format);
}

/** The inverse of {@link encodeRecord}; throws `UnreadableData`. */
export function decodeRecord(bytes: Uint8Array, known?: VersionRange): ObjectRecord {
  const raw = unseal(bytes, known) as Omit<ObjectRecord, 'value' | 'pending' | 'document'> & {
    value?: string;
    document?: Uint8Array;
    pending: [Stamp, string?][];
  };
  const value = raw.value === undefined ? undefined : freezeObject(JSON.parse(raw.value) as KubeObject);
  const pending = raw.pending.map(([stamp, text]) => ({
    stamp,
    value: text === undefined ? (value as KubeObject) : freezeObject(JSON.parse(text) as KubeObject),
  }));
  // A copy: what msgpack returns is a view on the whole message, which would keep all of it in memory.
  const document = raw.document ? new Uint8Array(raw.document) : undefined;
  return { ...raw, value, document, pending };
}
