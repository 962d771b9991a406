/**
 * Freezes objects on their way into the store, and lets objects share equal sets of owned fields: the pods of one workload have the
 * same FieldsV1 to the letter, which takes several times the memory of its text (6 KB a pod without sharing).
 */
import type { KubeObject } from '../api/object.js';
import type { FieldsV1, ManagedFieldsEntry } from '../api/types/meta-v1.js';

/** Freezes a JSON value deeply and returns it; already frozen branches are not entered. */
export function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const key in value) deepFreeze(value[key]);
  }
  return value;
}

/** Sets kept to be shared, the least recently used go first; about 2 KB of text each. */
export const MAX_SHARED_SETS = 1024;
/** Larger sets (characters of JSON) are hardly ever the same as others. */
const MAX_SHARED_CHARS = 16_384;

/** By text. A pure cache: without it everything is the same, but larger. */
const shared = new Map<string, FieldsV1>();

function sharedSet(set: FieldsV1): FieldsV1 {
  const text = JSON.stringify(set);
  if (text.length > MAX_SHARED_CHARS) return set;
  const known = shared.get(text);
  if (known !== undefined) shared.delete(text);
  const kept = known ?? deepFreeze(set);
  shared.set(text, kept);
  if (shared.size > MAX_SHARED_SETS) {
    for (const oldest of shared.keys()) {
      shared.delete(oldest);
      break;
    }
  }
  return kept;
}

function withSharedSet(entry: ManagedFieldsEntry): ManagedFieldsEntry {
  const { fieldsV1 } = entry;
  // Frozen sets went through here before.
  if (fieldsV1 === undefined || Object.isFrozen(fieldsV1)) return entry;
  const kept = sharedSet(fieldsV1);
  return kept === fieldsV1 ? entry : { ...entry, fieldsV1: kept };
}

/** Freezes an object that belongs to the caller, deeply, and returns it. */
export function freezeObject(object: KubeObject): KubeObject {
  const { metadata } = object;
  const { managedFields } = metadata;
  if (managedFields !== undefined && !Object.isFrozen(managedFields) && !Object.isFrozen(metadata)) {
    metadata.managedFields = managedFields.map(withSharedSet);
  }
  return deepFreeze(object);
}
