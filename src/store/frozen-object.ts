/** Freezes objects on their way into the store: readers share them. */
import type { KubeObject } from '../api/object.js';

/** Freezes a JSON value deeply and returns it; already frozen branches are not entered. */
export function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const key in value) deepFreeze(value[key]);
  }
  return value;
}

/** Freezes an object that belongs to the caller, deeply, and returns it. */
export const freezeObject = (object: KubeObject): KubeObject => deepFreeze(object);
