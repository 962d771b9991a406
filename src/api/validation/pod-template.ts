/** Rules of pod templates. */
import type { DeepReadonly } from '../object.js';
import type { PodTemplate, PodTemplateSpec } from '../types/core-v1.js';
import type { FieldErrors } from './field-errors.js';
import { validateAnnotations, validateLabels } from './metadata.js';
import { validatePodSpec } from './pod.js';

type Template = DeepReadonly<PodTemplateSpec> | undefined;

export function validatePodTemplate(errors: FieldErrors, at: string, template: Template): void {
  validateLabels(errors, `${at}.metadata.labels`, template?.metadata?.labels);
  validateAnnotations(errors, `${at}.metadata.annotations`, template?.metadata?.annotations);
  validatePodSpec(errors, `${at}.spec`, template?.spec);
  if ((template?.spec?.ephemeralContainers ?? []).length > 0) {
    errors.forbidden(`${at}.spec.ephemeralContainers`, 'ephemeral containers not allowed in pod template');
  }
}

/** The template of pods that run for ever; `kind` is named where it cannot have a deadline. */
export function validateEndlessTemplate(errors: FieldErrors, at: string, template: Template, kind: string): void {
  validatePodTemplate(errors, at, template);
  const { restartPolicy, activeDeadlineSeconds } = template?.spec ?? {};
  if (restartPolicy !== undefined && restartPolicy !== 'Always') {
    // One complaint is enough where the value is none at all.
    const known = errors.list.some(({ field }) => field === `${at}.spec.restartPolicy`);
    if (!known) errors.notSupported(`${at}.spec.restartPolicy`, restartPolicy, ['Always']);
  }
  if (activeDeadlineSeconds !== undefined) {
    errors.forbidden(`${at}.spec.activeDeadlineSeconds`, `activeDeadlineSeconds in ${kind} is not Supported`);
  }
}

export const validatePodTemplateObject = (errors: FieldErrors, { template }: DeepReadonly<PodTemplate>) =>
  validatePodTemplate(errors, 'template', template);
