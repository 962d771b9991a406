/** Merges an applied configuration into the live object, and takes fields out of an object. Arguments are not changed. */
import { hasElement, type FieldSet } from './field-set.js';
import { fieldElement } from './path-element.js';
import {
  at,
  isMap,
  itemElement,
  ItemError,
  put,
  resolved,
  type JsonMap,
  type KeyedListType,
  type OwnedType,
  type SetType,
} from './owned-type.js';

/** The live value with the configuration's on top. Undefined: neither has one. */
export function mergeValues(type: OwnedType, live: unknown, config: unknown): unknown {
  if (config === undefined) return live;
  if (live === undefined || live === null) return config;
  const known = type.kind === 'deduced' && isMap(live) !== isMap(config) ? undefined : resolved(type, config);
  switch (known?.kind) {
    case 'struct':
    case 'map':
      if (config === null) return Object.keys(live).length === 0 ? config : live;
      return isMap(live) && isMap(config) ? mergeMaps(known, live, config) : config;
    case 'keyed':
    case 'set':
      if (config === null) return Array.isArray(live) && live.length === 0 ? config : live;
      return Array.isArray(live) && Array.isArray(config) ? mergeLists(known, live, config) : config;
    case 'leaf':
    case undefined:
      return config;
  }
}

function childType(type: Extract<OwnedType, { kind: 'struct' | 'map' }>, name: string) {
  return type.kind === 'map' ? type.values : type.field(name)?.type;
}

function mergeMaps(type: Extract<OwnedType, { kind: 'struct' | 'map' }>, live: JsonMap, config: JsonMap): JsonMap {
  const out: Record<string, unknown> = {};
  for (const name of Object.keys(live)) put(out, name, live[name]);
  for (const name of Object.keys(config)) {
    const of = childType(type, name);
    put(out, name, of === undefined ? config[name] : mergeValues(of, at(live, name), config[name]));
  }
  return out;
}

/** The list's items with their elements; duplicates of old data stay side by side. */
const elementsOf = (type: KeyedListType | SetType, list: readonly unknown[]): string[] =>
  list.map((item) => itemElement(type, item));

function indexOf(elements: readonly string[], list: readonly unknown[]): Map<string, unknown> {
  const index = new Map<string, unknown>();
  // Of duplicates nothing is merged: what is applied replaces them.
  elements.forEach((element, i) => index.set(element, index.has(element) ? undefined : list[i]));
  return index;
}

/** Applied items come in the order applied; others stay before the applied item that they stood before. */
function mergeLists(type: KeyedListType | SetType, live: readonly unknown[], config: readonly unknown[]): unknown[] {
  let liveElements: string[];
  try {
    liveElements = elementsOf(type, live);
  } catch (error) {
    if (error instanceof ItemError) return [...config];
    throw error;
  }
  const configElements = elementsOf(type, config);
  const liveItems = indexOf(liveElements, live);
  const applied = new Set(configElements);
  const shared = configElements.filter((element) => liveItems.has(element));
  const merged = new Set<string>();
  const out: unknown[] = [];
  let next = 0;
  let nextShared = 0;
  configElements.forEach((element, i) => {
    const isShared = liveItems.has(element);
    for (; next < live.length; next++) {
      const candidate = liveElements[next] as string;
      if (!applied.has(candidate)) out.push(live[next]);
      else if (candidate === element) {
        next++;
        break;
      } else if (!isShared && !merged.has(candidate) && candidate === shared[nextShared]) break;
    }
    if (isShared) nextShared++;
    merged.add(element);
    out.push(mergeValues(type.items, liveItems.get(element), config[i]));
  });
  for (; next < live.length; next++) if (!applied.has(liveElements[next] as string)) out.push(live[next]);
  return out;
}

/** What is left of a list or map that had something and has nothing now: a null in its place, or nothing at all. */
export type Remains = 'null' | 'nothing';

/** The value without the paths in `set`. Null when nothing is left of a list or map that had something. */
export function removePaths(type: OwnedType, value: unknown, set: FieldSet, remains: Remains): unknown {
  const known = resolved(type, value);
  if (known.kind === 'struct' || known.kind === 'map') {
    if (!isMap(value) || Object.keys(value).length === 0) return value;
    return removeFields(known, value, set, remains);
  }
  if (known.kind === 'leaf' || !Array.isArray(value) || value.length === 0) return value;
  const kept: unknown[] = [];
  for (const item of value as unknown[]) {
    const element = itemElement(known, item);
    if (hasElement(set, element)) continue;
    const inner = set[element];
    kept.push(inner === undefined ? item : (removePaths(known.items, item, inner, remains) ?? {}));
  }
  return kept.length === 0 ? null : kept;
}

function removeFields(
  type: Extract<OwnedType, { kind: 'struct' | 'map' }>,
  value: JsonMap,
  set: FieldSet,
  remains: Remains,
): unknown {
  const kept: Record<string, unknown> = {};
  let isHollow = true;
  for (const name of Object.keys(value)) {
    const element = fieldElement(name);
    if (hasElement(set, element)) continue;
    isHollow = false;
    const inner = set[element];
    const of = childType(type, name);
    const left = inner === undefined || of === undefined ? value[name] : removePaths(of, value[name], inner, remains);
    if (left !== null || value[name] === null || remains === 'null') put(kept, name, left);
  }
  return isHollow ? null : kept;
}
