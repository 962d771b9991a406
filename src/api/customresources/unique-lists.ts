/** Lists of type `set` and `map`: no item, no key, twice. */
import type { FieldError } from '../errors.js';
import { goValue } from './go-values.js';
import { joined } from './pruning.js';
import type { Structural } from './structural.js';
import { ABSENT, keyOfItem, oldField, oldItems, unchanged } from './value-validation.js';

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** One error for each repetition. Unchanged parts are not judged again. */
export function validateUniqueLists(value: unknown, schema: Structural, old: unknown = ABSENT): FieldError[] {
  const errors: FieldError[] = [];
  walk(errors, value, schema, '', old);
  return errors;
}

function walk(errors: FieldError[], value: unknown, schema: Structural, path: string, old: unknown): void {
  if (!schema.hasUniqueLists || typeof value !== 'object' || value === null || unchanged(value, old)) return;
  if (Array.isArray(value)) {
    if (schema.listType !== 'atomic') repetitions(errors, value, schema, path);
    const { items } = schema;
    if (items === undefined || !items.hasUniqueLists) return;
    const before = oldItems(schema, old);
    value.forEach((item, index) => walk(errors, item, items, `${path}[${index}]`, before(item, index)));
    return;
  }
  for (const [name, item] of Object.entries(value)) {
    const child = schema.child(name);
    if (child !== undefined) walk(errors, item, child, joined(path, name), oldField(old, name));
  }
}

function repetitions(errors: FieldError[], list: readonly unknown[], schema: Structural, path: string): void {
  const seen = new Set<string>();
  list.forEach((item, index) => {
    const key = schema.listType === 'map' ? keyOfItem(item, schema) : JSON.stringify(item);
    if (seen.has(key)) {
      const shown = schema.listType === 'map' && isRecord(item) ? keysOf(item, schema) : item;
      const field = `${path}[${index}]`;
      errors.push({ type: 'FieldValueDuplicate', field, message: `Duplicate value: ${goValue(shown)}` });
    }
    seen.add(key);
  });
}

const keysOf = (item: Record<string, unknown>, schema: Structural) =>
  Object.fromEntries(
    schema.listMapKeys
      .map((key) => [key, item[key] ?? schema.items?.properties.get(key)?.raw.default] as const)
      .filter(([, value]) => value !== undefined),
  );
