/** Rules of changes to pods (core/v1 `ValidatePodUpdate`): little may change once a pod exists. */
import type { DeepReadonly } from '../object.js';
import { semanticEqual } from '../strategy/equality.js';
import type { Pod, PodSpec, Toleration } from '../types/core-v1.js';
import { lineDifference } from './difference.js';
import type { FieldErrors } from './field-errors.js';

type ReadSpec = DeepReadonly<PodSpec>;

const FROZEN_TEXT =
  'pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)';

const imagesOf = (list: ReadSpec['containers'] | undefined, before: ReadSpec['containers'] | undefined) =>
  list?.map((container, index) => {
    const image = before?.[index]?.image;
    return image === undefined ? container : { ...container, image };
  });

/** The spec with everything that may change taken from `old`. */
function withOldMutable(spec: ReadSpec, old: ReadSpec): Record<string, unknown> {
  const compared: Record<string, unknown> = { ...spec };
  const keep = (field: keyof PodSpec) => {
    if (old[field] === undefined) delete compared[field];
    else compared[field] = old[field];
  };
  compared['containers'] = imagesOf(spec.containers, old.containers);
  if (spec.initContainers !== undefined) {
    compared['initContainers'] = imagesOf(spec.initContainers, old.initContainers);
  }
  keep('activeDeadlineSeconds');
  keep('tolerations');
  keep('schedulingGates');
  if ((old.terminationGracePeriodSeconds ?? 0) < 0 && spec.terminationGracePeriodSeconds === 1) {
    keep('terminationGracePeriodSeconds');
  }
  if ((old.schedulingGates ?? []).length === 0) return compared;
  // What may change while gates hold a pod back has been looked at by itself.
  keep('nodeSelector');
  if (spec.affinity?.nodeAffinity !== undefined || old.affinity?.nodeAffinity !== undefined) {
    const { nodeAffinity: _now, ...affinity } = spec.affinity ?? {};
    const nodeAffinity = old.affinity?.nodeAffinity;
    compared['affinity'] = { ...affinity, ...(nodeAffinity === undefined ? {} : { nodeAffinity }) };
  }
  return compared;
}

type Required = NonNullable<ReadSpec['affinity']>['nodeAffinity'];
const termsOf = (affinity: Required) =>
  affinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? [];

/** While gates hold a pod back, where it may go can be narrowed down, never widened. */
function validateGated(errors: FieldErrors, spec: ReadSpec, old: ReadSpec): void {
  for (const [key, value] of Object.entries(old.nodeSelector ?? {})) {
    if (spec.nodeSelector?.[key] === value) continue;
    const text = 'only additions are allowed to spec.nodeSelector (no mutations or deletions)';
    errors.invalid('spec.nodeSelector', spec.nodeSelector, text);
    break;
  }
  const [now, before] = [termsOf(spec.affinity?.nodeAffinity), termsOf(old.affinity?.nodeAffinity)];
  if (before.length === 0) return;
  const at = 'spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms';
  if (now.length !== before.length) {
    errors.invalid(at, now, 'no additions/deletions to non-empty NodeSelectorTerms list are allowed');
    return;
  }
  before.forEach((term, index) => {
    for (const list of ['matchExpressions', 'matchFields'] as const) {
      const kept = term[list]?.every((entry) => now[index]?.[list]?.some((other) => semanticEqual(entry, other)));
      if (kept === false) {
        errors.invalid(`${at}[${index}]`, now[index], 'only additions are allowed (no mutations or deletions)');
      }
    }
  });
}

const sameToleration = (a: DeepReadonly<Toleration>, b: DeepReadonly<Toleration>) =>
  semanticEqual({ ...a, tolerationSeconds: 0 }, { ...b, tolerationSeconds: 0 });

export function validatePodUpdate(errors: FieldErrors, pod: DeepReadonly<Pod>, before: DeepReadonly<Pod>): void {
  const { spec } = pod;
  const old = before.spec;
  if (spec === undefined || old === undefined) return;
  for (const list of ['containers', 'initContainers'] as const) {
    if ((spec[list] ?? []).length !== (old[list] ?? []).length) {
      errors.forbidden(`spec.${list}`, 'pod updates may not add or remove containers');
      return;
    }
    (spec[list] ?? []).forEach(({ image }, index) => {
      if (!image) errors.required(`spec.${list}[${index}].image`);
    });
  }
  const deadline = spec.activeDeadlineSeconds;
  if (old.activeDeadlineSeconds !== undefined) {
    if (deadline === undefined)
      errors.invalid('spec.activeDeadlineSeconds', null, 'must not update from a positive integer to nil value');
    else if (deadline > old.activeDeadlineSeconds) {
      errors.invalid('spec.activeDeadlineSeconds', deadline, 'must be less than or equal to previous value');
    }
  }
  for (const toleration of old.tolerations ?? []) {
    if (!(spec.tolerations ?? []).some((entry) => sameToleration(entry, toleration))) {
      errors.forbidden('spec.tolerations', 'existing toleration can not be modified except its tolerationSeconds');
      break;
    }
  }
  const gates = new Set((old.schedulingGates ?? []).map(({ name }) => name));
  for (const { name } of spec.schedulingGates ?? []) {
    if (!gates.has(name))
      errors.forbidden('spec.schedulingGates', 'only deletion is allowed, but found new scheduling gate');
  }
  if (gates.size > 0) validateGated(errors, spec, old);
  const compared = withOldMutable(spec, old);
  if (!semanticEqual(compared, old)) errors.forbidden('spec', `${FROZEN_TEXT}\n${lineDifference(compared, old)}`);
}

/** Ephemeral containers are only ever added. */
export function validateEphemeralUpdate(errors: FieldErrors, pod: DeepReadonly<Pod>, old: DeepReadonly<Pod>): void {
  const now = new Map((pod.spec?.ephemeralContainers ?? []).map((container) => [container.name, container]));
  for (const container of old.spec?.ephemeralContainers ?? []) {
    const found = now.get(container.name);
    const name = JSON.stringify(container.name);
    if (found === undefined) {
      errors.forbidden('spec.ephemeralContainers', `existing ephemeral containers ${name} may not be removed\n`);
    } else if (!semanticEqual(found, container)) {
      errors.forbidden('spec.ephemeralContainers', `existing ephemeral containers ${name} may not be changed\n`);
    }
  }
}
