/**
 * What a document holds, without its engine: every field with the stamp of the write that brought it, and which writes the
 * document has seen. This is all that a merge needs, so a document whose history was squashed merges as one with all of it.
 *
 * It is an observed-remove set (Shapiro et al., 2011; kept small by a causal context as in Almeida et al., "Delta state
 * replicated data types", 2018). An entry that one side lacks was either removed there, if that side has seen the write
 * that made it, or is new. So no removed field has to be remembered. A write makes one entry under a key and removes those
 * it saw there; concurrent ones stay side by side, and the latest is shown. Maps are entries too: a map's removal takes
 * along what others changed in it meanwhile.
 *
 * Joining is commutative, associative and idempotent. Pure.
 */
import { laterStamp, NO_STAMP, writerOf, type Stamp } from '../stamp.js';
import { sameShape, type Shaped } from './shape.js';

/** A value, as JSON text, or a map made under a key, with the stamp of the write that made it. */
export type Entry =
  { readonly stamp: Stamp; readonly text: string } | { readonly stamp: Stamp; readonly fields: Fields };
export type Branch = Extract<Entry, { readonly fields: Fields }>;

/** What stands under each key, the latest first; keys in order. */
export type Fields = ReadonlyMap<string, readonly Entry[]>;

/** The newest stamp seen of each writer. Whoever has seen one has seen all that this writer wrote before. */
export type Context = ReadonlyMap<string, Stamp>;

export interface FieldTree {
  readonly fields: Fields;
  readonly context: Context;
}

export type ShapedMap = { [key: string]: Shaped };

/** Writers remembered; beyond, the one whose last write is oldest is forgotten, and what it wrote counts as not seen. */
export const MAX_WRITERS = 64;

export const isBranch = (entry: Entry): entry is Branch => 'fields' in entry;

export function contextOf(stamps: Iterable<Stamp>): Context {
  const context = new Map<string, Stamp>();
  for (const stamp of stamps) {
    if (stamp === NO_STAMP) continue;
    const writer = writerOf(stamp);
    context.set(writer, laterStamp(stamp, context.get(writer) ?? NO_STAMP));
  }
  const newest = [...context].toSorted(([, a], [, b]) => (a < b ? 1 : -1)).slice(0, MAX_WRITERS);
  return new Map(newest.toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

const hasSeen = (context: Context, stamp: Stamp): boolean =>
  stamp === NO_STAMP || (context.get(writerOf(stamp)) ?? NO_STAMP) >= stamp;

/** Whether `context` has seen all that `other` has. */
export const includes = (context: Context, other: Context): boolean =>
  [...other.values()].every((stamp) => hasSeen(context, stamp));

export const joinContexts = (a: Context, b: Context): Context => contextOf([...a.values(), ...b.values()]);

export const joinTrees = (a: FieldTree, b: FieldTree): FieldTree => ({
  fields: joinFields(a.fields, a.context, b.fields, b.context),
  context: joinContexts(a.context, b.context),
});

function joinFields(ours: Fields, ourContext: Context, theirs: Fields, theirContext: Context): Fields {
  const out = new Map<string, readonly Entry[]>();
  for (const key of keysOf([ours, theirs])) {
    const [mine, others] = [ours.get(key) ?? [], theirs.get(key) ?? []];
    const entries: Entry[] = [];
    for (const entry of mine) {
      const twin = others.find(({ stamp }) => stamp === entry.stamp);
      if (twin && isBranch(entry) && isBranch(twin)) {
        const fields = joinFields(entry.fields, ourContext, twin.fields, theirContext);
        entries.push({ stamp: entry.stamp, fields });
      } else if (twin || !hasSeen(theirContext, entry.stamp)) entries.push(entry);
    }
    for (const entry of others) {
      const isKnown = mine.some(({ stamp }) => stamp === entry.stamp) || hasSeen(ourContext, entry.stamp);
      if (!isKnown) entries.push(entry);
    }
    if (entries.length > 0) out.set(key, latestFirst(entries));
  }
  return out;
}

/** The tree after a write that made it show `wanted`: only what differs is written, as the engine does it. */
export function written(tree: FieldTree, stamp: Stamp, wanted: ShapedMap): FieldTree {
  const { fields, context } = tree;
  const shown = shownBy([fields]);
  if (sameShape(shown, wanted)) return tree;
  const [after] = assigned([fields], shown, wanted, stamp);
  return { fields: after as Fields, context: contextOf([...context.values(), stamp]) };
}

/**
 * The maps that together show `present`, changed so that they show `wanted`. There are several where both sides of a split made one:
 * the latest, which comes first, gets what is new.
 */
function assigned(maps: readonly Fields[], present: ShapedMap, wanted: ShapedMap, stamp: Stamp): Fields[] {
  const out = maps.map((map) => new Map(map));
  const put = (key: string, entry: Entry) => {
    for (const map of out) map.delete(key);
    out[0]?.set(key, [entry]);
  };
  for (const key of Object.keys(present)) if (!Object.hasOwn(wanted, key)) for (const map of out) map.delete(key);
  for (const [key, value] of Object.entries(wanted)) {
    const before = Object.hasOwn(present, key) ? present[key] : undefined;
    if (typeof value === 'string') {
      if (before !== value) put(key, { stamp, text: value });
    } else if (typeof before !== 'object') {
      put(key, { stamp, fields: assigned([new Map()], {}, value, stamp)[0] as Fields });
    } else if (!sameShape(before, value)) {
      const branches = entriesUnder(out, key).filter(isBranch);
      const changed = assigned(mapsOf(branches), before, value, stamp);
      const replaced = (entry: Entry): Entry => {
        const fields = isBranch(entry) ? changed[branches.indexOf(entry)] : undefined;
        return fields ? { stamp: entry.stamp, fields } : entry;
      };
      for (const map of out) {
        const entries = map.get(key);
        if (entries) map.set(key, entries.map(replaced));
      }
    }
  }
  return out.map((map) => new Map([...map].toSorted(([a], [b]) => (a < b ? -1 : 1))));
}

/** In one fixed order. */
export const keysOf = (maps: readonly Fields[]): string[] =>
  [...new Set(maps.flatMap((map) => [...map.keys()]))].toSorted((a, b) => (a < b ? -1 : 1));

export const latestFirst = <T extends { readonly stamp: Stamp }>(entries: readonly T[]): T[] =>
  entries.toSorted((a, b) => (a.stamp < b.stamp ? 1 : -1));

/** The state that is shown. Maps that several sides made under one name are one map. */
export function shownBy(maps: readonly Fields[]): ShapedMap {
  return Object.fromEntries(
    keysOf(maps).map((key) => {
      const entries = entriesUnder(maps, key);
      const latest = entries[0] as Entry;
      return [key, isBranch(latest) ? shownBy(mapsOf(entries)) : latest.text];
    }),
  );
}

const entriesUnder = (maps: readonly Fields[], key: string): Entry[] =>
  latestFirst(maps.flatMap((map) => map.get(key) ?? []));

/** Who had seen a value before a merge. */
export type Side = 'ours' | 'theirs' | 'both';

/** A field's value on a side; without `shaped` where that side removed it, which leaves no stamp. */
export interface FieldValue {
  readonly shaped?: Shaped;
  readonly stamp?: Stamp;
  readonly side: Side;
}

/** A field that both sides wrote, or a map that one side removed and in which the other wrote. */
export interface FieldConflict {
  readonly path: readonly string[];
  readonly kept: FieldValue;
  readonly dropped: readonly FieldValue[];
}

/** What both sides wrote without having seen what the other wrote there. */
export function conflictsOf(joined: Fields, ours: FieldTree, theirs: FieldTree): FieldConflict[] {
  const out: FieldConflict[] = [];
  const sideOf = (stamp: Stamp): Side => {
    if (!hasSeen(ours.context, stamp)) return 'theirs';
    return hasSeen(theirs.context, stamp) ? 'both' : 'ours';
  };
  const valueOf = (entry: Entry, others: readonly Entry[] = []): FieldValue => ({
    shaped: isBranch(entry) ? shownBy(mapsOf([entry, ...others])) : entry.text,
    stamp: entry.stamp,
    side: sideOf(entry.stamp),
  });
  const look = (maps: readonly Fields[], path: readonly string[]) => {
    for (const key of keysOf(maps)) {
      const entries = entriesUnder(maps, key);
      const [latest, ...others] = entries as [Entry, ...Entry[]];
      const here = [...path, key];
      const isShown = (entry: Entry) =>
        isBranch(latest) ? isBranch(entry) : !isBranch(entry) && entry.text === latest.text;
      const dropped = others.filter((entry) => !isShown(entry));
      const isNew =
        entries.some(({ stamp }) => !hasSeen(theirs.context, stamp)) &&
        entries.some(({ stamp }) => !hasSeen(ours.context, stamp));
      if (isNew && dropped.length > 0) {
        out.push({ path: here, kept: valueOf(latest, others), dropped: dropped.map((entry) => valueOf(entry)) });
      }
      if (isBranch(latest)) look(mapsOf(entries), here);
    }
  };
  look([joined], []);
  const sides = [
    ...removedOver(ours.fields, joined, theirs.context, 'ours'),
    ...removedOver(theirs.fields, joined, ours.context, 'theirs'),
  ];
  const keyOf = ({ path }: FieldConflict) => path.join('\u0001');
  return [...out, ...sides.toSorted((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1))];
}

/** The maps of one side that the other removed without having seen all that was written in them. */
function removedOver(
  fields: Fields,
  joined: Fields,
  context: Context,
  side: Side,
  path: readonly string[] = [],
): FieldConflict[] {
  return [...fields].flatMap(([key, entries]) => {
    const left = joined.get(key) ?? [];
    const here = [...path, key];
    return entries.filter(isBranch).flatMap(({ stamp, fields: inner }) => {
      const twin = left.find((entry) => entry.stamp === stamp);
      if (twin) return isBranch(twin) ? removedOver(inner, twin.fields, context, side, here) : [];
      const newest = newestUnseen(inner, context);
      if (newest === NO_STAMP) return [];
      const [stands] = left;
      const shaped = stands && (isBranch(stands) ? shownBy([stands.fields]) : stands.text);
      const kept = stands ? { shaped: shaped as Shaped, stamp: stands.stamp } : {};
      const remover: Side = side === 'ours' ? 'theirs' : 'ours';
      return [
        { path: here, kept: { ...kept, side: remover }, dropped: [{ shaped: shownBy([inner]), stamp: newest, side }] },
      ];
    });
  });
}

const newestUnseen = (fields: Fields, context: Context): Stamp =>
  [...fields.values()]
    .flat()
    .flatMap((entry) => [
      hasSeen(context, entry.stamp) ? NO_STAMP : entry.stamp,
      isBranch(entry) ? newestUnseen(entry.fields, context) : NO_STAMP,
    ])
    .reduce(laterStamp, NO_STAMP);

const mapsOf = (entries: readonly Entry[]): Fields[] => entries.filter(isBranch).map(({ fields }) => fields);
