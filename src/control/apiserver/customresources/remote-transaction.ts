/**
 * A transaction in which custom resources are seen through a conversion webhook: with the answers that came with the request. What
 * they do not cover refuses the write, telling what is missing.
 */
import type { RemoteConversion, StorageView } from '../../../api/conversion/conversion.js';
import type { KubeObject } from '../../../api/object.js';
import type { ResourceInfo } from '../../../api/schema/registry.js';
import type { ObjectKey, WriteTransaction } from '../../../store/object-store.js';
import type { ConvertedObject } from '../writes/write-request.js';
import { conversionKey, missingConversion } from './webhook-conversions.js';

export class RemoteTransaction implements WriteTransaction {
  constructor(
    private readonly inner: WriteTransaction,
    private readonly info: ResourceInfo,
    private readonly view: StorageView,
    private readonly remote: RemoteConversion,
    private readonly conversions: readonly ConvertedObject[],
  ) {}

  get nowMs(): number {
    return this.inner.nowMs;
  }

  get(key: ObjectKey): KubeObject | undefined {
    const found = this.inner.get(key);
    return found !== undefined && this.isOurs(key.group, key.resource) ? this.shown(found) : found;
  }

  list(group: string, resource: string, namespace?: string): readonly KubeObject[] {
    const all = this.inner.list(group, resource, namespace);
    return this.isOurs(group, resource) ? all.map((object) => this.shown(object)) : all;
  }

  put(key: ObjectKey, object: KubeObject): KubeObject {
    if (!this.isOurs(key.group, key.resource)) return this.inner.put(key, object);
    const { remote } = this;
    const kept = object.apiVersion === remote.kept ? object : this.converted(object, remote.kept);
    const stored = this.inner.put(key, kept);
    return kept === object ? stored : { ...object, metadata: stored.metadata };
  }

  delete(key: ObjectKey): KubeObject | undefined {
    const last = this.inner.delete(key);
    return last !== undefined && this.isOurs(key.group, key.resource) ? this.shown(last) : last;
  }

  private isOurs(group: string, resource: string): boolean {
    return group === this.info.group && resource === this.info.resource;
  }

  private shown(stored: KubeObject): KubeObject {
    if (stored.apiVersion === this.remote.shown) return this.view.fromStorage(stored);
    return this.converted(stored, this.remote.shown);
  }

  private converted(object: KubeObject, to: string): KubeObject {
    return answeredConversion(this.remote, object, to, this.conversions);
  }
}

/** By the answers that came with the request. Throws what is missing among them. */
export function answeredConversion(
  remote: RemoteConversion,
  object: KubeObject,
  to: string,
  conversions: readonly ConvertedObject[],
): KubeObject {
  const key = conversionKey(object, to);
  const answer = conversions.find((conversion) => conversion.key === key);
  if (answer?.object === undefined) throw missingConversion({ to, object, webhook: remote.webhook });
  return remote.settle(object, answer.object as KubeObject);
}
