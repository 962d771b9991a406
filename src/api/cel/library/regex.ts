/** Regular expressions in linear time (RE2's syntax), with their cost paid before they run. */
import type { RE2JS } from 're2js';
import { compilePattern as compiled } from '../../patterns.js';
import type { Evaluation } from '../evaluation.js';
import type { FunctionTable } from '../functions.js';
import { CelError, CelList } from '../values.js';

/** Characters of one pattern at most: compiling takes time and memory in proportion. */
const PATTERN_LIMIT = 4096;

/** Throws {@link CelError} for a pattern that RE2 does not know. */
export function compilePattern(pattern: string): RE2JS {
  if (pattern.length > PATTERN_LIMIT) throw new CelError(`error parsing regexp: expression too large`);
  try {
    return compiled(pattern);
  } catch (error) {
    throw new CelError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

const charge = (text: string, pattern: string, evaluation: Evaluation) =>
  evaluation.spend(Math.ceil((text.length + 1) * 0.1) * Math.ceil(pattern.length * 0.25));

/** Whether the pattern is found anywhere in the text. */
export function matchesPattern(text: string, pattern: string, evaluation: Evaluation): boolean {
  charge(text, pattern, evaluation);
  return compilePattern(pattern).matcher(text).find();
}

function findAll(text: string, pattern: string, limit: number, evaluation: Evaluation): CelList {
  charge(text, pattern, evaluation);
  const matcher = compilePattern(pattern).matcher(text);
  const found: string[] = [];
  while ((limit < 0 || found.length < limit) && matcher.find()) found.push(matcher.group() ?? '');
  return new CelList(found);
}

export const regexLibrary: FunctionTable = {
  'string.find(string): string': ([text, pattern], evaluation) =>
    findAll(text as string, pattern as string, 1, evaluation).get(0) ?? '',
  'string.findAll(string): list<string>': ([text, pattern], evaluation) =>
    findAll(text as string, pattern as string, -1, evaluation),
  'string.findAll(string, int): list<string>': ([text, pattern, limit], evaluation) =>
    findAll(text as string, pattern as string, Number(limit), evaluation),
};
