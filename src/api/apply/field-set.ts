/**
 * Sets of field paths: what a manager owns. A set is its own FieldsV1 JSON (KEP-555): a tree whose keys are path elements
 * (`f:name`, `k:{"name":"x"}`, `v:"x"`, `i:0`); an element with nothing below it is in the set, one with something below
 * is in it when it holds `.`. So nothing is parsed or printed on the write path.
 *
 * Sets are immutable and canonical (elements sorted, keys of `k:` sorted), and results share what they can with their
 * arguments: a result that is identical (`===`) to the argument means "no change".
 */
export interface FieldSet {
  readonly [element: string]: FieldSet;
}

type Building = Record<string, FieldSet>;

/** The empty set; below the root: an element that is in the set and has nothing below it. */
export const EMPTY_SET: FieldSet = Object.freeze({});
const SELF = '.';

export function isEmptySet(set: FieldSet): boolean {
  for (const _ in set) return false;
  return true;
}

const isMember = (node: FieldSet) => node[SELF] !== undefined || isEmptySet(node);

/** The node of an element: in the set itself or not, with these children. Undefined when that is nothing. */
export function nodeOf(
  member: boolean,
  children: Readonly<Record<string, FieldSet>> | undefined,
): FieldSet | undefined {
  const names = children === undefined ? [] : Object.keys(children);
  if (names.length === 0 || children === undefined) return member ? EMPTY_SET : undefined;
  if (names.length > 1 && !isSorted(names)) names.sort();
  else if (!member) return children;
  const node: Building = member ? { [SELF]: EMPTY_SET } : {};
  for (const name of names) node[name] = children[name] as FieldSet;
  return node;
}

function isSorted(names: readonly string[]): boolean {
  for (let i = 1; i < names.length; i++) if ((names[i - 1] as string) > (names[i] as string)) return false;
  return true;
}

/** The node with some children replaced, or gone where undefined. */
function rebuilt(node: FieldSet, member: boolean, changed: ReadonlyMap<string, FieldSet | undefined>) {
  const children: Building = {};
  for (const name in node) {
    if (name === SELF) continue;
    const child = changed.has(name) ? changed.get(name) : node[name];
    if (child !== undefined) children[name] = child;
  }
  return nodeOf(member, children);
}

function subtract(a: FieldSet, b: FieldSet, root: boolean, whole: boolean): FieldSet | undefined {
  const bMember = !root && isMember(b);
  if (bMember && whole) return undefined;
  const aMember = !root && isMember(a);
  let changed: Map<string, FieldSet | undefined> | undefined;
  for (const name in b) {
    const mine = a[name];
    if (name === SELF || mine === undefined) continue;
    const left = subtract(mine, b[name] as FieldSet, false, whole);
    if (left !== mine) (changed ??= new Map<string, FieldSet | undefined>()).set(name, left);
  }
  if (changed === undefined) {
    if (!aMember || !bMember) return a;
    changed = new Map();
  }
  return rebuilt(a, aMember && !bMember, changed);
}

/** The paths of `a` that are not in `b`. */
export const difference = (a: FieldSet, b: FieldSet): FieldSet => subtract(a, b, true, false) ?? EMPTY_SET;

/** The paths of `a` that are neither in `b` nor below a path in `b`. */
export const differenceBelow = (a: FieldSet, b: FieldSet): FieldSet => subtract(a, b, true, true) ?? EMPTY_SET;

function unite(a: FieldSet, b: FieldSet, root: boolean): FieldSet {
  if (a === b) return a;
  const aMember = !root && isMember(a);
  const member = aMember || (!root && isMember(b));
  let children: Building | undefined;
  for (const name in b) {
    if (name === SELF) continue;
    const mine = a[name];
    const theirs = b[name] as FieldSet;
    const both = mine === undefined ? theirs : unite(mine, theirs, false);
    if (both === mine) continue;
    if (children === undefined) {
      children = {};
      for (const own in a) if (own !== SELF) children[own] = a[own] as FieldSet;
    }
    children[name] = both;
  }
  if (children === undefined) {
    if (member === aMember) return a;
    children = {};
    for (const own in a) children[own] = a[own] as FieldSet;
  }
  return nodeOf(member, children) ?? EMPTY_SET;
}

/** The paths of both. Identical to `a` when `b` adds nothing. */
export const union = (a: FieldSet, b: FieldSet): FieldSet => unite(a, b, true);

function common(a: FieldSet, b: FieldSet, root: boolean): FieldSet | undefined {
  const children: Building = {};
  for (const name in a) {
    const theirs = b[name];
    if (name === SELF || theirs === undefined) continue;
    const both = common(a[name] as FieldSet, theirs, false);
    if (both !== undefined) children[name] = both;
  }
  return nodeOf(!root && isMember(a) && isMember(b), children);
}

/** The paths that are in both. */
export const intersection = (a: FieldSet, b: FieldSet): FieldSet => common(a, b, true) ?? EMPTY_SET;

function keepBelow(a: FieldSet, prefixes: FieldSet): FieldSet | undefined {
  const children: Building = {};
  for (const name in a) {
    const prefix = prefixes[name];
    if (name === SELF || prefix === undefined) continue;
    const mine = a[name] as FieldSet;
    const kept = isMember(prefix) ? mine : keepBelow(mine, prefix);
    if (kept !== undefined) children[name] = kept;
  }
  return nodeOf(false, children);
}

/** The paths of `a` that are in `prefixes` or below a path in it. */
export const intersectionBelow = (a: FieldSet, prefixes: FieldSet): FieldSet => keepBelow(a, prefixes) ?? EMPTY_SET;

/** Whether the element itself is in the set. */
export const hasElement = (set: FieldSet, element: string): boolean => {
  const node = set[element];
  return node !== undefined && isMember(node);
};

/** Whether the path of elements is in the set. */
export function hasPath(set: FieldSet, path: readonly string[]): boolean {
  let node: FieldSet | undefined = set;
  for (const element of path) {
    node = node[element];
    if (node === undefined) return false;
  }
  return path.length > 0 && isMember(node);
}

/** The set of one path. */
export const setOfPath = (path: readonly string[]): FieldSet =>
  path.reduceRight<FieldSet>((below, element) => ({ [element]: below }), EMPTY_SET);

/** Calls back with every path in the set, in order. The array is reused. */
export function forEachPath(set: FieldSet, visit: (path: readonly string[]) => void): void {
  const path: string[] = [];
  const walk = (node: FieldSet) => {
    for (const name in node) {
      if (name === SELF) continue;
      const child = node[name] as FieldSet;
      path.push(name);
      if (isMember(child)) visit(path);
      walk(child);
      path.pop();
    }
  };
  walk(set);
}

/** Whether two canonical sets are equal. */
export function sameSet(a: FieldSet, b: FieldSet): boolean {
  if (a === b) return true;
  let count = 0;
  for (const name in a) {
    const theirs = b[name];
    if (theirs === undefined || !sameSet(a[name] as FieldSet, theirs)) return false;
    count++;
  }
  for (const _ in b) count--;
  return count === 0;
}
