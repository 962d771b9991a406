/**
 * Pruning: what the schema does not name is dropped and reported. The apiVersion, kind and metadata of objects (the custom
 * resource itself and those embedded in it) always stay. Copy on write: the input is never changed, and is returned itself when
 * nothing is dropped.
 */
import type { Structural } from './structural.js';

type Dropped = (path: string) => void;

const ENVELOPE = new Set(['apiVersion', 'kind', 'metadata']);

export const joined = (path: string, name: string) => (path === '' ? name : `${path}.${name}`);

/** `dropped` is told the path of each field that goes, e.g. `spec.list[0].x`. */
export function prune<T>(value: T, schema: Structural, dropped: Dropped = () => undefined): T {
  return pruned(value, schema, '', true, schema.preserveUnknown, dropped) as T;
}

function pruned(
  value: unknown,
  schema: Structural | undefined,
  path: string,
  root: boolean,
  keep: boolean,
  dropped: Dropped,
): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return prunedList(value, schema, path, keep, dropped);
  const record = value as Record<string, unknown>;
  let out: Record<string, unknown> | undefined;
  for (const name of Object.keys(record)) {
    if ((root || schema?.embedded === true) && ENVELOPE.has(name)) continue;
    const at = joined(path, name);
    const known = schema?.properties.get(name);
    const child = known ?? schema?.additional;
    if (child === undefined && schema?.allowsAdditional !== true && !keep) {
      out ??= { ...record };
      delete out[name];
      dropped(at);
      continue;
    }
    const item = record[name];
    // What is kept without a schema is kept whole.
    if (child === undefined && keep) continue;
    const next = pruned(item, child, at, false, child?.preserveUnknown === true, dropped);
    if (next !== item) (out ??= { ...record })[name] = next;
  }
  return out ?? value;
}

function prunedList(
  list: readonly unknown[],
  schema: Structural | undefined,
  path: string,
  keep: boolean,
  dropped: Dropped,
): unknown {
  const items = schema?.items;
  if (items === undefined && keep) return list;
  let out: unknown[] | undefined;
  list.forEach((item, index) => {
    const next = pruned(item, items, `${path}[${index}]`, false, items?.preserveUnknown === true, dropped);
    if (next !== item) (out ??= [...list])[index] = next;
  });
  return out ?? list;
}
