/**
 * The status of a CustomResourceDefinition: accepted names, conditions, stored versions. Worked out in the write itself, so that
 * a definition is established when its creation is answered. Names are accepted first come, first served within a group.
 */
import { withCondition } from '../conditions.js';
import type { KubeObject } from '../object.js';
import type {
  CustomResourceDefinition,
  CustomResourceDefinitionCondition,
  CustomResourceDefinitionNames,
} from '../types/apiextensions-v1.js';

export const CLEANUP_FINALIZER = 'customresourcecleanup.apiextensions.k8s.io';
export const APPROVAL_ANNOTATION = 'api-approved.kubernetes.io';
export const APPROVAL_TEXT = `protected groups must have approval annotation "${APPROVAL_ANNOTATION}", see https://github.com/kubernetes/enhancements/pull/1111`;

export const DEFINITIONS = Object.freeze({
  group: 'apiextensions.k8s.io',
  version: 'v1',
  resource: 'customresourcedefinitions',
  kind: 'CustomResourceDefinition',
  namespaced: false,
});

export const isDefinition = ({ group, resource }: { group: string; resource: string }) =>
  group === DEFINITIONS.group && resource === DEFINITIONS.resource;

export const asDefinition = (object: KubeObject) => object as unknown as CustomResourceDefinition;

type Condition = Omit<CustomResourceDefinitionCondition, 'lastTransitionTime'>;

export const conditionOf = ({ status }: CustomResourceDefinition, type: string) =>
  status?.conditions?.find((condition) => condition.type === type);

export const isEstablished = (definition: CustomResourceDefinition) =>
  conditionOf(definition, 'Established')?.status === 'True';
export const isTerminating = (definition: CustomResourceDefinition) =>
  definition.metadata.deletionTimestamp !== undefined;

/** Under which names the definition is served; undefined until it is established. */
export function servedNames(definition: CustomResourceDefinition): CustomResourceDefinitionNames | undefined {
  return isEstablished(definition) ? definition.status?.acceptedNames : undefined;
}

export const isProtectedGroup = (group: string) => /(?:^|\.)(?:k8s|kubernetes)\.io$/.test(group);

export interface Approval {
  readonly ok: boolean;
  readonly reason: string;
  readonly message: string;
}

/** What the approval annotation of a definition in a protected group says. */
export function approvalOf(annotation: string | undefined): Approval {
  if (annotation === undefined || annotation === '') {
    return { ok: false, reason: 'MissingAnnotation', message: APPROVAL_TEXT };
  }
  if (annotation.startsWith('unapproved')) {
    return { ok: false, reason: 'UnapprovedAPI', message: `not approved: ${JSON.stringify(annotation)}` };
  }
  if (URL.canParse(annotation) && new URL(annotation).host !== '') {
    return { ok: true, reason: 'ApprovedAnnotation', message: `approved in ${annotation}` };
  }
  const message = `protected groups must have approval annotation "${APPROVAL_ANNOTATION}" with either a URL or a reason starting with "unapproved", see https://github.com/kubernetes/enhancements/pull/1111`;
  return { ok: false, reason: 'InvalidAnnotation', message };
}

interface TakenNames {
  readonly resources: ReadonlySet<string>;
  readonly kinds: ReadonlySet<string>;
}

/** The names that other definitions of the same group hold. */
function takenNames(definition: CustomResourceDefinition, all: readonly CustomResourceDefinition[]): TakenNames {
  const resources = new Set<string>();
  const kinds = new Set<string>();
  for (const { metadata, spec, status } of all) {
    const names = status?.acceptedNames;
    if (names === undefined || spec.group !== definition.spec.group || metadata.name === definition.metadata.name) {
      continue;
    }
    for (const name of [names.plural, names.singular, ...(names.shortNames ?? [])]) if (name) resources.add(name);
    for (const kind of [names.kind, names.listKind]) if (kind) kinds.add(kind);
  }
  return { resources, kinds };
}

function acceptNames(
  wanted: CustomResourceDefinitionNames,
  held: Partial<CustomResourceDefinitionNames>,
  taken: TakenNames,
): { names: CustomResourceDefinitionNames; condition: Condition } {
  const names: CustomResourceDefinitionNames = { kind: held.kind ?? '', plural: held.plural ?? '' };
  if (held.singular !== undefined) names.singular = held.singular;
  if (held.listKind !== undefined) names.listKind = held.listKind;
  if (held.shortNames !== undefined) names.shortNames = held.shortNames;
  let refusal: { reason: string; message: string } | undefined;
  const take = (name: string, before: string | undefined, used: ReadonlySet<string>, reason: string): boolean => {
    if (name === before || !used.has(name)) return true;
    refusal = { reason, message: `${JSON.stringify(name)} is already in use` };
    return false;
  };
  if (take(wanted.plural, held.plural, taken.resources, 'PluralConflict')) names.plural = wanted.plural;
  const { singular = '', listKind = '', shortNames = [] } = wanted;
  if (take(singular, held.singular, taken.resources, 'SingularConflict')) names.singular = singular;
  const refused = shortNames.filter((name) => !held.shortNames?.includes(name) && taken.resources.has(name));
  if (refused.length > 0) {
    const texts = refused.map((name) => `${JSON.stringify(name)} is already in use`);
    refusal = {
      reason: 'ShortNamesConflict',
      message: texts.length === 1 ? (texts[0] ?? '') : `[${texts.join(', ')}]`,
    };
  } else if (wanted.shortNames !== undefined) names.shortNames = wanted.shortNames;
  else delete names.shortNames;
  if (take(wanted.kind, held.kind, taken.kinds, 'KindConflict')) names.kind = wanted.kind;
  if (take(listKind, held.listKind, taken.kinds, 'ListKindConflict')) names.listKind = listKind;
  if (wanted.categories !== undefined) names.categories = wanted.categories;
  const condition: Condition = refusal
    ? { type: 'NamesAccepted', status: 'False', ...refusal }
    : { type: 'NamesAccepted', status: 'True', reason: 'NoConflicts', message: 'no conflicts found' };
  return { names, condition };
}

function establishedCondition(definition: CustomResourceDefinition, accepted: boolean): Condition {
  const present = conditionOf(definition, 'Established');
  if (present?.status === 'True') return present;
  return accepted
    ? {
        type: 'Established',
        status: 'True',
        reason: 'InitialNamesAccepted',
        message: 'the initial names have been accepted',
      }
    : { type: 'Established', status: 'False', reason: 'NotAccepted', message: 'not all names are accepted' };
}

/** The conditions with some set; a changed status gets the time. Order and others' conditions are kept. */
export function withConditions(
  present: readonly CustomResourceDefinitionCondition[],
  wanted: readonly Condition[],
  nowMs: number,
): CustomResourceDefinitionCondition[] {
  return wanted.reduce<CustomResourceDefinitionCondition[]>(
    (conditions, { type, status, reason = '', message = '' }) =>
      withCondition(conditions, { type, status, reason, message }, nowMs),
    [...present],
  );
}

/** The definition with its status brought up to date against all definitions of the cluster. Pure. */
export function withStatus(
  definition: CustomResourceDefinition,
  all: readonly CustomResourceDefinition[],
  nowMs: number,
): CustomResourceDefinition {
  const { spec, status } = definition;
  const { names, condition } = acceptNames(spec.names, status?.acceptedNames ?? {}, takenNames(definition, all));
  const wanted = [condition, establishedCondition(definition, condition.status === 'True')];
  if (isProtectedGroup(spec.group)) {
    const { ok, reason, message } = approvalOf(definition.metadata.annotations?.[APPROVAL_ANNOTATION]);
    wanted.push({ type: 'KubernetesAPIApprovalPolicyConformant', status: ok ? 'True' : 'False', reason, message });
  }
  const stored = status?.storedVersions ?? [];
  const storage = spec.versions.find((version) => version.storage)?.name;
  return {
    ...definition,
    status: {
      ...status,
      conditions: withConditions(status?.conditions ?? [], wanted, nowMs),
      acceptedNames: names,
      storedVersions: storage === undefined || stored.includes(storage) ? stored : [...stored, storage],
    },
  };
}

/** The definition as its deletion begins: it stays until its instances are gone. */
export function withCleanup(definition: CustomResourceDefinition, nowMs: number): CustomResourceDefinition {
  const finalizers = definition.metadata.finalizers ?? [];
  const pending: Condition = {
    type: 'Terminating',
    status: 'True',
    reason: 'InstanceDeletionPending',
    message: 'CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon',
  };
  return {
    ...definition,
    metadata: {
      ...definition.metadata,
      finalizers: finalizers.includes(CLEANUP_FINALIZER) ? finalizers : [...finalizers, CLEANUP_FINALIZER],
    },
    status: { ...definition.status, conditions: withConditions(definition.status?.conditions ?? [], [pending], nowMs) },
  };
}
