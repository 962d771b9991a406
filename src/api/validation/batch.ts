/** Rules of Jobs and CronJobs. */
import { CronError, isTimeZone, parseCron } from '../cron.js';
import { dns1123Label } from '../names.js';
import type { DeepReadonly, LabelSelector } from '../object.js';
import { labelMatcher } from '../selectors/label.js';
import { semanticEqual } from '../strategy/equality.js';
import type { CronJob, Job, JobSpec } from '../types/batch-v1.js';
import { goMap, type FieldErrors } from './field-errors.js';
import { validateFailurePolicy, validateSuccessPolicy } from './job-policies.js';
import { validateLabels } from './metadata.js';
import { validatePodTemplate } from './pod-template.js';
import { domainPrefixedPath, validateLabelSelector } from './selectors.js';

type Spec = DeepReadonly<JobSpec>;

const NUMBERS = [
  'parallelism',
  'completions',
  'activeDeadlineSeconds',
  'backoffLimit',
  'ttlSecondsAfterFinished',
  'backoffLimitPerIndex',
  'maxFailedIndexes',
] as const;
/** Upstream's limits of indexed Jobs. */
const MAX_PARALLELISM = 100_000;
const MAX_COMPLETIONS_PER_INDEX = 1_000_000;
const MAX_MANAGED_BY = 63;

function validateIndexed(errors: FieldErrors, at: string, spec: Spec): void {
  const { completionMode, completions, parallelism, backoffLimitPerIndex, maxFailedIndexes } = spec;
  const indexed = completionMode === 'Indexed';
  if (backoffLimitPerIndex !== undefined && !indexed) {
    errors.invalid(`${at}.backoffLimitPerIndex`, backoffLimitPerIndex, 'requires indexed completion mode');
  }
  if (maxFailedIndexes !== undefined) {
    if (completions !== undefined && maxFailedIndexes > completions) {
      errors.invalid(`${at}.maxFailedIndexes`, maxFailedIndexes, 'must be less than or equal to completions');
    }
    if (backoffLimitPerIndex === undefined) {
      errors.required(`${at}.backoffLimitPerIndex`, 'when maxFailedIndexes is specified');
    }
  }
  if (!indexed) return;
  if (completions === undefined) errors.required(`${at}.completions`, 'when completion mode is Indexed');
  if (parallelism !== undefined && parallelism > MAX_PARALLELISM) {
    const text = `must be less than or equal to ${MAX_PARALLELISM} when completion mode is Indexed`;
    errors.invalid(`${at}.parallelism`, parallelism, text);
  }
  if (backoffLimitPerIndex !== undefined && (completions ?? 0) > MAX_COMPLETIONS_PER_INDEX) {
    const text = `must be less than or equal to ${MAX_COMPLETIONS_PER_INDEX} when backoffLimitPerIndex is used`;
    errors.invalid(`${at}.completions`, completions, text);
  }
}

function validateRestart(errors: FieldErrors, at: string, spec: Spec): void {
  const field = `${at}.template.spec.restartPolicy`;
  const policy = spec.template?.spec?.restartPolicy;
  if (policy === undefined || policy === 'Always') {
    errors.required(field, 'valid values: "OnFailure", "Never"');
  } else if (policy !== 'OnFailure' && policy !== 'Never') {
    errors.notSupported(field, policy, ['OnFailure', 'Never']);
  } else if (policy !== 'Never') {
    if (spec.podFailurePolicy !== undefined) {
      errors.invalid(field, policy, 'only "Never" is supported when podFailurePolicy is specified');
    }
    if (spec.backoffLimitPerIndex !== undefined) {
      errors.invalid(field, policy, 'must be set to "Never" when backoffLimitPerIndex is set');
    }
  }
}

function validateJobSpec(errors: FieldErrors, at: string, spec: Spec | undefined): void {
  if (spec === undefined) {
    errors.required(`${at}.template.spec.containers`);
    return;
  }
  for (const name of NUMBERS) errors.nonNegative(`${at}.${name}`, spec[name]);
  if (spec.selector !== undefined) validateLabelSelector(errors, `${at}.selector`, spec.selector);
  if (spec.completionMode !== undefined) {
    errors.oneOf(`${at}.completionMode`, spec.completionMode, ['Indexed', 'NonIndexed']);
  }
  validateIndexed(errors, at, spec);
  validateFailurePolicy(errors, `${at}.podFailurePolicy`, spec);
  if (spec.successPolicy !== undefined) {
    if (spec.completionMode === 'Indexed') validateSuccessPolicy(errors, `${at}.successPolicy`, spec);
    else errors.invalid(`${at}.successPolicy`, spec.successPolicy, 'requires indexed completion mode');
  }
  if (spec.podReplacementPolicy !== undefined) {
    const allowed = spec.podFailurePolicy === undefined ? ['Failed', 'TerminatingOrFailed'] : ['Failed'];
    errors.oneOf(`${at}.podReplacementPolicy`, spec.podReplacementPolicy, allowed);
  }
  if (spec.managedBy !== undefined) {
    domainPrefixedPath(errors, `${at}.managedBy`, spec.managedBy);
    if (spec.managedBy.length > MAX_MANAGED_BY) errors.tooLong(`${at}.managedBy`, MAX_MANAGED_BY);
  }
  validatePodTemplate(errors, `${at}.template`, spec.template);
  validateRestart(errors, at, spec);
}

/** The server's own labels tell the pods of a Job, unless the user manages the selector. */
function validateGeneratedSelector(errors: FieldErrors, { metadata, spec }: DeepReadonly<Job>): void {
  if (spec?.manualSelector === true || spec?.selector === undefined) return;
  const labels: Readonly<Record<string, string>> = spec.template?.metadata?.labels ?? {};
  const uid = metadata.uid ?? '';
  if (uid === '') return;
  const prefix = 'batch.kubernetes.io/';
  const expected = { 'controller-uid': uid, 'job-name': metadata.name ?? '' };
  for (const [key, value] of Object.entries(expected)) {
    const found = labels[prefix + key] ?? labels[key];
    const field = 'spec.template.metadata.labels';
    if (found === undefined) errors.required(field, `must be '${value}'`);
    else if (found !== value) errors.invalidText(field, goMap(labels), `must be '${value}'`);
  }
  const selected: DeepReadonly<LabelSelector>['matchLabels'] = spec.selector.matchLabels ?? {};
  if (selected[`${prefix}controller-uid`] !== uid && selected['controller-uid'] !== uid) {
    errors.invalid('spec.selector', spec.selector, '`selector` not auto-generated');
  }
}

export function validateJob(errors: FieldErrors, job: DeepReadonly<Job>): void {
  const { spec, metadata } = job;
  validateGeneratedSelector(errors, job);
  validateJobSpec(errors, 'spec', spec);
  if (spec?.selector === undefined) errors.required('spec.selector');
  else if (!labelMatcher(spec.selector).matches(spec.template?.metadata?.labels)) {
    const labels = goMap(spec.template?.metadata?.labels);
    errors.invalidText('spec.template.metadata.labels', labels, '`selector` does not match template `labels`');
  }
  if (spec?.completionMode !== 'Indexed' || (spec.completions ?? 0) <= 0) return;
  const hostname = `${metadata.name}-${(spec.completions ?? 1) - 1}`;
  for (const detail of dns1123Label(hostname)) {
    const text = `will not able to create pod with invalid DNS hostname name ${JSON.stringify(hostname)}: ${detail}`;
    errors.invalid('metadata.name', metadata.name, text);
  }
}

/** What may change in the template of a Job that has not begun: where its pods go. */
function withoutDirectives(spec: Spec | undefined): unknown {
  const { metadata, spec: pod } = spec?.template ?? {};
  const {
    affinity: _affinity,
    nodeSelector: _selector,
    tolerations: _tolerations,
    schedulingGates: _gates,
    ...rest
  } = pod ?? { containers: [] };
  const { labels: _labels, annotations: _annotations, ...others } = metadata ?? {};
  return { ...others, spec: rest };
}

export function validateJobUpdate(errors: FieldErrors, { spec }: DeepReadonly<Job>, job: DeepReadonly<Job>): void {
  const old = job.spec;
  if (spec?.completions !== old?.completions) {
    if (spec?.completionMode !== 'Indexed') errors.immutable('spec.completions', spec?.completions);
    else if (spec.completions !== spec.parallelism) {
      errors.invalid('spec.completions', spec.completions, 'can only be modified in tandem with spec.parallelism');
    }
  }
  if (!semanticEqual(spec?.selector, old?.selector)) errors.immutable('spec.selector', spec?.selector);
  const begun = old?.suspend !== true || job.status?.startTime !== undefined;
  const same = begun
    ? semanticEqual(spec?.template, old?.template)
    : semanticEqual(withoutDirectives(spec), withoutDirectives(old));
  if (!same) errors.immutable('spec.template', spec?.template);
  for (const field of [
    'completionMode',
    'podFailurePolicy',
    'backoffLimitPerIndex',
    'managedBy',
    'successPolicy',
  ] as const) {
    if (!semanticEqual(spec?.[field], old?.[field])) errors.immutable(`spec.${field}`, spec?.[field]);
  }
}

function validateSchedule(errors: FieldErrors, schedule: string): void {
  if (schedule.includes('TZ=')) {
    const text = 'cannot use TZ or CRON_TZ in schedule, use timeZone field instead';
    errors.invalid('spec.schedule', schedule, text);
    return;
  }
  try {
    parseCron(schedule);
  } catch (error) {
    if (!(error instanceof CronError)) throw error;
    errors.invalid('spec.schedule', schedule, error.message);
  }
}

function validateTimeZone(errors: FieldErrors, zone: string | undefined): void {
  if (zone === undefined) return;
  if (zone === '') errors.invalid('spec.timeZone', zone, 'timeZone must be nil or non-empty string');
  else if (zone.toLowerCase() === 'local') {
    const text = 'timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones';
    errors.invalid('spec.timeZone', zone, text);
  } else if (!isTimeZone(zone)) errors.invalid('spec.timeZone', zone, `unknown time zone ${zone}`);
}

export function validateCronJob(errors: FieldErrors, { spec }: DeepReadonly<CronJob>): void {
  if (errors.present('spec.schedule', spec?.schedule)) validateSchedule(errors, spec?.schedule ?? '');
  validateTimeZone(errors, spec?.timeZone);
  errors.nonNegative('spec.startingDeadlineSeconds', spec?.startingDeadlineSeconds);
  errors.requiredOneOf('spec.concurrencyPolicy', spec?.concurrencyPolicy, ['Allow', 'Forbid', 'Replace']);
  errors.nonNegative('spec.successfulJobsHistoryLimit', spec?.successfulJobsHistoryLimit);
  errors.nonNegative('spec.failedJobsHistoryLimit', spec?.failedJobsHistoryLimit);
  const template = spec?.jobTemplate;
  validateLabels(errors, 'spec.jobTemplate.metadata.labels', template?.metadata?.labels);
  if (template?.spec?.manualSelector === true) {
    errors.notSupported('spec.jobTemplate.spec.manualSelector', true, ['nil', 'false']);
  }
  validateJobSpec(errors, 'spec.jobTemplate.spec', template?.spec);
}
