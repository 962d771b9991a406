/**
 * Strategic merge patch: lists merge by the keys that the schema declares, and directives say what merging cannot:
 * `$patch: replace|delete|merge`, `$retainKeys`, `$setElementOrder/<field>`, `$deleteFromPrimitiveList/<field>`.
 * Rules and order of list items follow apimachinery `strategicpatch`.
 */
import { badRequest } from '../errors.js';
import type { FieldNode, SchemaNode } from '../schema/schema.js';

const DIRECTIVE = '$patch';
const RETAIN_KEYS = '$retainKeys';
const ELEMENT_ORDER = '$setElementOrder/';
const DELETE_PRIMITIVES = '$deleteFromPrimitiveList/';
const MAX_DEPTH = 200;

type Fields = Record<string, unknown>;

const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const isDirective = (key: string) =>
  key === DIRECTIVE || key === RETAIN_KEYS || key.startsWith(ELEMENT_ORDER) || key.startsWith(DELETE_PRIMITIVES);

/** The schema of one field of a struct or map; undefined where the schema says nothing. */
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

/** A value that is new to the object: without nulls and directives. */
function fresh(value: unknown, depth = 0): unknown {
  if (depth > MAX_DEPTH) throw badRequest('the patch is nested too deeply');
  if (Array.isArray(value)) {
    return value
      .filter((item) => !(isObject(item) && (item[DIRECTIVE] === 'delete' || onlyReplaces(item))))
      .map((item) => fresh(item, depth + 1));
  }
  if (!isObject(value)) return value;
  const out: Fields = {};
  for (const [key, item] of Object.entries(value)) {
    if (item === null || isDirective(key) || key === '__proto__') continue;
    out[key] = fresh(item, depth + 1);
  }
  return out;
}

/** `{$patch: replace}` as an item of a list. */
const onlyReplaces = (item: Fields) => item[DIRECTIVE] === 'replace' && Object.keys(item).length === 1;

const badDirective = (value: unknown, where: unknown) =>
  badRequest(`unknown patch type found in map: ${JSON.stringify(value)} in ${JSON.stringify(where)}`);

function mergeFields(original: Fields, patch: Fields, node: SchemaNode | undefined, depth: number): Fields {
  if (depth > MAX_DEPTH) throw badRequest('the patch is nested too deeply');
  if (Object.hasOwn(patch, DIRECTIVE)) {
    switch (patch[DIRECTIVE]) {
      case 'replace':
        return fresh(patch) as Fields;
      case 'delete':
        return {};
      case 'merge':
        break;
      default:
        throw badDirective(patch[DIRECTIVE], patch);
    }
  }
  const result: Fields = { ...original };
  retainKeys(result, patch);
  for (const [key, list] of Object.entries(patch)) {
    if (key.startsWith(DELETE_PRIMITIVES)) deletePrimitives(result, key.slice(DELETE_PRIMITIVES.length), list);
  }
  for (const [key, value] of Object.entries(patch)) {
    if (isDirective(key) || key === '__proto__') continue;
    if (value === null) delete result[key];
    else if (!Object.hasOwn(result, key)) result[key] = fresh(value);
    else result[key] = mergeValue(result[key], value, targetOf(node, key), depth + 1);
  }
  for (const [key, order] of Object.entries(patch)) {
    if (!key.startsWith(ELEMENT_ORDER)) continue;
    const name = key.slice(ELEMENT_ORDER.length);
    setElementOrder(result, original, patch, name, order, targetOf(node, name).field?.patchMergeKey);
  }
  return result;
}

function mergeValue(original: unknown, patch: unknown, target: Target, depth: number): unknown {
  const strategies = target.field?.patchStrategies ?? [];
  if (isObject(original) && isObject(patch)) {
    return strategies.includes('replace') ? fresh(patch) : mergeFields(original, patch, target.node, depth);
  }
  if (Array.isArray(original) && Array.isArray(patch) && strategies.includes('merge')) {
    return mergeList(original, patch, target, depth);
  }
  return fresh(patch);
}

function retainKeys(result: Fields, patch: Fields): void {
  const keys = patch[RETAIN_KEYS];
  if (keys === undefined) return;
  if (!Array.isArray(keys)) throw badRequest('invalid patch format of retainKeys list');
  const retained = new Set<unknown>(keys);
  for (const [key, value] of Object.entries(patch)) {
    if (!isDirective(key) && value !== null && !retained.has(key)) {
      throw badRequest(`${JSON.stringify(keys)} in retainKeys list doesn't contain the patched field ${key}`);
    }
  }
  for (const key of Object.keys(result)) if (!retained.has(key)) delete result[key];
}

function deletePrimitives(result: Fields, name: string, list: unknown): void {
  if (!Array.isArray(list)) throw badRequest(`invalid patch format: ${DELETE_PRIMITIVES}${name} is not a list`);
  const present = result[name];
  if (!Array.isArray(present)) return;
  const unwanted = new Set<unknown>(list);
  result[name] = present.filter((item) => !unwanted.has(item));
}

function mergeKeyValue(item: unknown, mergeKey: string): unknown {
  if (!isObject(item) || !Object.hasOwn(item, mergeKey)) {
    throw badRequest(`map: ${JSON.stringify(item)} does not contain declared merge key: ${mergeKey}`);
  }
  return item[mergeKey];
}

function mergeList(original: unknown[], patch: unknown[], target: Target, depth: number): unknown[] {
  const mergeKey = target.field?.patchMergeKey;
  if (mergeKey === undefined) {
    const merged = [...new Set([...original, ...patch])];
    return ordered(merged, patch, original, undefined);
  }
  let rest = patch;
  let merged: unknown[] = [...original];
  const replaces = patch.some((item) => isObject(item) && item[DIRECTIVE] === 'replace');
  if (replaces) return fresh(patch.filter((item) => !(isObject(item) && item[DIRECTIVE] === 'replace'))) as unknown[];
  rest = patch.filter((item) => {
    if (!isObject(item) || !Object.hasOwn(item, DIRECTIVE)) return true;
    if (item[DIRECTIVE] === 'merge') return true;
    if (item[DIRECTIVE] !== 'delete') throw badDirective(item[DIRECTIVE], item);
    const key = mergeKeyValue(item, mergeKey);
    merged = merged.filter((present) => !(isObject(present) && present[mergeKey] === key));
    return false;
  });
  const items = target.node?.kind === 'list' ? target.node.items : undefined;
  for (const item of rest) {
    const key = mergeKeyValue(item, mergeKey);
    const at = merged.findIndex((present) => isObject(present) && present[mergeKey] === key);
    const present = merged[at];
    if (isObject(present)) merged[at] = mergeFields(present, item as Fields, items, depth + 1);
    else merged.push(fresh(item));
  }
  return ordered(merged, rest, original, mergeKey);
}

const identity = (item: unknown, mergeKey: string | undefined): unknown =>
  mergeKey !== undefined && isObject(item) ? item[mergeKey] : item;

/**
 * Puts the items in order: those the patch names follow its order, the others keep the server's; the two are merged by
 * the server's order where that knows both, the patch's item first otherwise.
 */
function ordered(merged: unknown[], wanted: unknown[], server: unknown[], mergeKey: string | undefined): unknown[] {
  const rankIn = (list: unknown[]) => {
    const ranks = new Map<unknown, number>();
    list.forEach((item, index) => {
      const key = identity(item, mergeKey);
      if (!ranks.has(key)) ranks.set(key, index);
    });
    return (item: unknown) => ranks.get(identity(item, mergeKey));
  };
  const wantedRank = rankIn(wanted);
  const serverRank = rankIn(server);
  const fromPatch = merged
    .filter((item) => wantedRank(item) !== undefined)
    .toSorted((a, b) => (wantedRank(a) ?? 0) - (wantedRank(b) ?? 0));
  const fromServer = merged
    .filter((item) => wantedRank(item) === undefined)
    .toSorted((a, b) => (serverRank(a) ?? 0) - (serverRank(b) ?? 0));
  const out: unknown[] = [];
  let left = 0;
  for (const item of fromPatch) {
    const right = serverRank(item);
    while (left < fromServer.length && right !== undefined) {
      const rank = serverRank(fromServer[left]);
      if (rank === undefined || rank >= right) break;
      out.push(fromServer[left++]);
    }
    out.push(item);
  }
  return [...out, ...fromServer.slice(left)];
}

function setElementOrder(
  result: Fields,
  original: Fields,
  patch: Fields,
  name: string,
  order: unknown,
  mergeKey: string | undefined,
): void {
  if (!Array.isArray(order)) throw badRequest(`invalid patch format: ${ELEMENT_ORDER}${name} is not a list`);
  const list = patch[name];
  if (Array.isArray(list)) {
    const known = new Set(order.map((item) => identity(item, mergeKey)));
    const stray = list.some(
      (item) => !(isObject(item) && Object.hasOwn(item, DIRECTIVE)) && !known.has(identity(item, mergeKey)),
    );
    if (stray) {
      throw badRequest(
        `The order in patch list:\n${JSON.stringify(list)}\n doesn't match ${ELEMENT_ORDER}${name} list:\n${JSON.stringify(order)}\n`,
      );
    }
  }
  const present = result[name];
  if (!Array.isArray(present)) return;
  const server = original[name];
  result[name] = ordered(present, order, Array.isArray(server) ? server : [], mergeKey);
}

/**
 * Applies a strategic merge patch by the schema of the kind. The result shares unchanged parts with `current`; neither
 * argument is changed. Throws a 400 for a patch that is malformed. Decode the result before using it: the patch's own
 * values are unchecked.
 */
export function applyStrategicMergePatch<T extends object>(
  info: { readonly schema: SchemaNode },
  current: T,
  patch: unknown,
): T {
  if (!isObject(patch)) throw badRequest('error decoding patch: json: cannot unmarshal non-object into Go value');
  return mergeFields(current as Fields, patch, info.schema, 0) as T;
}
