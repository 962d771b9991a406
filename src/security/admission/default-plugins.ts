/** The plugins of a cluster, in upstream's order. */
import type { Random } from '../../base/random.js';
import { AdmissionChain, type AdmissionPlugin } from './admission.js';
import { namespaceLifecycle } from './namespace-lifecycle.js';
import {
  defaultTolerationSeconds,
  priorityAdmission,
  serviceAccountAdmission,
  type DefaultTolerationOptions,
} from './pod-plugins.js';
import { DEFAULT_SERVICE_ALLOCATION, ServiceAllocation, type ServiceAllocationOptions } from './service-allocation.js';

export interface AdmissionOptions {
  readonly services: ServiceAllocationOptions;
  readonly tolerations: DefaultTolerationOptions;
}

export const DEFAULT_ADMISSION: AdmissionOptions = Object.freeze({
  services: DEFAULT_SERVICE_ALLOCATION,
  tolerations: Object.freeze({ notReadySeconds: 5, unreachableSeconds: 5 }),
});

export interface DefaultAdmission {
  readonly chain: AdmissionChain;
  /** Wants to hear of Service changes; see {@link ServiceAllocation.observe}. */
  readonly services: ServiceAllocation;
}

/** `more` run after the built-in plugins. */
export function createDefaultAdmission(
  deps: { readonly random: Random },
  options: AdmissionOptions = DEFAULT_ADMISSION,
  more: readonly AdmissionPlugin[] = [],
): DefaultAdmission {
  const services = new ServiceAllocation(deps, options.services);
  const chain = new AdmissionChain([
    namespaceLifecycle,
    serviceAccountAdmission,
    priorityAdmission,
    defaultTolerationSeconds(options.tolerations),
    services,
    ...more,
  ]);
  return { chain, services };
}
