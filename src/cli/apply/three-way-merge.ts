/**
 * The patch of `kubectl apply`: what the manifest changes against the live object, and what it no longer says compared
 * with the manifest that was applied last. What others set and no manifest ever named is left alone.
 *
 * For kinds with a schema it is a strategic merge patch (lists merge by their keys); without one, a JSON merge patch in
 * which lists are whole values. Rules as documented under "Declarative Management of Kubernetes Objects".
 */
import { isDeepStrictEqual } from 'node:util';
import type { FieldNode, SchemaNode } from '../../api/schema/schema.js';

type Fields = Readonly<Record<string, unknown>>;
type Patch = Record<string, unknown>;

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** `lastApplied` is undefined for an object that was never applied. An empty patch: nothing to do. */
export function threeWayMerge(
  lastApplied: Fields | undefined,
  manifest: Fields,
  live: Fields,
  schema: SchemaNode | undefined,
): Patch {
  return mergeFields(lastApplied ?? {}, manifest, live, schema);
}

function mergeFields(last: Fields, wanted: Fields, live: Fields, node: SchemaNode | undefined): Patch {
  const patch: Patch = {};
  for (const [key, value] of Object.entries(wanted)) {
    // A null says that the manifest has no opinion, or wants the field gone.
    if (value === null) {
      if (live[key] !== undefined && live[key] !== null) patch[key] = null;
      continue;
    }
    const present = live[key];
    if (present === undefined || present === null) patch[key] = value;
    else mergeField(patch, key, { last: last[key], wanted: value, live: present }, targetOf(node, key));
  }
  for (const [key, value] of Object.entries(last)) {
    if (value === null || Object.hasOwn(wanted, key)) continue;
    if (live[key] !== undefined && live[key] !== null) patch[key] = null;
  }
  return patch;
}

interface Sides {
  readonly last: unknown;
  readonly wanted: unknown;
  readonly live: unknown;
}

interface Target {
  readonly node: SchemaNode | undefined;
  readonly field: FieldNode | undefined;
}

function targetOf(node: SchemaNode | undefined, key: string): Target {
  if (node?.kind === 'object') {
    const field = node.fields.get(key);
    return { node: field?.node, field };
  }
  return { node: node?.kind === 'map' ? node.values : undefined, field: undefined };
}

function mergeField(patch: Patch, key: string, { last, wanted, live }: Sides, { node, field }: Target): void {
  const strategies = field?.patchStrategies ?? [];
  if (isFields(wanted) && isFields(live)) {
    if (strategies.includes('replace')) {
      if (!isDeepStrictEqual(wanted, live)) patch[key] = { $patch: 'replace', ...wanted };
      return;
    }
    const below = mergeFields(isFields(last) ? last : {}, wanted, live, node);
    if (Object.keys(below).length > 0) patch[key] = retaining(below, wanted, strategies);
    return;
  }
  if (Array.isArray(wanted) && Array.isArray(live) && strategies.includes('merge')) {
    const sides = { last: Array.isArray(last) ? last : [], wanted, live };
    if (field?.patchMergeKey === undefined) mergePrimitives(patch, key, sides);
    else mergeByKey(patch, key, sides, field, field.patchMergeKey, node?.kind === 'list' ? node.items : undefined);
    return;
  }
  if (!isDeepStrictEqual(wanted, live)) patch[key] = wanted;
}

/** Unions (a volume has one source, a strategy one type): the server drops what the manifest does not name. */
const retaining = (change: Patch, wanted: Fields, strategies: readonly string[]): Patch =>
  strategies.includes('retainKeys') ? { $retainKeys: Object.keys(wanted).toSorted(), ...change } : change;

interface Lists {
  readonly last: readonly unknown[];
  readonly wanted: readonly unknown[];
  readonly live: readonly unknown[];
}

function mergePrimitives(patch: Patch, key: string, { last, wanted, live }: Lists): void {
  const added = wanted.filter((item) => !live.includes(item));
  const removed = last.filter((item) => !wanted.includes(item) && live.includes(item));
  const reordered = !sameOrder(wanted, live);
  if (added.length === 0 && removed.length === 0 && !reordered) return;
  if (removed.length > 0) patch[`$deleteFromPrimitiveList/${key}`] = removed;
  if (added.length > 0) patch[key] = added;
  patch[`$setElementOrder/${key}`] = wanted;
}

/** Items by the value of their merge key; undefined where that does not tell them apart. */
function indexed(list: readonly unknown[], mergeKey: string): Map<unknown, Fields> | undefined {
  const items = new Map<unknown, Fields>();
  for (const item of list) {
    if (!isFields(item) || item[mergeKey] === undefined || items.has(item[mergeKey])) return undefined;
    items.set(item[mergeKey], item);
  }
  return items;
}

function mergeByKey(
  patch: Patch,
  key: string,
  { last, wanted, live }: Lists,
  { patchStrategies }: FieldNode,
  mergeKey: string,
  node: SchemaNode | undefined,
): void {
  const wantedItems = indexed(wanted, mergeKey);
  const liveItems = indexed(live, mergeKey);
  if (!wantedItems || !liveItems) {
    // One port for TCP and UDP, say: the key is ambiguous and a merge would lose one. The manifest's list stands.
    if (!covers(live, wanted)) patch[key] = [...wanted, { $patch: 'replace' }];
    return;
  }
  const lastItems = indexed(last, mergeKey) ?? new Map<unknown, Fields>();
  const changes: Patch[] = [];
  for (const [id, item] of wantedItems) {
    const present = liveItems.get(id);
    if (!present) {
      changes.push(item);
      continue;
    }
    const change = mergeFields(lastItems.get(id) ?? {}, item, present, node);
    if (Object.keys(change).length > 0) changes.push({ [mergeKey]: id, ...retaining(change, item, patchStrategies) });
  }
  for (const id of lastItems.keys()) {
    if (!wantedItems.has(id) && liveItems.has(id)) changes.push({ $patch: 'delete', [mergeKey]: id });
  }
  if (changes.length === 0 && sameOrder([...wantedItems.keys()], [...liveItems.keys()])) return;
  if (changes.length > 0) patch[key] = changes;
  patch[`$setElementOrder/${key}`] = [...wantedItems.keys()].map((id) => ({ [mergeKey]: id }));
}

/** Whether what both lists have comes in the same order. */
function sameOrder(wanted: readonly unknown[], live: readonly unknown[]): boolean {
  const common = live.filter((item) => wanted.includes(item));
  return isDeepStrictEqual(
    wanted.filter((item) => common.includes(item)),
    common,
  );
}

/** Whether `live` says all that `wanted` says, item by item; defaults may have added fields. */
function covers(live: unknown, wanted: unknown): boolean {
  if (Array.isArray(wanted)) {
    return Array.isArray(live) && live.length === wanted.length && wanted.every((item, i) => covers(live[i], item));
  }
  if (!isFields(wanted)) return isDeepStrictEqual(live, wanted);
  return isFields(live) && Object.entries(wanted).every(([key, item]) => covers(live[key], item));
}
