/**
 * PodSecurity: holds pods to the Pod Security Standard that their namespace's labels name. `enforce` refuses pods, `warn`
 * answers with warnings, also for templates in workloads, `audit` annotates. A namespace whose labels become stricter is
 * answered with a warning about the pods it has.
 */
import { forbidden, invalid } from '../../../api/errors.js';
import type { DeepReadonly, KubeObject, ObjectMeta } from '../../../api/object.js';
import type { Container, Pod, PodSpec } from '../../../api/types/core-v1.js';
import type { AdmissionAttributes, AdmissionLookups, AdmissionPlugin } from '../admission.js';
import { describeFindings, describeReasons, findings } from './evaluator.js';
import { compareLevels, describePolicy, policyOf, samePolicy, type LevelVersion } from './policy.js';
import { subjectOf, type Finding, type Subject } from './subject.js';

/** Upstream's bound on the pods that a stricter namespace is checked for. */
const MAX_PODS = 3000;

/** Kinds that carry a pod template. */
const WORKLOADS = new Set([
  'podtemplates',
  'replicationcontrollers',
  'apps/deployments',
  'apps/replicasets',
  'apps/statefulsets',
  'apps/daemonsets',
  'batch/jobs',
  'batch/cronjobs',
]);
const isWorkload = ({ group, resource }: AdmissionAttributes) =>
  WORKLOADS.has(group === '' ? resource : `${group}/${resource}`);

export const podSecurity: AdmissionPlugin = {
  name: 'PodSecurity',

  handles(attributes) {
    const { operation, group, resource, subresource } = attributes;
    if (operation === 'DELETE') return false;
    if (group === '' && resource === 'pods') return subresource === '' || subresource === 'ephemeralcontainers';
    if (subresource !== '') return false;
    return (group === '' && resource === 'namespaces') || isWorkload(attributes);
  },

  validate(attributes, lookups) {
    if (attributes.resource === 'namespaces') checkNamespace(attributes, lookups);
    else if (attributes.resource === 'pods') checkPod(attributes, lookups);
    else checkWorkload(attributes, lookups);
  },
};

const policyIn = ({ namespace }: AdmissionAttributes, lookups: AdmissionLookups) =>
  policyOf(lookups.get('', 'namespaces', '', namespace)?.metadata.labels);

function checkPod(attributes: AdmissionAttributes, lookups: AdmissionLookups): void {
  const policy = policyIn(attributes, lookups);
  if ([policy.enforce, policy.audit, policy.warn].every(({ level }) => level === 'privileged')) return;
  const [pod, old] = [attributes.object as Pod, attributes.oldObject as Pod | undefined];
  if (!pod.spec || (old && !isSignificant(pod, old))) return;
  const subject = subjectOf(pod.metadata, pod.spec);
  attributes.effects.annotate(`${ANNOTATION}enforce-policy`, describePolicy(policy.enforce));
  audit(attributes, policy.audit, subject);
  const refused = findings(policy.enforce, subject);
  if (refused.length > 0) {
    const why = `violates PodSecurity "${describePolicy(policy.enforce)}": ${describeFindings(refused)}`;
    throw forbidden({ group: '', resource: 'pods' }, attributes.name, why);
  }
  warn(attributes, policy.warn, findings(policy.warn, subject));
}

function warn({ effects }: AdmissionAttributes, policy: LevelVersion, found: readonly Finding[]): void {
  if (found.length > 0) effects.warn(violation(policy, found));
}

const ANNOTATION = 'pod-security.kubernetes.io/';

function audit({ effects }: AdmissionAttributes, policy: LevelVersion, subject: Subject): void {
  const found = findings(policy, subject);
  if (found.length > 0) effects.annotate(`${ANNOTATION}audit-violations`, violation(policy, found));
}

const violation = (policy: LevelVersion, found: readonly Finding[]) =>
  `would violate PodSecurity "${describePolicy(policy)}": ${describeFindings(found)}`;

interface Template {
  readonly metadata?: ObjectMeta;
  readonly spec?: PodSpec;
}

function templateOf(object: KubeObject): Template | undefined {
  if (object.kind === 'PodTemplate') return (object as { template?: Template }).template;
  const spec = object.spec as { template?: Template; jobTemplate?: { spec?: { template?: Template } } } | undefined;
  return spec?.template ?? spec?.jobTemplate?.spec?.template;
}

/** Workloads are never refused: their pods will be. */
function checkWorkload(attributes: AdmissionAttributes, lookups: AdmissionLookups): void {
  const policy = policyIn(attributes, lookups);
  if ([policy.audit, policy.warn].every(({ level }) => level === 'privileged') || !attributes.object) return;
  const template = templateOf(attributes.object);
  if (!template?.spec) return;
  const subject = subjectOf(template.metadata, template.spec);
  audit(attributes, policy.audit, subject);
  warn(attributes, policy.warn, findings(policy.warn, subject));
}

const SECCOMP = 'seccomp.security.alpha.kubernetes.io/pod';
const PER_CONTAINER = [
  'container.seccomp.security.alpha.kubernetes.io/',
  'container.apparmor.security.beta.kubernetes.io/',
];

/** Whether an update can change the verdict: what else is checked cannot be changed. */
function isSignificant(pod: DeepReadonly<Pod>, old: DeepReadonly<Pod>): boolean {
  const annotation = ({ metadata }: DeepReadonly<Pod>, key: string) => metadata.annotations?.[key];
  if (annotation(pod, SECCOMP) !== annotation(old, SECCOMP)) return true;
  const containersOf = ({ spec }: DeepReadonly<Pod>) =>
    [
      ...(spec?.initContainers ?? []),
      ...(spec?.containers ?? []),
      ...(spec?.ephemeralContainers ?? []),
    ] as readonly DeepReadonly<Container>[];
  const before = new Map(containersOf(old).map((container) => [container.name, container]));
  const after = containersOf(pod);
  return (
    after.length !== before.size ||
    after.some(({ name, image }) => {
      const was = before.get(name);
      if (was === undefined || was.image !== image) return true;
      return PER_CONTAINER.some((prefix) => annotation(pod, prefix + name) !== annotation(old, prefix + name));
    })
  );
}

function checkNamespace({ object, oldObject, name, effects }: AdmissionAttributes, lookups: AdmissionLookups): void {
  const labels = object?.metadata.labels;
  const { enforce, errors } = policyOf(labels);
  const old = policyOf(oldObject?.metadata.labels);
  const known = oldObject !== undefined && sameErrors(errors, old.errors);
  if (errors.length > 0 && !known) throw invalid({ group: '', kind: 'Namespace' }, name, errors);
  if (oldObject === undefined || enforce.level === 'privileged' || samePolicy(enforce, old.enforce)) return;
  if (enforce.version === old.enforce.version && compareLevels(enforce.level, old.enforce.level) < 1) return;
  for (const text of warningsAbout(name, enforce, lookups)) effects.warn(text);
}

const sameErrors = (a: readonly { field: string; message: string }[], b: typeof a) =>
  a.length === b.length && a.every(({ field, message }, at) => b[at]?.field === field && b[at]?.message === message);

/** One line for all pods with the same findings. */
function warningsAbout(namespace: string, enforce: LevelVersion, lookups: AdmissionLookups): string[] {
  const all = lookups.list('', 'pods', namespace) as readonly Pod[];
  const checked = all.slice(0, MAX_PODS);
  const names = new Map<string, string[]>();
  for (const { metadata, spec } of checked) {
    const found = spec ? findings(enforce, subjectOf(metadata, spec)) : [];
    if (found.length === 0) continue;
    const reasons = describeReasons(found);
    names.set(reasons, [...(names.get(reasons) ?? []), metadata.name ?? '']);
  }
  const lines = [...names].map(([reasons, pods]) => {
    const more = pods.length - 1;
    const others = more === 0 ? '' : ` (and ${more} other ${more === 1 ? 'pod' : 'pods'})`;
    return `${pods[0] ?? ''}${others}: ${reasons}`;
  });
  const partial = `new PodSecurity enforce level only checked against the first ${checked.length} of ${all.length} existing pods`;
  const head = `existing pods in namespace "${namespace}" violate the new PodSecurity enforce level "${describePolicy(enforce)}"`;
  return [...(checked.length < all.length ? [partial] : []), ...(lines.length > 0 ? [head] : []), ...lines.toSorted()];
}
