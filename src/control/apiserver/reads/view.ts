/** The view through which a resource is read, whether it is named by the registry's entry or by a component's constant. */
import { builtInView, type StorageView } from '../../../api/conversion/conversion.js';
import type { ResourceRef } from '../../../api/resource.js';
import type { ResourceInfo } from '../../../api/schema/registry.js';

export function viewOf(resource: ResourceRef): StorageView | undefined {
  if ('view' in resource) return (resource as ResourceInfo).view;
  return builtInView(resource.group, resource.version, resource.resource);
}
