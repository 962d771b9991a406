/** Path elements of a {@link FieldSet}: made from values, read from untrusted FieldsV1, shown in error texts. */
import { EMPTY_SET, nodeOf, type FieldSet } from './field-set.js';

export const fieldElement = (name: string): string => `f:${name}`;
export const valueElement = (value: unknown): string => `v:${JSON.stringify(value)}`;

/** What comes before each value in the element of an associative list's item. `keys` must be sorted. */
export const keyPrefixes = (keys: readonly string[]): readonly string[] =>
  keys.map((key, i) => `${i === 0 ? 'k:{' : ','}${JSON.stringify(key)}:`);

const MAX_DEPTH = 200;

/** FieldsV1 that is not what it should be; the message is upstream's. */
export class FieldsV1Error extends Error {}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The canonical form of an element; undefined for kinds that later versions may bring, which are passed over. */
function canonicalElement(text: string): string | undefined {
  if (text.length < 2 || text[1] !== ':') throw new FieldsV1Error(`missing colon: ${JSON.stringify(text)}`);
  const rest = text.slice(2);
  switch (text[0]) {
    case 'f':
      return text;
    case 'i':
      if (!/^-?\d+$/.test(rest))
        throw new FieldsV1Error(`strconv.Atoi: parsing ${JSON.stringify(rest)}: invalid syntax`);
      return `i:${Number(rest)}`;
    case 'v':
      return valueElement(parsed(rest));
    case 'k': {
      const key = parsed(rest);
      if (!isRecord(key)) throw new FieldsV1Error(`expected a JSON object as key, got ${rest}`);
      const names = Object.keys(key).toSorted();
      return `${keyPrefixes(names)
        .map((prefix, i) => `${prefix}${JSON.stringify(key[names[i] ?? ''])}`)
        .join('')}${names.length === 0 ? 'k:{' : ''}}`;
    }
    case undefined:
    default:
      return undefined;
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new FieldsV1Error(`cannot parse ${JSON.stringify(text)} as JSON`);
  }
}

function readNode(value: unknown, root: boolean, depth: number): FieldSet | undefined {
  if (!isRecord(value)) throw new FieldsV1Error('expected a JSON object');
  if (depth > MAX_DEPTH) throw new FieldsV1Error('too deep');
  const children: Record<string, FieldSet> = {};
  const names = Object.keys(value);
  for (const name of names) {
    if (name === '.') continue;
    const element = canonicalElement(name);
    if (element === undefined) continue;
    const child = readNode(value[name], false, depth + 1);
    if (child !== undefined) children[element] = child;
  }
  return nodeOf(!root && (names.length === 0 || names.includes('.')), children);
}

/** The canonical set of FieldsV1 that a client sent. Throws {@link FieldsV1Error}. */
export const parseFieldsV1 = (value: unknown): FieldSet => readNode(value, true, 0) ?? EMPTY_SET;

/** A string as Go's `%q` and `strconv.Quote` print it, near enough for names and keys. */
const shown = (value: unknown) => JSON.stringify(value);

/** `.spec`, `[name="x"]`, `[="x"]`, `[1]`. */
export function elementText(element: string): string {
  const rest = element.slice(2);
  switch (element[0]) {
    case 'k': {
      const key = JSON.parse(rest) as Record<string, unknown>;
      return `[${Object.keys(key)
        .map((name) => `${name}=${shown(key[name])}`)
        .join(',')}]`;
    }
    case 'v':
      return `[=${rest}]`;
    case 'i':
      return `[${rest}]`;
    case undefined:
    default:
      return `.${rest}`;
  }
}

/** `.spec.containers[name="web"].image` */
export const pathText = (path: readonly string[]): string => path.map(elementText).join('');
