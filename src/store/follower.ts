/**
 * Follows resources of this peer's store: all present objects at first, then every change as it is applied, synchronously and in
 * revision order. When the history is replaced (a merge, a catch-up from a snapshot) it begins again with all objects, so
 * that an index fed by it can never keep what is gone.
 */
import type { Service } from '../base/lifecycle.js';
import type { KubeObject } from '../api/object.js';
import type { ObjectReader, StoreEvent } from './object-store.js';

export interface FollowedResource {
  readonly group: string;
  readonly resource: string;
  /** The complete state; what was known before is void. Must not throw. */
  reset(objects: readonly KubeObject[]): void;
  /** One change after that. Must not throw. */
  changed(event: StoreEvent): void;
}

export class StoreFollower implements Service {
  private readonly cancels = new Map<FollowedResource, () => void>();
  private stopped = false;

  constructor(
    readonly name: string,
    private readonly store: ObjectReader,
    private readonly resources: readonly FollowedResource[],
  ) {}

  start(): Promise<void> {
    for (const resource of this.resources) this.follow(resource);
    return Promise.resolve();
  }

  stop(): Promise<void> {
    this.stopped = true;
    for (const cancel of this.cancels.values()) cancel();
    this.cancels.clear();
    return Promise.resolve();
  }

  private follow(followed: FollowedResource): void {
    if (this.stopped) return;
    const { group, resource } = followed;
    followed.reset(this.store.list(group, resource));
    const cancel = this.store.watch(group, resource, undefined, this.store.revision, {
      onEvents: (events) => {
        for (const event of events) followed.changed(event);
      },
      // The store is in the middle of replacing its history.
      onEnd: () => queueMicrotask(() => this.follow(followed)),
    });
    this.cancels.set(followed, cancel);
  }
}
