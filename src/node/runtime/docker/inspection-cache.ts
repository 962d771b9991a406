/**
 * Inspections by container id, each valid while the state that the engine lists stays the same and no event came. The
 * engine says that a container died before its list does (an inspection waits for that), hence the events.
 */
import type { DockerEngine } from './engine.js';
import type { InspectedContainer, ListedContainer } from './observation.js';
import { RuntimeError } from '../runtime.js';

/** Inspections that run at the same time. */
const PARALLEL = 8;

export class InspectionCache {
  private readonly entries = new Map<string, InspectedContainer>();
  private readonly expired = new Set<string>();
  /** Inspections on their way, and whether an event has made their answer stale. */
  private readonly asking = new Set<{ readonly id: string; stale: boolean }>();

  constructor(private readonly engine: DockerEngine) {}

  get(id: string): InspectedContainer | undefined {
    return this.entries.get(id);
  }

  /** Everything that is known, for a level-triggered "look at all of them". */
  values(): Iterable<InspectedContainer> {
    return this.entries.values();
  }

  forget(id: string): void {
    this.entries.delete(id);
    this.expired.delete(id);
  }

  /** The container changed: it is inspected anew when it is next listed; an answer on its way does not count. */
  expire(id: string): void {
    if (this.entries.has(id)) this.expired.add(id);
    for (const one of this.asking) if (one.id === id) one.stale = true;
  }

  /** Asks the engine, whatever is known. */
  async refresh(id: string): Promise<InspectedContainer> {
    const asked = { id, stale: false };
    this.asking.add(asked);
    try {
      const seen = await this.engine.json<InspectedContainer>('GET', `/containers/${id}/json`);
      this.entries.set(seen.Id, seen);
      if (asked.stale) this.expired.add(seen.Id);
      else this.expired.delete(seen.Id);
      return seen;
    } finally {
      this.asking.delete(asked);
    }
  }

  async known(id: string): Promise<InspectedContainer> {
    return this.entries.get(id) ?? (await this.refresh(id));
  }

  /**
   * Inspections of all that is listed, asked for only where the state changed. What vanished meanwhile is left out.
   * With `complete`, the list is all there is, and others are forgotten: so the cache is no larger than the engine's list.
   */
  async of(listed: readonly ListedContainer[], complete: boolean): Promise<InspectedContainer[]> {
    const results: (InspectedContainer | undefined)[] = Array.from({ length: listed.length });
    let next = 0;
    const worker = async () => {
      for (let index = next++; index < listed.length; index = next++) {
        const item = listed[index];
        if (item) results[index] = await this.current(item);
      }
    };
    await Promise.all(Array.from({ length: Math.min(PARALLEL, listed.length) }, worker));
    if (complete) {
      const ids = new Set(listed.map((item) => item.Id));
      for (const id of this.entries.keys()) if (!ids.has(id)) this.forget(id);
    }
    return results.filter((seen) => seen !== undefined);
  }

  private async current(item: ListedContainer): Promise<InspectedContainer | undefined> {
    const known = this.entries.get(item.Id);
    if (known?.State.Status === item.State && !this.expired.has(item.Id)) return known;
    try {
      return await this.refresh(item.Id);
    } catch (error) {
      if (error instanceof RuntimeError && error.code === 'ERR_NOT_FOUND') return undefined;
      throw error;
    }
  }
}
