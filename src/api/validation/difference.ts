/** What differs between two versions of a spec, for the texts of refused updates. */
import { semanticEqual } from '../strategy/equality.js';

/** The fields that differ, one a line: the old value, then the new one. */
export function lineDifference(now: object, before: object): string {
  const left = now as Record<string, unknown>;
  const right = before as Record<string, unknown>;
  const keys = [...new Set([...Object.keys(left), ...Object.keys(right)])].toSorted();
  return keys
    .filter((key) => !semanticEqual(left[key], right[key]))
    .map((key) => `-\t${key}: ${JSON.stringify(right[key])}\n+\t${key}: ${JSON.stringify(left[key])}\n`)
    .join('');
}
