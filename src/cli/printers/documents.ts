/** Objects as YAML and JSON, in the form kubectl prints: keys in order, four spaces in JSON, lists not indented in YAML. */
import { stringify } from 'yaml';

/** A copy with the keys of every mapping in order. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  return Object.fromEntries(entries.map(([key, item]) => [key, sorted(item)]));
}

/** JSON as Go's encoder writes it: keys in order; `<`, `>` and `&` escaped. */
export const goJson = (value: unknown, indent = 0): string =>
  JSON.stringify(sorted(value), null, indent).replaceAll(
    /[<>&\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );

export const jsonText = (value: unknown): string => `${goJson(value, 4)}\n`;

export const yamlText = (value: unknown): string =>
  stringify(sorted(value), { indentSeq: false, lineWidth: 0, version: '1.1', aliasDuplicateObjects: false });
