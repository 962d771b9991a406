/** Reads the objects that containers and volumes refer to, from what this peer has: also when it is alone. */
import type { KubeObject } from '../../api/object.js';
import { CONFIGMAPS, SECRETS, SERVICES, type ResourceRef } from '../../api/resource.js';
import type { ConfigMap, Secret, Service } from '../../api/types/core-v1.js';
import type { Client } from '../../client/client.js';

export interface ObjectSource {
  configMap(namespace: string, name: string): Promise<ConfigMap | undefined>;
  secret(namespace: string, name: string): Promise<Secret | undefined>;
  services(namespace: string): Promise<readonly Service[]>;
}

export function objectSource(client: Client): ObjectSource {
  // A list at revision 0 is answered from this peer's memory, a get may have to ask another.
  const one = async <T extends KubeObject>(resource: ResourceRef, namespace: string, name: string) => {
    const { items } = await client.list<T>(resource, {
      namespace,
      fieldSelector: `metadata.name=${name}`,
      resourceVersion: '0',
    });
    return items.find((item) => item.metadata.name === name && item.metadata.namespace === namespace);
  };
  return {
    configMap: (namespace, name) => one<ConfigMap>(CONFIGMAPS, namespace, name),
    secret: (namespace, name) => one<Secret>(SECRETS, namespace, name),
    services: async (namespace) =>
      (await client.list<Service>(SERVICES, { namespace, resourceVersion: '0' })).items.filter(
        (service) => service.metadata.namespace === namespace,
      ),
  };
}
