/** Completes sets with the structs on the way to their paths, and fits sets to a schema that changed. */
import { EMPTY_SET, isEmptySet, nodeOf, type FieldSet } from './field-set.js';
import type { OwnedType } from './owned-type.js';

type Children = Record<string, FieldSet>;

/** The type below an element; undefined where the schema has none. */
function typeBelow(type: OwnedType | undefined, element: string): OwnedType | undefined {
  switch (type?.kind) {
    case 'struct':
      return type.field(element.slice(2))?.type;
    case 'map':
      return type.values;
    case 'keyed':
    case 'set':
      return type.items;
    case 'deduced':
      return type;
    case 'leaf':
    case undefined:
      return undefined;
  }
}

/**
 * The set with every declared field on the way to one of its paths: owning `spec.replicas` is having a hand in `spec`, while
 * owning a label is nothing of the kind for the map of labels.
 */
export function withNamedFields(type: OwnedType | undefined, set: FieldSet): FieldSet {
  const children: Children = {};
  for (const element in set) {
    if (element === '.') continue;
    const node = set[element] as FieldSet;
    if (isEmptySet(node)) {
      children[element] = node;
      continue;
    }
    const named = type?.kind === 'struct' && element.startsWith('f:') && type.declares(element.slice(2));
    const inner = withNamedFields(typeBelow(type, element), node);
    const { '.': self, ...rest } = inner;
    const full = nodeOf(named || self !== undefined || node['.'] !== undefined, rest);
    if (full !== undefined) children[element] = full;
  }
  return nodeOf(false, children) ?? EMPTY_SET;
}

/**
 * A set that was made under another schema: paths inside what is one value now become that value. Identical when nothing
 * changed. (Of what was one value and is taken apart now, only the value itself stays owned: a bare path cannot be told from an
 * owned empty map, and claiming what others own would make conflicts.)
 */
export function fittedTo(type: OwnedType | undefined, set: FieldSet): FieldSet {
  let changed: Children | undefined;
  for (const element in set) {
    if (element === '.') continue;
    const child = set[element] as FieldSet;
    const below = typeBelow(type, element);
    const now = below?.kind === 'leaf' && !isEmptySet(child) ? EMPTY_SET : fittedTo(below, child);
    if (now !== child) (changed ??= { ...set })[element] = now;
  }
  return changed ?? set;
}
