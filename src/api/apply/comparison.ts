/**
 * Which paths differ between two values of one type: the paths that came or changed, and those that went. Built only where
 * something differs, so that comparing equal objects allocates next to nothing.
 */
import { EMPTY_SET, nodeOf, type FieldSet } from './field-set.js';
import { fieldElement } from './path-element.js';
import {
  at,
  isMap,
  itemElement,
  ItemError,
  resolved,
  type DeducedType,
  type JsonMap,
  type KeyedListType,
  type OwnedType,
  type SetType,
} from './owned-type.js';
import { sameJson } from '../../base/same-json.js';

export interface Comparison {
  /** Added or modified. */
  readonly changed: FieldSet;
  readonly removed: FieldSet;
}

export const NO_CHANGES: Comparison = Object.freeze({ changed: EMPTY_SET, removed: EMPTY_SET });

type Children = Record<string, FieldSet>;

/** The differences below one element; undefined parts are none. */
interface Difference {
  changed: FieldSet | undefined;
  removed: FieldSet | undefined;
}

const MODIFIED: Difference = Object.freeze({ changed: EMPTY_SET, removed: undefined });

class Collector {
  changed: Children | undefined;
  removed: Children | undefined;

  add(element: string, found: Difference | undefined): void {
    if (found === undefined) return;
    if (found.changed !== undefined) (this.changed ??= {})[element] = found.changed;
    if (found.removed !== undefined) (this.removed ??= {})[element] = found.removed;
  }

  result(): Difference | undefined {
    if (this.changed === undefined && this.removed === undefined) return undefined;
    return { changed: nodeOf(false, this.changed), removed: nodeOf(false, this.removed) };
  }
}

/** Every path of a value that stands on one side only, itself included. */
function everything(type: OwnedType, value: unknown): FieldSet {
  const known = resolved(type, value);
  switch (known.kind) {
    case 'leaf':
      return EMPTY_SET;
    case 'struct':
    case 'map':
      return isMap(value) ? everyField(known, value) : EMPTY_SET;
    case 'keyed':
    case 'set':
      return Array.isArray(value) ? everyItem(known, value) : EMPTY_SET;
  }
}

function everyField(type: Extract<OwnedType, { kind: 'struct' | 'map' }>, map: JsonMap): FieldSet {
  const children: Children = {};
  for (const name in map) {
    const item = map[name];
    if (item === undefined) continue;
    if (type.kind === 'map') children[fieldElement(name)] = everything(type.values, item);
    else {
      const field = type.field(name);
      if (field !== undefined) children[field.element] = everything(field.type, item);
    }
  }
  return nodeOf(true, children) ?? EMPTY_SET;
}

function everyItem(type: KeyedListType | SetType, list: readonly unknown[]): FieldSet {
  const children: Children = {};
  try {
    for (const item of list) {
      const element = itemElement(type, item);
      children[element] = children[element] === undefined ? everything(type.items, item) : EMPTY_SET;
    }
  } catch (error) {
    if (error instanceof ItemError) return EMPTY_SET;
    throw error;
  }
  return nodeOf(true, children) ?? EMPTY_SET;
}

/** The items by their elements; undefined when one cannot be told from others. */
function indexItems(type: KeyedListType | SetType, list: readonly unknown[]): Map<string, unknown[]> | undefined {
  const index = new Map<string, unknown[]>();
  try {
    for (const item of list) {
      const element = itemElement(type, item);
      const same = index.get(element);
      if (same === undefined) index.set(element, [item]);
      else same.push(item);
    }
  } catch (error) {
    if (error instanceof ItemError) return undefined;
    throw error;
  }
  return index;
}

function compareValues(type: OwnedType, before: unknown, after: unknown): Difference | undefined {
  if (before === after) return undefined;
  if (before === undefined) return { changed: everything(type, after), removed: undefined };
  if (after === undefined) return { changed: undefined, removed: everything(type, before) };
  // Most of what is compared is equal, and this finds out at a fraction of the cost.
  if (sameJson(before, after)) return undefined;
  const known = type.kind === 'deduced' ? deducedFor(type, before, after) : type;
  switch (known?.kind) {
    case undefined:
      // A map became something else, or the other way round.
      return isMap(before)
        ? { changed: EMPTY_SET, removed: childrenOf(everything(type, before)) }
        : { changed: nodeOf(true, childrenOf(everything(type, after))), removed: undefined };
    case 'struct':
    case 'map':
      return compareMaps(known, before, after);
    case 'keyed':
    case 'set':
      return compareLists(known, before, after);
    case 'leaf':
      return MODIFIED;
  }
}

function deducedFor(type: DeducedType, before: unknown, after: unknown) {
  return isMap(before) === isMap(after) ? resolved(type, after) : undefined;
}

function childrenOf(node: FieldSet): FieldSet | undefined {
  const { '.': _, ...children } = node;
  return nodeOf(false, children);
}

const NOTHING: JsonMap = Object.freeze({});

function compareMaps(
  type: Extract<OwnedType, { kind: 'struct' | 'map' }>,
  one: unknown,
  two: unknown,
): Difference | undefined {
  const before = isMap(one) ? one : NOTHING;
  const after = isMap(two) ? two : NOTHING;
  let found: Collector | undefined;
  const compareField = (name: string) => {
    if (type.kind === 'map') {
      const result = compareValues(type.values, at(before, name), at(after, name));
      if (result !== undefined) (found ??= new Collector()).add(fieldElement(name), result);
      return;
    }
    const field = type.field(name);
    if (field === undefined) return;
    const result = compareValues(field.type, before[name] ?? field.absent, after[name] ?? field.absent);
    if (result !== undefined) (found ??= new Collector()).add(field.element, result);
  };
  for (const name in after) if (before[name] !== after[name]) compareField(name);
  for (const name in before) if (at(after, name) === undefined) compareField(name);
  return found?.result();
}

/** Most changed lists still hold the same items in the same places: then no keys are made for those that are equal. */
function compareLists(type: KeyedListType | SetType, one: unknown, two: unknown): Difference | undefined {
  const before: readonly unknown[] = Array.isArray(one) ? one : [];
  const after: readonly unknown[] = Array.isArray(two) ? two : [];
  const aligned = compareAligned(type, before, after);
  if (aligned !== 'moved') return aligned;
  const left = indexItems(type, before);
  const right = indexItems(type, after);
  if (left === undefined || right === undefined) return sameJson(before, after) ? undefined : MODIFIED;
  const found = new Collector();
  for (const [element, items] of right) found.add(element, compareItems(type, left.get(element) ?? [], items));
  for (const [element, items] of left) if (!right.has(element)) found.add(element, compareItems(type, items, []));
  return found.result();
}

function compareAligned(
  type: KeyedListType | SetType,
  before: readonly unknown[],
  after: readonly unknown[],
): Difference | undefined | 'moved' {
  if (before.length !== after.length) return 'moved';
  let found: Collector | undefined;
  for (let i = 0; i < after.length; i++) {
    const [mine, theirs] = [before[i], after[i]];
    if (type.kind === 'set' || !isMap(mine) || !isMap(theirs)) {
      if (mine !== theirs) return 'moved';
      continue;
    }
    for (const key of type.keys) if (mine[key] !== theirs[key]) return 'moved';
    const result = compareValues(type.items, mine, theirs);
    if (result === undefined) continue;
    try {
      (found ??= new Collector()).add(itemElement(type, theirs), result);
    } catch (error) {
      if (error instanceof ItemError) return MODIFIED;
      throw error;
    }
  }
  // Of items with one key only the last would be told of.
  if (found !== undefined && type.kind === 'keyed' && hasDuplicates(type, after)) return 'moved';
  return found?.result();
}

function hasDuplicates(type: KeyedListType, list: readonly unknown[]): boolean {
  const [key = ''] = type.keys;
  if (type.keys.length > 1) return indexItems(type, list)?.size !== list.length;
  return new Set(list.map((item) => (item as JsonMap)[key])).size !== list.length;
}

/** Items of one key: duplicates, which old data may have, are one value together. */
function compareItems(
  type: KeyedListType | SetType,
  before: readonly unknown[],
  after: readonly unknown[],
): Difference | undefined {
  if (before.length <= 1 && after.length <= 1) return compareValues(type.items, before[0], after[0]);
  if (after.length === 0) return { changed: undefined, removed: EMPTY_SET };
  if (before.length > 1 && after.length > 1) return sameJson(before, after) ? undefined : MODIFIED;
  if (after.length > 1) {
    const removed = before.length === 0 ? undefined : childrenOf(everything(type.items, before[0]));
    return { changed: EMPTY_SET, removed };
  }
  return { changed: everything(type.items, after[0]), removed: undefined };
}

/** Compares two objects. Fields of the root that `isIgnored` names are not looked at. */
export function compareObjects(
  type: OwnedType,
  before: object,
  after: object,
  isIgnored: (name: string) => boolean = () => false,
): Comparison {
  if (type.kind !== 'struct') return asComparison(compareValues(type, before, after));
  const found = new Collector();
  const [one, two] = [before as JsonMap, after as JsonMap];
  const compareField = (name: string) => {
    const field = isIgnored(name) ? undefined : type.field(name);
    if (field === undefined) return;
    const { absent } = field;
    found.add(field.element, compareValues(field.type, one[name] ?? absent, two[name] ?? absent));
  };
  for (const name in two) if (one[name] !== two[name]) compareField(name);
  for (const name in one) if (two[name] === undefined) compareField(name);
  return asComparison(found.result());
}

const asComparison = (found: Difference | undefined): Comparison =>
  found === undefined ? NO_CHANGES : { changed: found.changed ?? EMPTY_SET, removed: found.removed ?? EMPTY_SET };
