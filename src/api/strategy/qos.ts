/** The quality-of-service class of a pod (`core/v1/helper/qos`). */
import type { DeepReadonly } from '../object.js';
import { parseQuantity } from '../quantity.js';
import type { Container, PodSpec } from '../types/core-v1.js';

export type QosClass = 'Guaranteed' | 'Burstable' | 'BestEffort';

const COUNTED = ['cpu', 'memory'] as const;

/** Guaranteed: every container limits CPU and memory and requests the same. BestEffort: nobody asks for anything. */
export function qosClassOf(spec: DeepReadonly<PodSpec> | undefined): QosClass {
  const containers: DeepReadonly<Container>[] = [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])];
  let anything = false;
  let guaranteed = containers.length > 0;
  for (const { resources } of containers) {
    for (const name of COUNTED) {
      const limit = parseQuantity(resources?.limits?.[name] ?? '0');
      const stated = resources?.requests?.[name];
      const request = stated === undefined ? limit : parseQuantity(stated);
      if (!limit.isZero || !request.isZero) anything = true;
      if (limit.isZero || !request.equals(limit)) guaranteed = false;
    }
  }
  if (!anything) return 'BestEffort';
  return guaranteed ? 'Guaranteed' : 'Burstable';
}
