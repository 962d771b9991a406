/**
 * The sequencer's view while one request runs: the applied state, what is appended on top and not yet acknowledged
 * (`Overlay`), and this request's own writes. Synchronous; thrown away whole when the request throws.
 */
import type { KubeObject } from '../api/object.js';
import type { EntryChange } from './log-entry.js';
import { keyString, parseKey, type ObjectKey, type Revision, type WriteTransaction } from './object-store.js';
import { freezeObject } from './frozen-object.js';
import { withRevision } from './object-table.js';
import { rememberText } from './object-text.js';

export interface HeadReader {
  get(key: string): KubeObject | undefined;
  list(group: string, resource: string, namespace?: string): KubeObject[];
}

/** Appended writes that are not acknowledged yet, newest per key. `undefined`: deleted. Bounded by the frames under way. */
export class Overlay implements HeadReader {
  private readonly entries = new Map<string, { value: KubeObject | undefined; revision: Revision }>();
  /** The keys above by `group/resource`: a list must not cost more for what else is under way. */
  private readonly keys = new Map<string, Set<string>>();

  constructor(private readonly below: HeadReader) {}

  get(key: string): KubeObject | undefined {
    const entry = this.entries.get(key);
    return entry ? entry.value : this.below.get(key);
  }

  list(group: string, resource: string, namespace?: string): KubeObject[] {
    const below = this.below.list(group, resource, namespace);
    const keys = this.keys.get(`${group}/${resource}`);
    if (keys === undefined) return below;
    const entries = [...keys].map((key) => [key, this.entries.get(key)?.value] as const);
    return overlaid(below, entries, namespace);
  }

  has(key: string): boolean {
    return this.entries.has(key);
  }

  set(key: string, value: KubeObject | undefined, revision: Revision): void {
    this.entries.set(key, { value, revision });
    const resource = resourceOf(key);
    const keys = this.keys.get(resource);
    if (keys) keys.add(key);
    else this.keys.set(resource, new Set([key]));
  }

  /** Drops what has been applied below. */
  settle(upTo: Revision): void {
    for (const [key, { revision }] of this.entries) {
      if (revision > upTo) continue;
      this.entries.delete(key);
      const resource = resourceOf(key);
      const keys = this.keys.get(resource);
      if (keys?.delete(key) && keys.size === 0) this.keys.delete(resource);
    }
  }

  clear(): void {
    this.entries.clear();
    this.keys.clear();
  }
}

/** `group/resource` of a key. */
const resourceOf = (key: string) => key.slice(0, key.indexOf('/', key.indexOf('/') + 1));

function overlaid(
  below: KubeObject[],
  entries: readonly (readonly [string, KubeObject | undefined])[],
  namespace: string | undefined,
): KubeObject[] {
  const relevant = entries.filter(([key]) => namespace === undefined || parseKey(key).namespace === namespace);
  if (relevant.length === 0) return below;
  const idOf = (object: KubeObject) => `${object.metadata.namespace ?? ''}\u0000${object.metadata.name ?? ''}`;
  const merged = new Map(below.map((object) => [idOf(object), object]));
  for (const [key, value] of relevant) {
    const parsed = parseKey(key);
    const id = `${parsed.namespace}\u0000${parsed.name}`;
    if (value) merged.set(id, value);
    else merged.delete(id);
  }
  return [...merged].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, object]) => object);
}

/** One write of a transaction, in order. */
export interface TransactionWrite {
  readonly revision: Revision;
  readonly change: EntryChange;
  /** The object after the write, or the deleted one's last state. */
  readonly object: KubeObject;
}

export class Transaction implements WriteTransaction {
  readonly writes: TransactionWrite[] = [];
  private readonly own: Overlay;

  constructor(
    head: HeadReader,
    private nextRevision: Revision,
    readonly nowMs: number,
  ) {
    this.own = new Overlay(head);
  }

  get(key: ObjectKey): KubeObject | undefined {
    return this.own.get(keyString(key));
  }

  list(group: string, resource: string, namespace?: string): readonly KubeObject[] {
    return this.own.list(group, resource, namespace);
  }

  put(key: ObjectKey, object: KubeObject): KubeObject {
    const revision = this.nextRevision++;
    const stored = freezeObject({ ...object, metadata: { ...object.metadata, resourceVersion: String(revision) } });
    const name = keyString(key);
    this.own.set(name, stored, revision);
    const value = JSON.stringify(stored);
    rememberText(stored, value);
    this.writes.push({ revision, change: { op: 'put', key: name, value }, object: stored });
    return stored;
  }

  delete(key: ObjectKey): KubeObject | undefined {
    const name = keyString(key);
    const present = this.own.get(name);
    if (!present) return undefined;
    const revision = this.nextRevision++;
    this.own.set(name, undefined, revision);
    const last = withRevision(present, revision);
    this.writes.push({ revision, change: { op: 'delete', key: name }, object: last });
    return last;
  }
}
