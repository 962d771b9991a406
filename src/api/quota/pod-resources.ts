/** What a pod requests and is limited to as a whole (component-helpers `resource.PodRequests`, `PodLimits`). */
import type { DeepReadonly } from '../object.js';
import type { Container, PodSpec } from '../types/core-v1.js';
import { addTo, amountsOf, raiseTo, type Amounts } from './amounts.js';
import type { Quantity } from '../quantity.js';

type Spec = DeepReadonly<PodSpec> | undefined;

/**
 * Containers and sidecars (init containers that keep running) together, at least what any init container has beside the
 * sidecars started before it.
 */
function whole(spec: Spec, which: 'requests' | 'limits'): Map<string, Quantity> {
  const of = (container: DeepReadonly<Container>) => amountsOf(container.resources?.[which]);
  const total = new Map<string, Quantity>();
  for (const container of spec?.containers ?? []) addTo(total, of(container));
  if ((spec?.initContainers ?? []).length === 0) return total;
  const sidecars = new Map<string, Quantity>();
  const peak = new Map<string, Quantity>();
  for (const container of spec?.initContainers ?? []) {
    const needs = of(container);
    if (container.restartPolicy === 'Always') {
      addTo(total, needs);
      addTo(sidecars, needs);
      raiseTo(peak, sidecars);
    } else {
      addTo(needs, sidecars);
      raiseTo(peak, needs);
    }
  }
  raiseTo(total, peak);
  return total;
}

/** `overhead` false leaves out what the runtime class adds. */
export function podRequests(spec: Spec, overhead = true): Amounts {
  const total = whole(spec, 'requests');
  if (overhead && spec?.overhead) addTo(total, amountsOf(spec.overhead));
  return total;
}

/** The overhead raises only limits that there are. */
export function podLimits(spec: Spec, overhead = true): Amounts {
  const total = whole(spec, 'limits');
  if (!overhead || !spec?.overhead) return total;
  for (const [name, amount] of amountsOf(spec.overhead)) {
    const present = total.get(name);
    if (present !== undefined && !present.isZero) total.set(name, present.add(amount));
  }
  return total;
}
