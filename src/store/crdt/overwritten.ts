/**
 * Which writes leave nothing in a document. Objects that are written often are mostly written in the same place: a write whose
 * every field the next one changed again need not be appended, for the next one's entries stand where its own would. Then ten
 * such writes cost as much as one.
 *
 * Exact: what {@link isOverwritten} says of is what appending both, or the later one only, turns into the same fields with the
 * same stamps, whatever the document holds (`field-tree.ts`), and the later one is seen in both. It may say no where that would be so too.
 */
import { sameShape, toShape, type Layout, type Shaped } from './shape.js';

/** Of three states that follow each other, laid out: whether nothing of the second write is left after the third. */
function isCovered(before: Shaped | undefined, between: Shaped | undefined, after: Shaped | undefined): boolean {
  if (before === between) return true;
  // What is removed leaves no entry; but the third write must change something, else it is not seen to have been (see `written`).
  if (after === undefined) return !isEmpty(before) && !isEmpty(between);
  if (typeof after === 'string') return after !== between && after !== before;
  const hadMap = typeof before === 'object';
  const hasMap = typeof between === 'object';
  // A map is of the write that made it: it must not be that of the second, or the third must make its own anyway.
  if (!hadMap || !hasMap) return !hadMap && !hasMap;
  if (sameShape(before, between)) return true;
  return everyKey(before, between, (key) => isCovered(own(before, key), own(between, key), own(after, key)));
}

/** Some maps are there always: then one without anything is the same as none. */
const isEmpty = (shaped: Shaped | undefined): boolean =>
  shaped === undefined || (typeof shaped === 'object' && Object.keys(shaped).length === 0);

/**
 * Of three states that follow each other: whether nothing of the second write is left after the third, so that the document comes
 * to be the same without it. The values are JSON.
 */
export function isOverwritten(before: unknown, between: unknown, after: unknown, layout: Layout): boolean {
  if (before === between) return true;
  if (layout.kind === 'map' && isMap(before) && isMap(between) && isMap(after)) {
    return everyKey(before, between, (key) =>
      isOverwritten(own(before, key), own(between, key), own(after, key), layout.fields.get(key) ?? layout.other),
    );
  }
  const shaped = (value: unknown) => (value === undefined ? undefined : toShape(value, layout));
  return isCovered(shaped(before), shaped(between), shaped(after));
}

const isMap = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const own = <T>(map: Readonly<Record<string, T>>, key: string): T | undefined =>
  Object.hasOwn(map, key) ? map[key] : undefined;

/** Whether it holds for every key of the two. */
function everyKey(one: object, two: object, holds: (key: string) => boolean): boolean {
  for (const key of Object.keys(one)) if (!holds(key)) return false;
  for (const key of Object.keys(two)) if (!Object.hasOwn(one, key) && !holds(key)) return false;
  return true;
}
