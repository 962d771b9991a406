/** JSON Merge Patch (RFC 7396). */
import { badRequest } from '../errors.js';

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** RFC 7396 §2 for any two values. Shares unchanged parts with both; changes neither. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const result: Record<string, unknown> = isObject(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (key === '__proto__') continue;
    if (value === null) delete result[key];
    else result[key] = mergePatch(Object.hasOwn(result, key) ? result[key] : undefined, value);
  }
  return result;
}

/** Applies a merge patch to an object. The result shares unchanged parts with `current`. Throws a 400 for a non-object. */
export function applyMergePatch<T extends object>(current: T, patch: unknown): T {
  if (!isObject(patch)) throw badRequest('error decoding patch: json: cannot unmarshal non-object into Go value');
  return mergePatch(current, patch) as T;
}
