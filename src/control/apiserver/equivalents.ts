/**
 * Resources that serve the same objects under several names: versions of one group, and cohabitants such as the two kinds of
 * Event. Rules of admission that name one of them are about all, and see objects as the one that they name shows them.
 */
import type { RemoteConversion } from '../../api/conversion/conversion.js';
import type { KubeObject } from '../../api/object.js';
import { apiVersionOf } from '../../api/resource.js';
import type { KindRegistry, ResourceInfo } from '../../api/schema/registry.js';
import { toScale } from '../../api/strategy/scale.js';
import type { ResourceVersion } from '../../security/admission/policy/matching.js';

export interface GroupVersionKind {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
}

const storageOf = (info: ResourceInfo) => info.view?.storage ?? info;

/** The other resources of a registry that are stored in the same place. */
export function equivalentsIn(registry: KindRegistry): (of: ResourceVersion) => readonly ResourceInfo[] {
  return ({ group, version, resource }) => {
    const info = registry.find(group, version, resource);
    if (info === undefined) return [];
    const { group: storedGroup, resource: storedResource } = storageOf(info);
    return registry.all().filter((other) => {
      const storage = storageOf(other);
      return other !== info && storage.group === storedGroup && storage.resource === storedResource;
    });
  };
}

/**
 * An object of the resource `of` as its equivalent `as` shows it; what is of another kind (the body of a subresource) stays as it
 * is. Never changes its argument. `remote` does what needs a conversion webhook.
 */
export function inVersion<Remote>(
  registry: KindRegistry,
  object: KubeObject,
  of: ResourceVersion,
  as: ResourceVersion,
  remote: (conversion: RemoteConversion, object: KubeObject) => Remote,
): KubeObject | Remote {
  const from = registry.find(of.group, of.version, of.resource);
  const to = registry.find(as.group, as.version, as.resource);
  if (from === undefined || to === undefined || from === to) return object;
  if (object.kind !== from.kind || object.apiVersion !== apiVersionOf(from)) return object;
  if (to.view?.remote) return remote(to.view.remote, object);
  const stored = from.view?.toStorage(object) ?? object;
  return to.view?.fromStorage(stored) ?? { ...stored, apiVersion: apiVersionOf(to) };
}

/** The kind that a resource's, or subresource's, requests are about; undefined for one that is not served. */
export function sentKind(
  registry: KindRegistry,
  { group, version, resource, subresource }: ResourceVersion & { readonly subresource: string },
): GroupVersionKind | undefined {
  const info = registry.find(group, version, resource);
  return subresource === '' ? info : info?.subresources.get(subresource);
}

/** The present object as a subresource shows it. */
export function subresourceView(
  registry: KindRegistry,
  { group, version, resource, subresource }: ResourceVersion & { readonly subresource: string },
  object: KubeObject,
): KubeObject {
  if (subresource !== 'scale' || object.kind === 'Scale') return object;
  const info = registry.find(group, version, resource);
  return info === undefined ? object : toScale(info, object);
}
