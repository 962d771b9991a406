/** RuntimeClass: a pod's class must exist; its overhead and its rules of placement become the pod's. */
import { forbidden } from '../../api/errors.js';
import { semanticEqual } from '../../api/strategy/equality.js';
import type { Pod, PodSpec } from '../../api/types/core-v1.js';
import type { RuntimeClass } from '../../api/types/node-v1.js';
import { isPodCreation, type AdmissionAttributes, type AdmissionLookups, type AdmissionPlugin } from './admission.js';

const refuse = (name: string, why: string) => forbidden({ group: '', resource: 'pods' }, name, why);
const isEmpty = (amounts: object | undefined) => amounts === undefined || Object.keys(amounts).length === 0;

function classOf({ name }: AdmissionAttributes, spec: PodSpec, lookups: AdmissionLookups): RuntimeClass | undefined {
  const wanted = spec.runtimeClassName ?? '';
  if (wanted === '') return undefined;
  const found = lookups.get('node.k8s.io', 'runtimeclasses', '', wanted) as RuntimeClass | undefined;
  if (!found) throw refuse(name, `pod rejected: RuntimeClass "${wanted}" not found`);
  return found;
}

export const runtimeClass: AdmissionPlugin = {
  name: 'RuntimeClass',
  handles: (attributes) => {
    if (!isPodCreation(attributes)) return false;
    const { spec } = attributes.object as Pod;
    return (spec?.runtimeClassName ?? '') !== '' || spec?.overhead !== undefined;
  },

  admit(attributes, lookups) {
    const { spec } = attributes.object as Pod;
    const found = spec && classOf(attributes, spec, lookups);
    if (!spec || !found) return;
    setOverhead(attributes.name, spec, found);
    setPlacement(attributes.name, spec, found);
  },

  validate(attributes, lookups) {
    const { spec } = attributes.object as Pod;
    if (!spec || isEmpty(spec.overhead)) return;
    if (isEmpty(classOf(attributes, spec, lookups)?.overhead?.podFixed)) {
      throw refuse(
        attributes.name,
        'pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead',
      );
    }
  },
};

function setOverhead(name: string, spec: PodSpec, { overhead }: RuntimeClass): void {
  const fixed = overhead?.podFixed;
  if (fixed === undefined || isEmpty(fixed)) return;
  if (!isEmpty(spec.overhead) && !semanticEqual(spec.overhead, fixed)) {
    throw refuse(name, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead");
  }
  spec.overhead = { ...fixed };
}

function setPlacement(name: string, spec: PodSpec, { scheduling }: RuntimeClass): void {
  for (const [key, value] of Object.entries(scheduling?.nodeSelector ?? {})) {
    const own = spec.nodeSelector?.[key];
    if (own !== undefined && own !== value) {
      throw refuse(
        name,
        `conflict: runtimeClass.scheduling.nodeSelector[${key}] = ${value}; pod.spec.nodeSelector[${key}] = ${own}`,
      );
    }
    spec.nodeSelector = { ...spec.nodeSelector, [key]: value };
  }
  for (const toleration of scheduling?.tolerations ?? []) {
    const present = spec.tolerations ?? [];
    if (!present.some((own) => semanticEqual(own, toleration))) spec.tolerations = [...present, { ...toleration }];
  }
}
