/**
 * Which own writes the cache does not show yet. A controller that names objects by `generateName` must not plan on a cache
 * that misses what it just made: it would make it again. Given up after `timeoutMs`, since what was written may be gone.
 */
import type { Clock } from '../../base/clock.js';
import { keyOf, type KubeObject } from '../../api/object.js';
import type { Lister } from '../../client/informer.js';

export class SeenWrites<T extends KubeObject> {
  private readonly unseen = new Map<string, Map<string, { revision: string; sinceMs: number }>>();

  constructor(
    private readonly clock: Clock,
    private readonly lister: Lister<T>,
    private readonly timeoutMs = 30_000,
  ) {}

  /** Notes a write that was done for `owner`. */
  wrote(owner: string, { metadata }: T): void {
    const revision = metadata.resourceVersion ?? '0';
    if (this.isSeen(metadata.namespace ?? '', metadata.name ?? '', revision)) return;
    let writes = this.unseen.get(owner);
    if (!writes) this.unseen.set(owner, (writes = new Map()));
    writes.set(keyOf({ metadata }), { revision, sinceMs: this.clock.monotonicMs() });
  }

  /** True when the cache shows every write of `owner`, or those it misses are given up. */
  allSeen(owner: string): boolean {
    const writes = this.unseen.get(owner);
    if (!writes) return true;
    for (const [key, { revision, sinceMs }] of writes) {
      const [namespace = '', name = ''] = key.split('/');
      const givenUp = this.clock.monotonicMs() - sinceMs >= this.timeoutMs;
      if (givenUp || this.isSeen(namespace, name, revision)) writes.delete(key);
    }
    if (writes.size > 0) return false;
    this.unseen.delete(owner);
    return true;
  }

  /** The informer saw the end of this object. */
  gone(owner: string, object: T): void {
    this.unseen.get(owner)?.delete(keyOf(object));
  }

  forget(owner: string): void {
    this.unseen.delete(owner);
  }

  private isSeen(namespace: string, name: string, revision: string): boolean {
    const cached = this.lister.get(namespace, name)?.metadata.resourceVersion;
    return cached !== undefined && BigInt(cached) >= BigInt(revision);
  }
}
