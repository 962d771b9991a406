/**
 * The JSON text of frozen objects that were written a moment ago: it is needed for the log, then for the answer, then for the
 * disk, and making it is the most expensive part of a small write. A pure cache: without it everything is the same, but slower.
 */

/** Texts kept, about what is on its way to the disk at any moment; the oldest goes first. */
export const MAX_TEXTS = 2048;
/** Longer ones (characters) are not kept, so that all of them together stay small. */
const MAX_TEXT_CHARS = 16_384;

const texts = new WeakMap<object, string>();
/** The objects above in the order of writing, as a ring: a Map that is used as a queue gets slow. */
const ring: (object | undefined)[] = Array.from({ length: MAX_TEXTS });
let next = 0;

/** `text` is the JSON of `object`, which is frozen. */
export function rememberText(object: object, text: string): void {
  if (text.length > MAX_TEXT_CHARS || texts.has(object)) return;
  const oldest = ring[next];
  if (oldest !== undefined) texts.delete(oldest);
  ring[next] = object;
  next = (next + 1) % MAX_TEXTS;
  texts.set(object, text);
}

/** The JSON of an object. */
export const jsonTextOf = (object: object): string => texts.get(object) ?? JSON.stringify(object);
