/** Objects as YAML and JSON, in the form kubectl prints: keys in order, four spaces in JSON, lists not indented in YAML. */
import { stringify } from 'yaml';

/** A copy with the keys of every mapping in order. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  return Object.fromEntries(entries.map(([key, item]) => [key, sorted(item)]));
}

export const jsonText = (value: unknown): string => `${JSON.stringify(sorted(value), null, 4)}\n`;

export const yamlText = (value: unknown): string =>
  stringify(sorted(value), { indentSeq: false, lineWidth: 0, version: '1.1', aliasDuplicateObjects: false });
