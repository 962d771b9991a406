/** Rules of the kinds that make pods. */
import { labelMatcher } from '../selectors/label.js';
import type { DeepReadonly, LabelSelector } from '../object.js';
import { semanticEqual } from '../strategy/equality.js';
import type { ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet } from '../types/apps-v1.js';
import type { PodTemplateSpec, ReplicationController } from '../types/core-v1.js';
import { type FieldErrors, goMap } from './field-errors.js';
import { validateEndlessTemplate } from './pod-template.js';
import { validateAtMost100Percent, validateIntOrPercent, validateLabelSelector } from './selectors.js';

type Template = DeepReadonly<PodTemplateSpec> | undefined;

/** The selector must be there, not be empty, and choose the template's pods. */
function validateSelector(
  errors: FieldErrors,
  selector: DeepReadonly<LabelSelector> | undefined,
  template: Template,
  kind: string,
): void {
  if (selector === undefined) {
    errors.required('spec.selector');
    return;
  }
  const before = errors.list.length;
  validateLabelSelector(errors, 'spec.selector', selector);
  if (errors.list.length > before) return;
  const matcher = labelMatcher(selector);
  if (matcher.empty) errors.invalid('spec.selector', selector, `empty selector is invalid for ${kind}`);
  const labels = template?.metadata?.labels;
  if (!matcher.matches(labels)) {
    errors.invalidText('spec.template.metadata.labels', goMap(labels), '`selector` does not match template `labels`');
  }
}

const isZero = (value: number | string | undefined) =>
  value === undefined || value === 0 || /^0+%$/.test(String(value));
export function validateDeployment(errors: FieldErrors, { spec }: DeepReadonly<Deployment>): void {
  if (spec === undefined) {
    errors.required('spec.selector');
    errors.required('spec.template');
    return;
  }
  errors.nonNegative('spec.replicas', spec.replicas);
  validateSelector(errors, spec.selector, spec.template, 'deployment');
  validateEndlessTemplate(errors, 'spec.template', spec.template, 'ReplicaSet');
  const { type, rollingUpdate } = spec.strategy ?? {};
  if (type === 'Recreate' && rollingUpdate !== undefined) {
    errors.forbidden('spec.strategy.rollingUpdate', "may not be specified when strategy `type` is 'Recreate'");
  } else if (type === 'RollingUpdate') {
    const at = 'spec.strategy.rollingUpdate';
    validateIntOrPercent(errors, `${at}.maxUnavailable`, rollingUpdate?.maxUnavailable);
    validateIntOrPercent(errors, `${at}.maxSurge`, rollingUpdate?.maxSurge);
    if (isZero(rollingUpdate?.maxUnavailable) && isZero(rollingUpdate?.maxSurge)) {
      errors.invalid(`${at}.maxUnavailable`, rollingUpdate?.maxUnavailable ?? 0, 'may not be 0 when `maxSurge` is 0');
    }
    validateAtMost100Percent(errors, `${at}.maxUnavailable`, rollingUpdate?.maxUnavailable);
  }
  errors.nonNegative('spec.minReadySeconds', spec.minReadySeconds);
  errors.nonNegative('spec.revisionHistoryLimit', spec.revisionHistoryLimit);
  const deadline = spec.progressDeadlineSeconds;
  errors.nonNegative('spec.progressDeadlineSeconds', deadline);
  if (deadline !== undefined && deadline <= (spec.minReadySeconds ?? 0)) {
    errors.invalid('spec.progressDeadlineSeconds', deadline, 'must be greater than minReadySeconds');
  }
}

export function validateReplicaSet(errors: FieldErrors, { spec }: DeepReadonly<ReplicaSet>): void {
  errors.nonNegative('spec.replicas', spec?.replicas);
  errors.nonNegative('spec.minReadySeconds', spec?.minReadySeconds);
  validateSelector(errors, spec?.selector, spec?.template, 'deployment');
  validateEndlessTemplate(errors, 'spec.template', spec?.template, 'ReplicaSet');
}

export function validateReplicationController(
  errors: FieldErrors,
  { spec }: DeepReadonly<ReplicationController>,
): void {
  errors.nonNegative('spec.replicas', spec?.replicas);
  errors.nonNegative('spec.minReadySeconds', spec?.minReadySeconds);
  const selector = spec?.selector ?? {};
  if (Object.keys(selector).length === 0) errors.required('spec.selector');
  if (spec?.template === undefined) {
    errors.required('spec.template');
    return;
  }
  const labels = spec.template.metadata?.labels;
  if (!labelMatcher({ matchLabels: selector }).matches(labels)) {
    errors.invalidText('spec.template.metadata.labels', goMap(labels), '`selector` does not match template `labels`');
  }
  validateEndlessTemplate(errors, 'spec.template', spec.template, 'ReplicationController');
}

export function validateStatefulSet(errors: FieldErrors, { spec }: DeepReadonly<StatefulSet>): void {
  errors.nonNegative('spec.replicas', spec?.replicas);
  errors.nonNegative('spec.minReadySeconds', spec?.minReadySeconds);
  errors.nonNegative('spec.revisionHistoryLimit', spec?.revisionHistoryLimit);
  errors.nonNegative('spec.updateStrategy.rollingUpdate.partition', spec?.updateStrategy?.rollingUpdate?.partition);
  if (spec?.updateStrategy?.type === 'OnDelete' && spec.updateStrategy.rollingUpdate !== undefined) {
    errors.invalid(
      'spec.updateStrategy.rollingUpdate',
      spec.updateStrategy.rollingUpdate,
      "only allowed for updateStrategy 'RollingUpdate'",
    );
  }
  validateSelector(errors, spec?.selector, spec?.template, 'statefulset');
  const policy = spec?.podManagementPolicy;
  if (!policy) errors.required('spec.podManagementPolicy');
  else if (policy !== 'OrderedReady' && policy !== 'Parallel') {
    errors.invalid('spec.podManagementPolicy', policy, "must be 'OrderedReady' or 'Parallel'");
  }
  const strategy = spec?.updateStrategy;
  if (!strategy?.type) errors.required('spec.updateStrategy');
  else if (strategy.type !== 'OnDelete' && strategy.type !== 'RollingUpdate') {
    errors.invalid('spec.updateStrategy', strategy, "must be 'RollingUpdate' or 'OnDelete'");
  }
  for (const when of ['whenDeleted', 'whenScaled'] as const) {
    const field = `spec.persistentVolumeClaimRetentionPolicy.${when}`;
    errors.oneOf(field, spec?.persistentVolumeClaimRetentionPolicy?.[when], ['Retain', 'Delete']);
  }
  errors.nonNegative('spec.ordinals.start', spec?.ordinals?.start);
  // Claim templates become volumes of the same name in each pod.
  const claims = (spec?.volumeClaimTemplates ?? []).map(({ metadata }) => ({
    name: metadata?.name ?? '',
    emptyDir: {},
  }));
  const names = new Set(claims.map(({ name }) => name));
  const template = spec?.template;
  const podSpec = template?.spec;
  const own = (podSpec?.volumes ?? []).filter(({ name }) => !names.has(name));
  const complete =
    claims.length === 0 || podSpec === undefined
      ? template
      : { ...template, spec: { ...podSpec, volumes: [...own, ...claims] } };
  validateEndlessTemplate(errors, 'spec.template', complete, 'StatefulSet');
}

export function validateDaemonSet(errors: FieldErrors, { spec }: DeepReadonly<DaemonSet>): void {
  validateSelector(errors, spec?.selector, spec?.template, 'daemonset');
  validateEndlessTemplate(errors, 'spec.template', spec?.template, 'DaemonSet');
  errors.nonNegative('spec.minReadySeconds', spec?.minReadySeconds);
  errors.nonNegative('spec.revisionHistoryLimit', spec?.revisionHistoryLimit);
  if (spec?.updateStrategy?.type !== 'RollingUpdate') return;
  const { maxUnavailable, maxSurge } = spec.updateStrategy.rollingUpdate ?? {};
  const at = 'spec.updateStrategy.rollingUpdate';
  validateIntOrPercent(errors, `${at}.maxUnavailable`, maxUnavailable);
  validateIntOrPercent(errors, `${at}.maxSurge`, maxSurge);
  if (isZero(maxUnavailable) && isZero(maxSurge)) {
    errors.required(`${at}.maxUnavailable`, 'cannot be 0 when maxSurge is 0');
  }
  if (!isZero(maxUnavailable) && !isZero(maxSurge)) {
    errors.invalid(`${at}.maxSurge`, maxSurge, 'may not be set when maxUnavailable is non-zero');
  }
}

type Selecting = DeepReadonly<{ spec?: { selector?: LabelSelector } }>;

/** How Go prints a label selector. */
function goSelector(selector: DeepReadonly<LabelSelector> | undefined): string {
  const labels = goMap(selector?.matchLabels);
  const expressions = selector?.matchExpressions;
  const list =
    expressions === undefined || expressions.length === 0
      ? 'v1.LabelSelectorRequirement(nil)'
      : `v1.LabelSelectorRequirement${JSON.stringify(expressions)}`;
  return `v1.LabelSelector{MatchLabels:${labels}, MatchExpressions:[]${list}}`;
}

export function validateSelectorUpdate(errors: FieldErrors, object: Selecting, old: Selecting): void {
  const selector = object.spec?.selector;
  if (semanticEqual(selector, old.spec?.selector)) return;
  errors.invalidText('spec.selector', goSelector(selector), 'field is immutable');
}

/** What may change in a StatefulSet's spec. */
const STATEFULSET_MUTABLE = [
  'replicas',
  'ordinals',
  'template',
  'updateStrategy',
  'revisionHistoryLimit',
  'persistentVolumeClaimRetentionPolicy',
  'minReadySeconds',
];

export function validateStatefulSetUpdate(
  errors: FieldErrors,
  object: DeepReadonly<StatefulSet>,
  old: DeepReadonly<StatefulSet>,
): void {
  const frozen = (spec: object | undefined) =>
    Object.fromEntries(Object.entries(spec ?? {}).filter(([name]) => !STATEFULSET_MUTABLE.includes(name)));
  if (semanticEqual(frozen(object.spec), frozen(old.spec))) return;
  const names = STATEFULSET_MUTABLE.map((name) => `'${name}'`);
  errors.forbidden(
    'spec',
    `updates to statefulset spec for fields other than ${names.slice(0, -1).join(', ')} and ${names.at(-1)} are forbidden`,
  );
}

export function validateRevision(errors: FieldErrors, revision: DeepReadonly<ControllerRevision>): void {
  if (revision.data === undefined || revision.data === null) errors.required('data', 'data is mandatory');
  errors.nonNegative('revision', revision.revision);
}

export function validateRevisionUpdate(
  errors: FieldErrors,
  revision: DeepReadonly<ControllerRevision>,
  old: DeepReadonly<ControllerRevision>,
): void {
  if (!semanticEqual(revision.data, old.data)) errors.immutable('data', revision.data);
}
