/**
 * Priority: resolves a pod's `priorityClassName` (or the cluster's default class) to the number and the preemption policy
 * that the scheduler uses, and keeps the default class single.
 */
import { forbidden } from '../../api/errors.js';
import type { Pod, PodSpec } from '../../api/types/core-v1.js';
import type { PriorityClass } from '../../api/types/scheduling-v1.js';
import { isPodCreation, type AdmissionAttributes, type AdmissionLookups, type AdmissionPlugin } from './admission.js';

const PODS = { group: '', resource: 'pods' };
const GROUP = 'scheduling.k8s.io';
const CLASSES = 'priorityclasses';

/** They hold also where nobody has made the objects. */
const SYSTEM_PRIORITIES: Readonly<Record<string, number>> = {
  'system-node-critical': 2_000_001_000,
  'system-cluster-critical': 2_000_000_000,
};

type Policy = NonNullable<PodSpec['preemptionPolicy']>;

interface Resolved {
  readonly name: string;
  readonly value: number;
  readonly policy: Policy;
}

const NO_CLASS: Resolved = { name: '', value: 0, policy: 'PreemptLowerPriority' };

const resolved = ({ metadata, value, preemptionPolicy }: PriorityClass): Resolved => ({
  name: metadata.name ?? '',
  value,
  policy: (preemptionPolicy as Policy | undefined) ?? 'PreemptLowerPriority',
});

function classNamed(name: string, lookups: AdmissionLookups): Resolved | undefined {
  const found = lookups.get(GROUP, CLASSES, '', name) as PriorityClass | undefined;
  if (found !== undefined) return resolved(found);
  const value = Object.hasOwn(SYSTEM_PRIORITIES, name) ? SYSTEM_PRIORITIES[name] : undefined;
  return value === undefined ? undefined : { ...NO_CLASS, name, value };
}

function defaultClass(lookups: AdmissionLookups): PriorityClass | undefined {
  let lowest: PriorityClass | undefined;
  // Several defaults can come out of a merge: upstream takes the lowest.
  for (const item of lookups.list(GROUP, CLASSES) as readonly PriorityClass[]) {
    if (item.globalDefault === true && (!lowest || item.value < lowest.value)) lowest = item;
  }
  return lowest;
}

function resolve(spec: PodSpec, name: string, lookups: AdmissionLookups): Resolved {
  if (spec.priorityClassName) {
    const found = classNamed(spec.priorityClassName, lookups);
    if (!found) throw forbidden(PODS, name, `no PriorityClass with name ${spec.priorityClassName} was found`);
    return found;
  }
  const fallback = defaultClass(lookups);
  return fallback === undefined ? NO_CLASS : resolved(fallback);
}

function admitPod({ object, name }: AdmissionAttributes, lookups: AdmissionLookups): void {
  const { spec } = object as Pod;
  if (!spec) return;
  const { name: className, value, policy } = resolve(spec, name, lookups);
  const why = (what: string, given: string | number, computed: string | number) =>
    `the ${what} (${given}) must not be provided in pod spec; ` +
    `priority admission controller computed ${computed} from the given PriorityClass name`;
  if (spec.priority !== undefined && spec.priority !== value) {
    throw forbidden(PODS, name, why('integer value of priority', spec.priority, value));
  }
  if (spec.preemptionPolicy !== undefined && spec.preemptionPolicy !== policy) {
    throw forbidden(PODS, name, why('string value of PreemptionPolicy', spec.preemptionPolicy, policy));
  }
  if (className !== '') spec.priorityClassName = className;
  spec.priority = value;
  spec.preemptionPolicy = policy;
}

/** A client that leaves out what admission filled in does not mean to clear it. */
function keepPriority({ object, oldObject }: AdmissionAttributes): void {
  const [spec, old] = [(object as Pod).spec, (oldObject as Pod).spec];
  if (!spec || !old) return;
  if (spec.priority === undefined && old.priority !== undefined) spec.priority = old.priority;
  if (spec.preemptionPolicy === undefined && old.preemptionPolicy) spec.preemptionPolicy = old.preemptionPolicy;
}

export const priorityAdmission: AdmissionPlugin = {
  name: 'Priority',
  handles(attributes) {
    const { operation, group, resource, subresource } = attributes;
    if (isPodCreation(attributes)) return true;
    if (subresource !== '') return false;
    return (resource === CLASSES && group === GROUP) || (operation === 'UPDATE' && resource === 'pods' && group === '');
  },

  admit(attributes, lookups) {
    if (attributes.resource !== PODS.resource) return;
    if (attributes.operation === 'CREATE') admitPod(attributes, lookups);
    else keepPriority(attributes);
  },

  validate({ operation, resource, object, name }, lookups) {
    if (resource !== CLASSES) return;
    if (operation === 'DELETE') {
      if (!Object.hasOwn(SYSTEM_PRIORITIES, name)) return;
      const why = 'this is a system priority class and cannot be deleted';
      throw forbidden({ group: GROUP, resource: CLASSES }, name, why);
    }
    if ((object as PriorityClass).globalDefault !== true) return;
    const present = defaultClass(lookups);
    if (present === undefined || present.metadata.name === name) return;
    throw forbidden(
      { group: GROUP, resource: CLASSES },
      name,
      `PriorityClass ${present.metadata.name} is already marked as default. Only one default can exist`,
    );
  },
};
