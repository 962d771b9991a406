/** Tells which Services a pod's change concerns. */
import { keyOf } from '../../../api/object.js';
import type { Pod, Service } from '../../../api/types/core-v1.js';
import type { Informer } from '../../../client/informer.js';
import { BY_NAMESPACE } from '../informer-set.js';
import { changesEndpoints, hasSelector, selects } from './service-pods.js';

/** Calls `wake` with the key of every Service that selects a changed pod, or selected it before the change. */
export function onServicePods(services: Informer<Service>, pods: Informer<Pod>, wake: (key: string) => void): void {
  const wakeFor = (pod: Pod, previous: Pod | undefined) => {
    for (const service of services.byIndex(BY_NAMESPACE, pod.metadata.namespace ?? '')) {
      if (!hasSelector(service)) continue;
      const matches = selects(service, pod.metadata.labels) || (previous && selects(service, previous.metadata.labels));
      if (matches) wake(keyOf(service));
    }
  };
  pods.addHandler({
    onUpsert: (pod, previous) => {
      if (changesEndpoints(pod, previous)) wakeFor(pod, previous);
    },
    onDelete: (pod) => wakeFor(pod, undefined),
  });
}
