/** All records of a state, found by key, by resource in order, and by digest. Reads cost O(result), a change O(log n). */
import type { KubeObject } from '../api/object.js';
import { DigestTree } from './digest-tree.js';
import { parseKey, type ObjectKey } from './object-store.js';
import type { ObjectRecord } from './record.js';
import { SortedKeys } from './sorted-keys.js';

/** Sorts like (namespace, name): a namespace that is another's prefix must not mix with it. */
const sortKeyOf = (key: ObjectKey) => `${key.namespace}\u0000${key.name}`;

export const resourceOf = (group: string, resource: string): string => `${group}/${resource}`;

/** Live objects of one resource in key order (namespace, name). */
class ResourceIndex {
  private readonly keys: SortedKeys;
  private readonly objects = new Map<string, KubeObject>();

  /** With the keys of another, whose objects have to be {@link put}. */
  constructor(from?: ResourceIndex) {
    this.keys = from ? from.keys.copy() : new SortedKeys();
  }

  all(): Iterable<readonly [sortKey: string, object: KubeObject]> {
    return this.objects;
  }

  /** An object whose key is there. */
  put(sortKey: string, object: KubeObject): void {
    this.objects.set(sortKey, object);
  }

  set(sortKey: string, object: KubeObject): void {
    if (!this.objects.has(sortKey)) this.keys.add(sortKey);
    this.objects.set(sortKey, object);
  }

  delete(sortKey: string): void {
    if (this.objects.delete(sortKey)) this.keys.remove(sortKey);
  }

  list(prefix: string): KubeObject[] {
    const out: KubeObject[] = [];
    this.keys.visitFrom(prefix, (key) => {
      if (!key.startsWith(prefix)) return false;
      out.push(this.objects.get(key) as KubeObject);
      return true;
    });
    return out;
  }
}

/** Things copied before others get a turn: some milliseconds' worth. */
const COPIED_AT_ONCE = 8_192;

async function inSlices<T>(things: Iterable<T>, pause: () => Promise<void>, use: (thing: T) => void): Promise<void> {
  let done = 0;
  for (const thing of things) {
    use(thing);
    if (++done % COPIED_AT_ONCE === 0) await pause();
  }
  if (done > 0) await pause();
}

export class TableContents {
  private readonly records = new Map<string, ObjectRecord>();
  private readonly indexes = new Map<string, ResourceIndex>();
  private tree = new DigestTree();

  get size(): number {
    return this.records.size;
  }

  get digests(): DigestTree {
    return this.tree;
  }

  record(key: string): ObjectRecord | undefined {
    return this.records.get(key);
  }

  all(): Iterable<ObjectRecord> {
    return this.records.values();
  }

  list(group: string, resource: string, namespace?: string): KubeObject[] {
    const prefix = namespace === undefined ? '' : `${namespace}\u0000`;
    return this.indexes.get(resourceOf(group, resource))?.list(prefix) ?? [];
  }

  place(record: ObjectRecord): void {
    this.tree.change(this.records.get(record.key), record);
    this.records.set(record.key, record);
    this.index(record.key, record.value);
  }

  remove(key: string): void {
    const before = this.records.get(key);
    if (!before) return;
    this.tree.change(before, undefined);
    this.records.delete(key);
    if (before.value) this.index(key, undefined);
  }

  /** The same contents, to be changed apart. `pause` lets others work in between; nothing may change here meanwhile. */
  async copy(pause: () => Promise<void>): Promise<TableContents> {
    const copy = new TableContents();
    await inSlices(this.records, pause, ([key, record]) => copy.records.set(key, record));
    for (const [name, index] of this.indexes) {
      const own = new ResourceIndex(index);
      await inSlices(index.all(), pause, ([key, object]) => own.put(key, object));
      copy.indexes.set(name, own);
    }
    copy.tree = await this.tree.copied(pause);
    return copy;
  }

  private index(text: string, value: KubeObject | undefined): void {
    const key = parseKey(text);
    const name = resourceOf(key.group, key.resource);
    let index = this.indexes.get(name);
    if (!index) this.indexes.set(name, (index = new ResourceIndex()));
    if (value) index.set(sortKeyOf(key), value);
    else index.delete(sortKeyOf(key));
  }
}
