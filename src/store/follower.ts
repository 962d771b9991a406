/**
 * Follows resources of this peer's store: all present objects at first, then every change as it is applied, synchronously and in
 * revision order. When the history is replaced (a merge, a catch-up from a snapshot) it begins again with all objects, so
 * that an index fed by it can never keep what is gone. An object that an index cannot take is logged and left out: it must not
 * stop the store from applying, nor keep the others out.
 */
import type { Service } from '../base/lifecycle.js';
import { errorText, type Logger } from '../base/log.js';
import type { KubeObject } from '../api/object.js';
import { keyString, type ObjectReader, type StoreEvent } from './object-store.js';

export interface FollowedResource {
  readonly group: string;
  readonly resource: string;
  /** The complete state; what was known before is void. */
  reset(objects: readonly KubeObject[]): void;
  /** One change after that. */
  changed(event: StoreEvent): void;
}

export class StoreFollower implements Service {
  private readonly cancels = new Map<FollowedResource, () => void>();
  private stopped = false;

  constructor(
    readonly name: string,
    private readonly store: ObjectReader,
    private readonly resources: readonly FollowedResource[],
    private readonly log: Logger,
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
    this.reset(followed, this.store.list(group, resource));
    const cancel = this.store.watch(group, resource, undefined, this.store.revision, {
      onEvents: (events) => {
        for (const event of events) this.change(followed, event);
      },
      // The store is in the middle of replacing its history.
      onEnd: () => queueMicrotask(() => this.follow(followed)),
    });
    this.cancels.set(followed, cancel);
  }
  private reset(followed: FollowedResource, objects: readonly KubeObject[]): void {
    try {
      followed.reset(objects);
    } catch {
      // All but those that cannot be taken.
      const { group, resource } = followed;
      followed.reset([]);
      for (const object of objects) {
        const { namespace = '', name = '', resourceVersion } = object.metadata;
        const key = { group, resource, namespace, name };
        const revision = Number(resourceVersion);
        this.change(followed, { type: 'ADDED', key, object, previous: undefined, revision });
      }
    }
  }

  private change(followed: FollowedResource, event: StoreEvent): void {
    try {
      followed.changed(event);
    } catch (error) {
      this.log.error('an object cannot be followed', {
        follower: this.name,
        key: keyString(event.key),
        error: errorText(error),
      });
    }
  }
}
