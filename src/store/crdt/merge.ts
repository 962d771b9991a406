/**
 * Merges two records of one key that grew apart during a split. Pure, and the same whichever side calls it, except for
 * the stamp of the result.
 *
 * | ours / theirs | result |
 * |---|---|
 * | one is contained in the other | the containing one |
 * | two tombstones | the later |
 * | tombstone, live object of that incarnation | the tombstone: deletion wins |
 * | tombstone, live object born later or not known to the deleter | the live object |
 * | live, live, one side deleted the other's incarnation | the newer incarnation |
 * | live, live, created separately | merged; the identity (uid, creation time) of the earlier |
 * | live, live, one incarnation | metadata and spec by document (or later stamp), status by later stamp, owners united |
 */
import type { KubeObject, ObjectMeta } from '../../api/object.js';
import type { KindPolicy } from '../kind-policy.js';
import { deepEqual, desiredOf, documentSide, type ObjectRecord } from '../record.js';
import { laterStamp, NO_STAMP, type Stamp } from '../stamp.js';
import { conflictOfField, conflictOfObjects, conflictsOfParts, type Conflict, type Sides } from './conflicts.js';
import { AUTOMERGE, knownWhole } from './document.js';
import { mergedOwners } from './managed-fields.js';
import { fromShape } from './shape.js';

export interface MergeResult {
  /** `ours` itself when nothing changes. Otherwise without final revision: the sequencer sets it. */
  readonly record: ObjectRecord;
  /** What of either side does not stand, although it was written during the split. */
  readonly conflicts: readonly Conflict[];
}

const keep = (record: ObjectRecord): MergeResult => ({ record, conflicts: [] });

/**
 * `version` becomes the version of a record that is neither `ours` nor `theirs`. `since`: until when the two had been one, as far
 * as anybody knows; it decides nothing but whether a part that is one value was written by both, and so is worth a report.
 */
export function mergeRecords(
  ours: ObjectRecord | undefined,
  theirs: ObjectRecord,
  policy: KindPolicy,
  version: Stamp,
  since: Stamp = NO_STAMP,
): MergeResult {
  if (!ours) return keep(theirs);
  if (ours.version === theirs.version) return keep(ours);
  if (!ours.value && !theirs.value) return keep(laterOf(ours, theirs));
  const sides = { ours, theirs, since };
  if (!ours.value || !theirs.value) return mergeWithTombstone(sides, version);
  if (ours.birth !== theirs.birth) {
    if (ours.birth <= theirs.buried) return replaced(sides, 'theirs');
    if (theirs.birth <= ours.buried) return replaced(sides, 'ours');
  }
  return mergeLive(sides, policy, version);
}

/** The other side deleted this one's object and has a newer of the name. */
function replaced(sides: Sides, kept: 'ours' | 'theirs'): MergeResult {
  const gone = kept === 'ours' ? sides.theirs : sides.ours;
  const isNews = sides.since !== NO_STAMP && gone.version > sides.since;
  return { record: sides[kept], conflicts: isNews ? [conflictOfObjects(sides, kept)] : [] };
}

const laterOf = (a: ObjectRecord, b: ObjectRecord) => (a.version >= b.version ? a : b);

function mergeWithTombstone(sides: Sides, version: Stamp): MergeResult {
  const { ours, theirs } = sides;
  const live = ours.value ? ours : theirs;
  const dead = ours.value ? theirs : ours;
  if (live.birth <= dead.buried) {
    const conflicts = knowsMore(live, dead) ? [conflictOfObjects(sides, dead === ours ? 'ours' : 'theirs')] : [];
    return { record: dead, conflicts };
  }
  // Another version, since it knows of more deletions.
  return keep(live.buried >= dead.buried ? live : { ...live, version, buried: dead.buried });
}

/** Whether the live side has a write that the deleter had not seen. A tombstone carries the stamps of what it deleted. */
const knowsMore = ({ parts: live }: ObjectRecord, { parts: deleted }: ObjectRecord) =>
  live.metadata > deleted.metadata || live.spec > deleted.spec || live.status > deleted.status;

function mergeLive(sides: Sides, policy: KindPolicy, version: Stamp): MergeResult {
  const { ours, theirs } = sides;
  const mine = ours.value as KubeObject;
  const other = theirs.value as KubeObject;
  const elder = ours.birth <= theirs.birth ? mine : other;
  const status = ours.parts.status >= theirs.parts.status ? mine.status : other.status;
  const parts = {
    metadata: laterStamp(ours.parts.metadata, theirs.parts.metadata),
    spec: laterStamp(ours.parts.spec, theirs.parts.spec),
    status: laterStamp(ours.parts.status, theirs.parts.status),
  };
  const common = {
    ...ours,
    version,
    birth: ours.birth <= theirs.birth ? ours.birth : theirs.birth,
    buried: laterStamp(ours.buried, theirs.buried),
    parts,
  };
  if (policy.merge === 'register') {
    const base = ours.parts.metadata >= theirs.parts.metadata ? mine : other;
    const body = ours.parts.spec >= theirs.parts.spec ? mine : other;
    const value = assemble(
      {
        ...body,
        metadata: { ...base.metadata, ...deletionOf(mine, other), ...mergedOwners(mine.metadata, other.metadata) },
      },
      status,
      identityOf(elder),
    );
    const conflicts = conflictsOfParts(sides, ['metadata', 'spec', 'status']);
    return { record: preferred([ours, theirs], { ...common, value, document: undefined, pending: [] }), conflicts };
  }
  const { desired, document, pending, whole, conflicts: fieldConflicts } = mergeDesired(sides, policy);
  const specSame = deepEqual({ ...desired, metadata: 0 }, { ...desiredOf(mine), metadata: 0 });
  const generation = Math.max(mine.metadata.generation ?? 0, other.metadata.generation ?? 0) + (specSame ? 0 : 1);
  const value = assemble(
    {
      ...(mine.apiVersion ? { apiVersion: mine.apiVersion } : {}),
      ...(mine.kind ? { kind: mine.kind } : {}),
      ...desired,
      metadata: {
        ...(desired['metadata'] as ObjectMeta),
        ...(mine.metadata.generation === undefined ? {} : { generation }),
        ...deletionOf(mine, other),
        ...mergedOwners(mine.metadata, other.metadata),
      },
    },
    status,
    identityOf(elder),
  );
  const conflicts = [...fieldConflicts, ...conflictsOfParts(sides, ['status'])];
  return { record: preferred(whole, { ...common, value, document, pending }), conflicts };
}

interface MergedDesire extends Pick<ObjectRecord, 'document' | 'pending'> {
  readonly desired: Record<string, unknown>;
  /** Who had seen all that the other wrote. */
  readonly whole: readonly ObjectRecord[];
  readonly conflicts: readonly Conflict[];
}

/** What both sides wish. Where only one changed it, that one's document is taken as it is. */
function mergeDesired(sides: Sides, policy: KindPolicy): MergedDesire {
  const { ours, theirs } = sides;
  const known = knownWhole(
    { bytes: ours.document, pending: ours.pending },
    { bytes: theirs.document, pending: theirs.pending },
  );
  const merged = known
    ? { whole: known }
    : (policy.documents ?? AUTOMERGE).merge(documentSide(ours, policy), documentSide(theirs, policy));
  if (merged.whole) {
    const whole = merged.whole === 'both' ? [ours, theirs] : [sides[merged.whole]];
    const { value, document, pending } = whole[0] as ObjectRecord;
    return { desired: desiredOf(value as KubeObject), document, pending, whole, conflicts: [] };
  }
  return {
    desired: fromShape(merged.shaped, policy.layout) as Record<string, unknown>,
    document: merged.bytes,
    pending: [],
    whole: [],
    conflicts: merged.conflicts.map((conflict) => conflictOfField(conflict, policy.layout, sides)),
  };
}

/**
 * Prefers one of the records as it is when it holds the whole result, so that no needless write happens. `sides` are those
 * whose documents hold all of the other's.
 */
function preferred(sides: readonly ObjectRecord[], record: ObjectRecord): ObjectRecord {
  for (const side of sides) {
    const contains =
      side.birth === record.birth &&
      side.buried === record.buried &&
      side.parts.metadata >= record.parts.metadata &&
      side.parts.spec >= record.parts.spec &&
      side.parts.status >= record.parts.status;
    if (contains && sameButRevision(side.value as KubeObject, record.value as KubeObject)) return side;
  }
  return record;
}

function sameButRevision(a: KubeObject, b: KubeObject): boolean {
  const bare = (object: KubeObject) => ({
    ...object,
    metadata: { ...object.metadata, resourceVersion: '', generation: 0 },
  });
  return deepEqual(bare(a), bare(b));
}

function identityOf(elder: KubeObject): Partial<ObjectMeta> {
  const { name, namespace, uid, creationTimestamp, generateName } = elder.metadata;
  return {
    ...(name === undefined ? {} : { name }),
    ...(namespace === undefined ? {} : { namespace }),
    ...(uid === undefined ? {} : { uid }),
    ...(creationTimestamp === undefined ? {} : { creationTimestamp }),
    ...(generateName === undefined ? {} : { generateName }),
  };
}

/** A deletion that either side began goes on. */
function deletionOf(a: KubeObject, b: KubeObject): Partial<ObjectMeta> {
  const deleting = a.metadata.deletionTimestamp ? a : b;
  const { deletionTimestamp, deletionGracePeriodSeconds } = deleting.metadata;
  return {
    ...(deletionTimestamp === undefined ? {} : { deletionTimestamp }),
    ...(deletionGracePeriodSeconds === undefined ? {} : { deletionGracePeriodSeconds }),
  };
}

function assemble(object: KubeObject, status: unknown, identity: Partial<ObjectMeta>): KubeObject {
  const { status: _, ...rest } = object;
  return { ...rest, metadata: { ...object.metadata, ...identity }, ...(status === undefined ? {} : { status }) };
}
