/** Choosing among the objects that are marked as a kind's default. */
import type { ObjectMeta } from '../../api/object.js';

interface Marked {
  readonly metadata: ObjectMeta;
}

/** The newest object with one of the annotations at `true`; of several made in one second the first by name. */
export function newestDefault<T extends Marked>(objects: readonly T[], annotations: readonly string[]): T | undefined {
  let found: T | undefined;
  for (const object of objects) {
    if (!annotations.some((name) => object.metadata.annotations?.[name] === 'true')) continue;
    if (found === undefined || isBefore(object.metadata, found.metadata)) found = object;
  }
  return found;
}

function isBefore(a: ObjectMeta, b: ObjectMeta): boolean {
  const [madeA = '', madeB = ''] = [a.creationTimestamp, b.creationTimestamp];
  return madeA === madeB ? (a.name ?? '') < (b.name ?? '') : madeA > madeB;
}
