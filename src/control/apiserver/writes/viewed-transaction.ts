/**
 * A transaction in which one resource is seen through its view: what is read of it is converted from the storage version, what is
 * put is converted to it. All other resources, and so everything else that a write looks at, pass through.
 */
import type { StorageView } from '../../../api/conversion/conversion.js';
import type { KubeObject } from '../../../api/object.js';
import type { ResourceInfo } from '../../../api/schema/registry.js';
import type { ObjectKey, WriteTransaction } from '../../../store/object-store.js';

export class ViewedTransaction implements WriteTransaction {
  constructor(
    private readonly inner: WriteTransaction,
    private readonly info: ResourceInfo,
    private readonly view: StorageView,
  ) {}

  get nowMs(): number {
    return this.inner.nowMs;
  }

  get(key: ObjectKey): KubeObject | undefined {
    if (!this.isViewed(key.group, key.resource)) return this.inner.get(key);
    const found = this.inner.get(this.stored(key));
    return found && this.view.fromStorage(found);
  }

  list(group: string, resource: string, namespace?: string): readonly KubeObject[] {
    if (!this.isViewed(group, resource)) return this.inner.list(group, resource, namespace);
    const { storage } = this.view;
    return this.inner.list(storage.group, storage.resource, namespace).map((object) => this.view.fromStorage(object));
  }

  put(key: ObjectKey, object: KubeObject): KubeObject {
    if (!this.isViewed(key.group, key.resource)) return this.inner.put(key, object);
    return this.view.fromStorage(this.inner.put(this.stored(key), this.view.toStorage(object)));
  }

  delete(key: ObjectKey): KubeObject | undefined {
    if (!this.isViewed(key.group, key.resource)) return this.inner.delete(key);
    const last = this.inner.delete(this.stored(key));
    return last && this.view.fromStorage(last);
  }

  private isViewed(group: string, resource: string): boolean {
    return group === this.info.group && resource === this.info.resource;
  }

  private stored(key: ObjectKey): ObjectKey {
    const { group, resource } = this.view.storage;
    return { ...key, group, resource };
  }
}
