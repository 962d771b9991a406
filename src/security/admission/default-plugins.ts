/**
 * The plugins of a cluster, in upstream's order.
 *
 * Subresources: an object written through one reaches the plugins as an UPDATE with `subresource` set. Those that judge what
 * users ask for let `status`, `scale`, `finalize` and the like pass: only PodSecurity looks at `pods/ephemeralcontainers`. An eviction
 * reaches them as the DELETE of its pod, a binding does not reach them.
 */
import type { Random } from '../../base/random.js';
import { AdmissionChain, type AdmissionPlugin } from './admission.js';
import { certificateRequestAdmission } from './certificates.js';
import { defaultIngressClass } from './default-ingress-class.js';
import { defaultTolerationSeconds, type DefaultTolerationOptions } from './default-toleration-seconds.js';
import { limitRanger } from './limit-ranger.js';
import { namespaceLifecycle } from './namespace-lifecycle.js';
import { nodeRestriction } from './node-restriction.js';
import { rbacEscalation } from './rbac-escalation.js';
import { serviceAccountAdmission, serviceAccountWarnings } from './service-account.js';
import { podSecurity } from './pod-security/plugin.js';
import { priorityAdmission } from './priority.js';
import { ResourceQuotaAdmission } from './resource-quota.js';
import { runtimeClass } from './runtime-class.js';
import { DEFAULT_SERVICE_ALLOCATION, ServiceAllocation, type ServiceAllocationOptions } from './service-allocation.js';
import { defaultStorageClass, persistentVolumeClaimResize, storageObjectInUseProtection } from './storage.js';
import { taintNodesByCondition } from './taint-nodes.js';

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

/** `more` run where upstream's webhooks do: after the built-in plugins, before the quota. */
export function createDefaultAdmission(
  deps: { readonly random: Random },
  options: AdmissionOptions = DEFAULT_ADMISSION,
  more: readonly AdmissionPlugin[] = [],
): DefaultAdmission {
  const services = new ServiceAllocation(deps, options.services);
  const chain = new AdmissionChain([
    namespaceLifecycle,
    limitRanger,
    serviceAccountAdmission(deps),
    serviceAccountWarnings,
    nodeRestriction,
    taintNodesByCondition,
    podSecurity,
    priorityAdmission,
    defaultTolerationSeconds(options.tolerations),
    defaultStorageClass,
    storageObjectInUseProtection,
    persistentVolumeClaimResize,
    runtimeClass,
    certificateRequestAdmission,
    defaultIngressClass,
    ...more,
    // Upstream allocates while it stores, so after all that may change a Service.
    services,
    // Upstream asks while it stores as well.
    rbacEscalation,
    // Last: what is refused is not charged.
    new ResourceQuotaAdmission(),
  ]);
  return { chain, services };
}
