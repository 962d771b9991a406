/** Where a Service is reached from here: a ready endpoint of its slices. */
import type { Random } from '../../../base/random.js';
import type { KubeObject } from '../../../api/object.js';
import type { Service } from '../../../api/types/core-v1.js';
import type { EndpointSlice } from '../../../api/types/discovery-v1.js';

export interface ServiceTarget {
  readonly namespace: string;
  readonly name: string;
  readonly port: number;
}

export interface ResolverDeps {
  readonly random: Random;
  readonly objects: {
    get(key: { group: string; resource: string; namespace: string; name: string }): KubeObject | undefined;
    list(group: string, resource: string, namespace?: string): readonly KubeObject[];
  };
}

/** Why there is no address. */
export class UnresolvedService extends Error {
  readonly code = 'ERR_UNRESOLVED_SERVICE';
}

const SERVICE_LABEL = 'kubernetes.io/service-name';

/** Throws {@link UnresolvedService}. */
export function resolveService(
  { objects, random }: ResolverDeps,
  { namespace, name, port }: ServiceTarget,
): { host: string; port: number } {
  const service = objects.get({ group: '', resource: 'services', namespace, name }) as Service | undefined;
  if (!service?.spec) throw new UnresolvedService(`service "${name}" not found`);
  if (service.spec.type === 'ExternalName') return { host: service.spec.externalName ?? '', port };
  const wanted = service.spec.ports?.find((candidate) => candidate.port === port);
  if (wanted === undefined) throw new UnresolvedService(`no service port ${port} found for service "${name}"`);
  const found: { host: string; port: number }[] = [];
  for (const object of objects.list('discovery.k8s.io', 'endpointslices', namespace)) {
    if (object.metadata.labels?.[SERVICE_LABEL] !== name) continue;
    const slice = object as unknown as EndpointSlice;
    const target = slice.ports?.find((candidate) => (candidate.name ?? '') === (wanted.name ?? ''))?.port;
    if (target === undefined) continue;
    for (const { addresses, conditions } of slice.endpoints ?? []) {
      if (conditions?.ready === false) continue;
      for (const host of addresses) found.push({ host, port: target });
    }
  }
  const chosen = found[found.length > 1 ? random.int(found.length) : 0];
  if (chosen === undefined) throw new UnresolvedService(`no endpoints available for service "${name}"`);
  return chosen;
}
