/**
 * What a merge overrode, in words that outlive it: which field, the value that stands and those that do not, with who wrote
 * each of them, when, and on which side. Pure.
 */
import type { FieldSet } from '../../api/apply/field-set.js';
import type { KubeObject } from '../../api/object.js';
import type { ManagedFieldsEntry } from '../../api/types/meta-v1.js';
import { fieldChanges, pathText, stepText } from '../object-change.js';
import { desiredOf, type ObjectRecord } from '../record.js';
import { NO_STAMP, stampMs, type Stamp } from '../stamp.js';
import type { FieldConflict, FieldValue, Side } from './field-tree.js';
import { fromShape, unescaped, type Layout } from './shape.js';

export type { Side };

export interface ConflictValue {
  /** Absent where the field, or the object, was removed. */
  readonly value?: unknown;
  /** Wall-clock time of the write in milliseconds; absent where a removal left none. */
  readonly atMs?: number;
  /** The field manager; absent where no owner is known. */
  readonly by?: string;
  /** `both`: written before the split. */
  readonly side: Side;
}

export interface Conflict {
  /** `spec.containers[name=app].image`; empty for the object as a whole. */
  readonly path: string;
  readonly kept: ConflictValue;
  readonly dropped: readonly ConflictValue[];
}

/** The two versions that a merge is given, and until when they had been one (`NO_STAMP`: nobody knows). */
export interface Sides {
  readonly ours: ObjectRecord;
  readonly theirs: ObjectRecord;
  readonly since: Stamp;
}

const sideOf = ({ ours, theirs }: Sides, side: Side): KubeObject | undefined =>
  side === 'theirs' ? theirs.value : ours.value;

/** Of a kind that merges field by field. */
export function conflictOfField(conflict: FieldConflict, root: Layout, sides: Sides): Conflict {
  const { text, steps, layout } = locate(conflict.path, root);
  const shown = ({ shaped, stamp, side }: FieldValue): ConflictValue => ({
    ...(shaped === undefined ? {} : { value: fromShape(shaped, layout) }),
    ...(stamp === undefined || stamp === NO_STAMP ? {} : { atMs: stampMs(stamp) }),
    ...(shaped === undefined ? {} : ownerOf(sideOf(sides, side), steps)),
    side,
  });
  return { path: text, kept: shown(conflict.kept), dropped: conflict.dropped.map(shown) };
}

/** Follows a path through the layout: as text, as elements of an owner's field set, and what is laid out there. */
function locate(path: readonly string[], root: Layout) {
  let layout = root;
  let text = '';
  const steps: string[] = [];
  for (const part of path) {
    if (layout.kind === 'list') {
      const values = JSON.parse(part) as unknown[];
      const keys = layout.keys.map((key, i) => [key, values[i]] as const).filter(([, value]) => value !== null);
      const sorted = keys.toSorted(([a], [b]) => (a < b ? -1 : 1));
      text += `[${keys.map(([key, value]) => `${key}=${String(value)}`).join(',')}]`;
      steps.push(`k:${JSON.stringify(Object.fromEntries(sorted))}`);
      layout = layout.item;
    } else {
      const key = unescaped(part);
      text += stepText(key, text === '');
      steps.push(`f:${key}`);
      layout = layout.kind === 'map' ? (layout.fields.get(key) ?? layout.other) : { kind: 'leaf' };
    }
  }
  return { text, steps, layout };
}

/** The manager that last wrote what it owns there. */
function ownerOf(object: KubeObject | undefined, steps: readonly string[]): { readonly by?: string } {
  const owners = (object?.metadata.managedFields ?? []).filter(({ fieldsV1 }) => owns(fieldsV1 as FieldSet, steps));
  const manager = newestOf(owners)?.manager;
  return manager === undefined ? {} : { by: manager };
}

const newestOf = (entries: readonly ManagedFieldsEntry[]) =>
  entries.toSorted((a, b) => ((a.time ?? '') < (b.time ?? '') ? 1 : -1))[0];

function owns(set: FieldSet | undefined, steps: readonly string[]): boolean {
  let node = set;
  for (const step of steps) {
    if (node === undefined) return false;
    // A leaf is owned with all that is in it.
    if (node !== set && Object.keys(node).length === 0) return true;
    node = node[step];
  }
  return node !== undefined;
}

const newestStamp = ({ parts }: ObjectRecord): Stamp =>
  [parts.metadata, parts.spec, parts.status].reduce((a, b) => (a > b ? a : b));

function whole(sides: Sides, side: 'ours' | 'theirs'): ConflictValue {
  const record = sides[side];
  if (!record.value) return { atMs: stampMs(record.version), side };
  return { value: record.value, atMs: stampMs(newestStamp(record)), ...ownerOf(record.value, []), side };
}

/** One side's object as a whole stands, and the other's does not: one of them deleted it. */
export function conflictOfObjects(sides: Sides, kept: 'ours' | 'theirs'): Conflict {
  return { path: '', kept: whole(sides, kept), dropped: [whole(sides, kept === 'ours' ? 'theirs' : 'ours')] };
}

type Part = 'metadata' | 'spec' | 'status';

function partOf(record: ObjectRecord, part: Part): unknown {
  if (!record.value) return {};
  if (part === 'status') return { status: record.value.status };
  const { metadata, ...rest } = desiredOf(record.value);
  return part === 'metadata' ? { metadata } : rest;
}

/**
 * What one side did to an object that lives on a node of the other yields, whenever it was written: it was a guess. What people
 * or programs wrote there is told nevertheless.
 */
export function conflictsAtHome(
  { ours, theirs, since }: Sides,
  withoutGuesses: (value: KubeObject) => KubeObject = (value) => value,
): Conflict[] {
  if (!theirs.value) return theirs.version > ours.version ? [conflictOfObjects({ ours, theirs, since }, 'ours')] : [];
  const cleared = (record: ObjectRecord) => ({ ...record, value: record.value && withoutGuesses(record.value) });
  return conflictsOfParts({ ours: cleared(ours), theirs: cleared(theirs), since }, ['metadata', 'spec'], 'ours');
}

/**
 * Of parts that are one value each, of which the later stands (or, as told, one side's in any case): what of the other differs,
 * if that was written since the two had been one. A field that only the side that stands has changed counts too: nobody
 * remembers what there was before.
 */
export function conflictsOfParts(sides: Sides, parts: readonly Part[], kept?: 'ours' | 'theirs'): Conflict[] {
  const { ours, theirs, since } = sides;
  const isAfter = (stamp: Stamp) => ours.birth !== theirs.birth || (since !== NO_STAMP && stamp > since);
  return parts.flatMap((part) => {
    const [mine, other] = [ours.parts[part], theirs.parts[part]];
    const stands = kept ?? (mine >= other ? 'ours' : 'theirs');
    const isOverridden =
      mine !== other && (kept ? isAfter(stands === 'ours' ? other : mine) : isAfter(mine) && isAfter(other));
    if (!isOverridden) return [];
    const yields = stands === 'ours' ? 'theirs' : 'ours';
    return fieldChanges(partOf(sides[yields], part), partOf(sides[stands], part)).map((change): Conflict => {
      const steps = change.path.flatMap((step) => (typeof step === 'string' ? [`f:${step}`] : []));
      const shown = (side: 'ours' | 'theirs', value: unknown): ConflictValue => ({
        ...(value === undefined ? {} : { value, ...ownerOf(sides[side].value, steps) }),
        atMs: stampMs(sides[side].parts[part]),
        side,
      });
      return { path: pathText(change.path), kept: shown(stands, change.new), dropped: [shown(yields, change.old)] };
    });
  });
}
