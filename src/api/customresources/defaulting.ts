/**
 * Defaults of structural schemas, and the removal of nulls where the schema knows none. Copy on write: the input is never
 * changed, and is returned itself when nothing is missing.
 */
import type { Structural } from './structural.js';

type Record_ = Record<string, unknown>;
const isRecord = (value: unknown): value is Record_ =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The value with the defaults of everything below it; its own default is the business of who holds it. */
export function defaulted<T>(value: T, schema: Structural): T {
  return fill(value, schema) as T;
}

function fill(value: unknown, schema: Structural): unknown {
  if (typeof value !== 'object' || value === null) return value;
  return Array.isArray(value) ? fillList(value, schema) : fillRecord(value as Record_, schema);
}

function fillList(list: readonly unknown[], { items }: Structural): unknown {
  if (items === undefined) return list;
  let out: unknown[] | undefined;
  list.forEach((item, index) => {
    const next = item === null && !items.nullable && items.hasDefault ? items.raw.default : fill(item, items);
    if (next !== item) (out ??= [...list])[index] = next;
  });
  return out ?? list;
}

function fillRecord(record: Record_, schema: Structural): unknown {
  let out: Record_ | undefined;
  if (schema.hasDefaults) {
    for (const [name, child] of schema.properties) {
      if (!child.hasDefault) continue;
      const value = Object.hasOwn(record, name) ? record[name] : undefined;
      if (value === undefined || (value === null && !child.nullable)) (out ??= { ...record })[name] = child.raw.default;
    }
  }
  const source = out ?? record;
  for (const name of Object.keys(source)) {
    const child = schema.child(name);
    if (child === undefined) continue;
    const value = source[name];
    if (value === null && !child.nullable) {
      out ??= { ...record };
      delete out[name];
      continue;
    }
    const next = fill(value, child);
    if (next !== value) (out ??= { ...record })[name] = next;
  }
  return out ?? record;
}

/** The defaults of a custom resource: metadata is not the schema's. */
export function defaultedObject<T extends object>(object: T, schema: Structural): T {
  const { metadata } = object as { metadata?: unknown };
  const filled = fillRecord(object as Record_, schema) as T & { metadata?: unknown };
  if (filled === object || filled.metadata === metadata || !isRecord(metadata)) return filled;
  return { ...filled, metadata };
}
