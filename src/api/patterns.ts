/** RE2 patterns, linear in the length of the text whatever the pattern. */
import { RE2JS } from 're2js';

/** Compiled patterns that are kept; the same few come again and again. */
const KEPT = 2000;
const compiled = new Map<string, RE2JS>();

/** Throws for a pattern that is not RE2's. */
export function compilePattern(pattern: string): RE2JS {
  let known = compiled.get(pattern);
  if (known === undefined) {
    known = RE2JS.compile(pattern);
    if (compiled.size >= KEPT) compiled.delete(compiled.keys().next().value ?? '');
    compiled.set(pattern, known);
  }
  return known;
}

export const matchesPattern = (pattern: string, text: string) => compilePattern(pattern).matcher(text).find();
