/**
 * Keeps the registry in step with the CustomResourceDefinitions applied on this peer, synchronously: when a write of a
 * definition is visible here, so is its kind. Begins anew after a restart, a catch-up or a merge.
 */
import type { Logger } from '../../../base/log.js';
import { kindsOf } from '../../../api/customresources/kinds.js';
import { asDefinition, DEFINITIONS } from '../../../api/customresources/status.js';
import type { KubeObject } from '../../../api/object.js';
import type { KindRegistry, ResourceInfo } from '../../../api/schema/registry.js';
import { StoreFollower } from '../../../store/follower.js';
import type { ObjectReader, StoreEvent } from '../../../store/object-store.js';

class RegisteredKinds {
  readonly group = DEFINITIONS.group;
  readonly resource = DEFINITIONS.resource;
  private readonly registered = new Map<string, readonly ResourceInfo[]>();

  constructor(private readonly registry: KindRegistry) {}

  reset(objects: readonly KubeObject[]): void {
    const present = new Set(objects.map(({ metadata }) => metadata.name ?? ''));
    for (const name of this.registered.keys()) if (!present.has(name)) this.remove(name, []);
    for (const object of objects) this.add(object);
  }

  changed({ type, object, key }: StoreEvent): void {
    if (type === 'DELETED') this.remove(key.name, []);
    else this.add(object);
  }

  private add(object: KubeObject): void {
    const name = object.metadata.name ?? '';
    const kinds = kindsOf(this.registry, asDefinition(object)).filter(({ rules }) => rules?.served === true);
    this.remove(name, kinds);
    const taken = kinds.filter((kind) => this.registry.registerInfo(kind) !== undefined);
    this.registered.set(name, taken);
  }

  /** Takes away what the definition had, except for versions that stay: those are replaced in place. */
  private remove(name: string, staying: readonly ResourceInfo[]): void {
    for (const old of this.registered.get(name) ?? []) {
      const stays = staying.some((kind) => kind.version === old.version && kind.resource === old.resource);
      if (!stays) this.registry.unregister(old.group, old.version, old.resource);
    }
    this.registered.delete(name);
  }
}

/** To be started before the API is served. */
export const createKindFollower = (store: ObjectReader, registry: KindRegistry, log: Logger): StoreFollower =>
  new StoreFollower('custom-resource-kinds', store, [new RegisteredKinds(registry)], log);
