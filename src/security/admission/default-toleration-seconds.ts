/** DefaultTolerationSeconds. Upstream waits 300 s; here a lost machine is noticed and replaced within seconds. */
import type { Pod, Toleration } from '../../api/types/core-v1.js';
import { isPodCreation, type AdmissionPlugin } from './admission.js';

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

export function defaultTolerationSeconds(options: DefaultTolerationOptions): AdmissionPlugin {
  const defaults: readonly (readonly [string, number])[] = [
    ['node.kubernetes.io/not-ready', options.notReadySeconds],
    ['node.kubernetes.io/unreachable', options.unreachableSeconds],
  ];
  return {
    name: 'DefaultTolerationSeconds',
    handles: isPodCreation,
    admit({ object }) {
      const { spec } = object as Pod;
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
