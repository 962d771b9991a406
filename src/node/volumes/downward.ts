/** The downward API: fields of a pod and figures of a container as text (`fieldRef`, `resourceFieldRef`). */
import { parseQuantity } from '../../api/quantity.js';
import type { Pod, ResourceFieldSelector } from '../../api/types/core-v1.js';

export interface DownwardFacts {
  readonly nodeName: string;
  readonly hostIps: readonly string[];
  readonly podIps: readonly string[];
  /** Stands in for limits that are not set. */
  readonly allocatable: Readonly<Record<string, string | number>>;
}

export class DownwardError extends Error {
  readonly code = 'ERR_DOWNWARD_FIELD';
}

/** The text of `fieldPath`; undefined while it is not known yet (a pod's address). Throws {@link DownwardError}. */
export function podField(pod: Pod, fieldPath: string, facts: DownwardFacts): string | undefined {
  const { metadata, spec } = pod;
  const keyed = /^metadata\.(labels|annotations)\['([^']+)'\]$/.exec(fieldPath);
  if (keyed) return (keyed[1] === 'labels' ? metadata.labels : metadata.annotations)?.[keyed[2] ?? ''] ?? '';
  switch (fieldPath) {
    case 'metadata.name':
      return metadata.name ?? '';
    case 'metadata.namespace':
      return metadata.namespace ?? '';
    case 'metadata.uid':
      return metadata.uid ?? '';
    case 'metadata.labels':
      return keyValues(metadata.labels);
    case 'metadata.annotations':
      return keyValues(metadata.annotations);
    case 'spec.nodeName':
      return spec?.nodeName ?? facts.nodeName;
    case 'spec.serviceAccountName':
      return spec?.serviceAccountName ?? '';
    case 'status.hostIP':
      return facts.hostIps[0];
    case 'status.hostIPs':
      return facts.hostIps.join(',');
    case 'status.podIP':
      return facts.podIps[0];
    case 'status.podIPs':
      return facts.podIps.length > 0 ? facts.podIps.join(',') : undefined;
    default:
      throw new DownwardError(`unsupported fieldPath: ${fieldPath}`);
  }
}

const keyValues = (map: Readonly<Record<string, string>> = {}) =>
  Object.entries(map)
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    .sort()
    .join('\n');

/** The figure asked for, divided and rounded up as Kubernetes does. Throws {@link DownwardError}. */
export function resourceField(
  pod: Pod,
  selector: ResourceFieldSelector,
  containerName: string,
  facts: DownwardFacts,
): string {
  const name = selector.containerName ?? containerName;
  const { containers, initContainers = [] } = pod.spec ?? { containers: [] };
  const container = [...containers, ...initContainers].find((one) => one.name === name);
  if (!container) throw new DownwardError(`container ${name} not found`);
  const [kind, ...rest] = selector.resource.split('.');
  const resource = rest.join('.');
  const { limits = {}, requests = {} } = container.resources ?? {};
  if (kind !== 'limits' && kind !== 'requests') throw new DownwardError(`unsupported resource: ${selector.resource}`);
  const fallback = kind === 'limits' ? facts.allocatable[resource] : (limits[resource] ?? 0);
  const value = parseQuantity((kind === 'limits' ? limits : requests)[resource] ?? fallback ?? 0).nano;
  const given = parseQuantity(selector.divisor ?? '1').nano;
  const divisor = given === 0n ? 1_000_000_000n : given;
  return String((value + divisor - 1n) / divisor);
}
