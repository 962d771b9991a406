/** Admission of pods: service account, tolerations of a lost node, priority. */
import { forbidden } from '../../api/errors.js';
import type { KubeObject } from '../../api/object.js';
import type { Pod, PodSpec, ServiceAccount, Toleration } from '../../api/types/core-v1.js';
import type { PriorityClass } from '../../api/types/scheduling-v1.js';
import type { AdmissionAttributes, AdmissionLookups, AdmissionPlugin } from './admission.js';

const PODS = { group: '', resource: 'pods' };
const MIRROR_ANNOTATION = 'kubernetes.io/config.mirror';

const isPodCreation = ({ operation, group, resource, subresource }: AdmissionAttributes) =>
  operation === 'CREATE' && group === '' && resource === 'pods' && subresource === '';

/** The spec of the pod being created; the decoder has checked its types. */
const specOf = (object: KubeObject | undefined): PodSpec | undefined => (object as Pod | undefined)?.spec;

/**
 * ServiceAccount: names the `default` account where none is named, requires the account, and takes over its image pull
 * secrets. Token volumes are added only where tokens can be issued, which is another plugin's part.
 */
export const serviceAccountAdmission: AdmissionPlugin = {
  name: 'ServiceAccount',
  handles: isPodCreation,
  admit({ object, namespace, name }, lookups) {
    const spec = specOf(object);
    if (!object || !spec || object.metadata.annotations?.[MIRROR_ANNOTATION] !== undefined) return;
    const account = spec.serviceAccountName ?? spec.serviceAccount ?? 'default';
    spec.serviceAccountName = account;
    spec.serviceAccount = account;
    const present = lookups.get('', 'serviceaccounts', namespace, account) as ServiceAccount | undefined;
    if (present === undefined) {
      // The account of a new namespace is made by a controller a moment later; upstream refuses until it is there, and
      // workload controllers retry. `default` carries nothing that a pod would miss here, so pods need not wait for it.
      if (account === 'default') return;
      throw forbidden(
        PODS,
        name,
        `error looking up service account ${namespace}/${account}: serviceaccount "${account}" not found`,
      );
    }
    const secrets = present.imagePullSecrets ?? [];
    if ((spec.imagePullSecrets ?? []).length === 0 && secrets.length > 0) {
      spec.imagePullSecrets = secrets.map((secret) => ({ ...secret }));
    }
  },
};

export interface DefaultTolerationOptions {
  /** Seconds a pod stays bound to a node that is not ready or unreachable, unless it says otherwise. */
  readonly notReadySeconds: number;
  readonly unreachableSeconds: number;
}

const tolerates = (tolerations: readonly Toleration[], key: string) =>
  tolerations.some(
    (toleration) =>
      (toleration.key === key || (toleration.key ?? '') === '') &&
      ((toleration.effect ?? '') === '' || toleration.effect === 'NoExecute'),
  );

/** DefaultTolerationSeconds. Upstream waits 300 s; here a lost machine is noticed and replaced within seconds. */
export function defaultTolerationSeconds(options: DefaultTolerationOptions): AdmissionPlugin {
  const defaults: readonly (readonly [string, number])[] = [
    ['node.kubernetes.io/not-ready', options.notReadySeconds],
    ['node.kubernetes.io/unreachable', options.unreachableSeconds],
  ];
  return {
    name: 'DefaultTolerationSeconds',
    handles: isPodCreation,
    admit({ object }) {
      const spec = specOf(object);
      if (!spec) return;
      const tolerations = spec.tolerations ?? [];
      const added = defaults
        .filter(([key]) => !tolerates(tolerations, key))
        .map(([key, tolerationSeconds]): Toleration => ({
          key,
          operator: 'Exists',
          effect: 'NoExecute',
          tolerationSeconds,
        }));
      if (added.length > 0) spec.tolerations = [...tolerations, ...added];
    },
  };
}

const SYSTEM_PRIORITIES: Readonly<Record<string, number>> = {
  'system-node-critical': 2_000_001_000,
  'system-cluster-critical': 2_000_000_000,
};

function priorityClass(
  name: string,
  lookups: AdmissionLookups,
): { value: number; policy?: NonNullable<PodSpec['preemptionPolicy']> } | undefined {
  const system = SYSTEM_PRIORITIES[name];
  const found = lookups.get('scheduling.k8s.io', 'priorityclasses', '', name) as PriorityClass | undefined;
  if (found === undefined) return system === undefined ? undefined : { value: system };
  return { value: found.value, ...(found.preemptionPolicy ? { policy: found.preemptionPolicy } : {}) };
}

/** Priority: resolves `priorityClassName` (or the global default) to the number the scheduler uses. */
export const priorityAdmission: AdmissionPlugin = {
  name: 'Priority',
  handles: isPodCreation,
  admit({ object, name }, lookups) {
    const spec = specOf(object);
    if (!spec) return;
    let resolved: { value: number; policy?: NonNullable<PodSpec['preemptionPolicy']> } = { value: 0 };
    if (spec.priorityClassName) {
      const found = priorityClass(spec.priorityClassName, lookups);
      if (!found) throw forbidden(PODS, name, `no PriorityClass with name ${spec.priorityClassName} was found`);
      resolved = found;
    } else {
      const fallback = globalDefault(lookups);
      if (fallback) {
        spec.priorityClassName = fallback.metadata?.name ?? '';
        resolved = {
          value: fallback.value,
          ...(fallback.preemptionPolicy ? { policy: fallback.preemptionPolicy } : {}),
        };
      }
    }
    if (spec.priority !== undefined && spec.priority !== resolved.value) {
      throw forbidden(
        PODS,
        name,
        `the integer value of priority (${spec.priority}) must not be provided in pod spec; ` +
          `priority admission controller computed ${resolved.value} from the given PriorityClass name`,
      );
    }
    spec.priority = resolved.value;
    spec.preemptionPolicy ??= resolved.policy ?? 'PreemptLowerPriority';
  },
};

function globalDefault(lookups: AdmissionLookups): PriorityClass | undefined {
  const classes = lookups.list('scheduling.k8s.io', 'priorityclasses') as readonly PriorityClass[];
  let lowest: PriorityClass | undefined;
  // Several defaults: upstream takes the lowest.
  for (const item of classes) if (item.globalDefault && (!lowest || item.value < lowest.value)) lowest = item;
  return lowest;
}
