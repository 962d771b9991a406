/**
 * ValidatingAdmissionPolicy: policies are read in the write's own transaction, so a write is judged by exactly the policies
 * that were written before it. Without bindings a write pays for one look-up.
 */
import { CostBudget } from '../../../api/cel/evaluation.js';
import { policyValues, type PolicyInput } from '../../../api/cel/policies.js';
import type { AuthorizerCheck, AuthorizerFunction } from '../../../api/cel/library/authorizer.js';
import { ApiError, forbidden, type StatusReason } from '../../../api/errors.js';
import type { KubeObject } from '../../../api/object.js';
import type { AdmissionAttributes, AdmissionLookups, AdmissionPlugin, Requester } from '../admission.js';
import { evaluateConditions } from './match-conditions.js';
import {
  isExempt,
  matchingVersion,
  namespaceMatches,
  objectMatches,
  ruleMatches,
  type MatchedRequest,
  type ResourceVersion,
} from './matching.js';
import { bindingOf, policyOf, type CompiledBinding, type CompiledMatch, type CompiledPolicy } from './policy.js';
import type { Value } from '../../../api/cel/values.js';

const GROUP = 'admissionregistration.k8s.io';

type SubresourceVersion = ResourceVersion & { readonly subresource: string };

export interface PolicyDeps {
  /** Other versions under which the same objects are served, and the resource that a kind names. */
  readonly kinds: {
    equivalents(of: ResourceVersion): readonly ResourceVersion[];
    /** The kind that requests about a resource or subresource send; undefined for one that is not served. */
    sent(
      of: SubresourceVersion,
    ): { readonly group: string; readonly version: string; readonly kind: string } | undefined;
    /** The object as the subresource shows it. */
    view(of: SubresourceVersion, object: KubeObject): KubeObject;
    resourceOf(apiVersion: string, kind: string): (ResourceVersion & { readonly namespaced: boolean }) | undefined;
  };
  readonly authorize: (
    user: Requester,
    check: AuthorizerCheck,
  ) => { readonly allowed: boolean; readonly reason: string };
}

/** One validation that did not hold, or could not be decided. */
interface Finding {
  readonly message: string;
  readonly reason: string;
  /** Which of the policy's validations it is. */
  readonly index: number;
}

interface Subject extends MatchedRequest {
  /** As the request's own version and subresource show them. */
  readonly object: KubeObject | undefined;
  readonly oldObject: KubeObject | undefined;
  readonly attributes: AdmissionAttributes;
  readonly lookups: AdmissionLookups;
  readonly deps: PolicyDeps;
}

export function validatingAdmissionPolicy(deps: PolicyDeps): AdmissionPlugin {
  return {
    name: 'ValidatingAdmissionPolicy',
    handles: (attributes) => !isExempt(attributes),
    validate(attributes, lookups) {
      const bindings = lookups.list(GROUP, 'validatingadmissionpolicybindings');
      if (bindings.length === 0) return;
      const shown = (object: KubeObject | undefined) => object && deps.kinds.view(attributes, object);
      const [object, oldObject] = [shown(attributes.object), shown(attributes.oldObject)];
      judge({ ...attributes, object, oldObject, attributes, lookups, deps }, bindings.map(bindingOf));
    },
  };
}

function judge(subject: Subject, bindings: readonly CompiledBinding[]): void {
  const budget = new CostBudget();
  const failures: object[] = [];
  const denials: { policy: string; binding: string; finding: Finding }[] = [];
  for (const binding of bindings) {
    const object = subject.lookups.get(GROUP, 'validatingadmissionpolicies', '', binding.policyName);
    if (object === undefined) continue;
    const policy = policyOf(object);
    const as = matches(subject, policy.match, true);
    if (as === undefined || (binding.match !== undefined && matches(subject, binding.match, false) === undefined))
      continue;
    for (const finding of evaluate(subject, policy, binding, as, budget)) {
      const named = { policy: policy.name, binding: binding.name, finding };
      if (binding.actions.includes('Deny') || binding.actions.length === 0) denials.push(named);
      if (binding.actions.includes('Audit')) failures.push(auditedFailure(policy, binding, finding));
      if (binding.actions.includes('Warn')) {
        subject.attributes.effects.warn(
          `Validation failed for ValidatingAdmissionPolicy '${policy.name}' with binding '${binding.name}': ${finding.message}`,
        );
      }
    }
  }
  if (failures.length > 0) subject.attributes.effects.annotate(FAILURE_ANNOTATION, JSON.stringify(failures));
  const [first] = denials;
  if (first) throw refusal(subject, first.policy, first.binding, first.finding);
}

const FAILURE_ANNOTATION = 'validation.policy.admission.k8s.io/validation_failure';

const auditedFailure = (policy: CompiledPolicy, binding: CompiledBinding, { message, index }: Finding) => ({
  message,
  policy: policy.name,
  binding: binding.name,
  expressionIndex: index,
  validationActions: binding.actions,
});

const CODES: Readonly<Record<string, number>> = { Unauthorized: 401, Forbidden: 403, RequestEntityTooLarge: 413 };

function refusal({ attributes }: Subject, policy: string, binding: string, { message, reason }: Finding): ApiError {
  const text = `ValidatingAdmissionPolicy '${policy}' with binding '${binding}' denied request: ${message}`;
  const { group, resource, name } = attributes;
  const base = forbidden({ group, resource }, name, text);
  const given = reason === '' ? 'Invalid' : reason;
  return new ApiError(CODES[given] ?? 422, given as StatusReason, base.message, {
    ...base.details,
    causes: [{ message: text }],
  });
}

/** The version under which the match resources name the request; undefined when they do not. */
function matches(subject: Subject, match: CompiledMatch | undefined, needsRules: boolean): ResourceVersion | undefined {
  const { group, version, resource } = subject;
  if (match === undefined) return undefined;
  const { object, oldObject, lookups, deps } = subject;
  if (match.excluded.some((rule) => ruleMatches(rule, subject, { group, version, resource }))) return undefined;
  const as =
    match.rules.length === 0 && !needsRules
      ? { group, version, resource }
      : matchingVersion(match.rules, subject, match.exact, () => deps.kinds.equivalents({ group, version, resource }));
  if (as === undefined) return undefined;
  const namespaceOf = (name: string) => lookups.get('', 'namespaces', '', name);
  if (!namespaceMatches(match.selectors.namespaces, subject, object ?? oldObject, namespaceOf)) return undefined;
  return objectMatches(match.selectors.objects, object, oldObject) ? as : undefined;
}

function evaluate(
  subject: Subject,
  policy: CompiledPolicy,
  binding: CompiledBinding,
  as: ResourceVersion,
  budget: CostBudget,
): Finding[] {
  const params = paramsOf(subject, policy, binding);
  if (typeof params === 'string') {
    return policy.failsClosed ? [{ message: `failed to configure binding: ${params}`, reason: '', index: 0 }] : [];
  }
  return params.flatMap((param) => evaluateWith(subject, policy, as, param, budget));
}

/** The parameter objects to evaluate with (one `undefined` for a policy without), or why there are none. */
function paramsOf(
  { deps, lookups, namespace }: Subject,
  { paramKind }: CompiledPolicy,
  { paramRef, paramSelector }: CompiledBinding,
): readonly (KubeObject | undefined)[] | string {
  if (paramKind === undefined || paramRef === undefined) return [undefined];
  const { apiVersion = '', kind = '' } = paramKind;
  const resource = deps.kinds.resourceOf(apiVersion, kind);
  if (resource === undefined) return `failed to find resource referenced by paramKind: '${apiVersion}, Kind=${kind}'`;
  let place = '';
  if (resource.namespaced) {
    place = paramRef.namespace ?? namespace;
    if (place === '')
      return "can't use namespaced paramRef to match cluster-scoped resources that do not specify namespace";
  } else if (paramRef.namespace) return 'paramRef.namespace must not be provided for a cluster-scoped `paramKind`';
  const found: KubeObject[] = [];
  if (paramRef.name) {
    const object = lookups.get(resource.group, resource.resource, place, paramRef.name);
    if (object !== undefined) found.push(object);
  } else if (paramSelector !== undefined) {
    const all = lookups.list(resource.group, resource.resource, resource.namespaced ? place : undefined);
    found.push(...all.filter(({ metadata }) => paramSelector.matches(metadata.labels)));
  } else return 'one of name or selector must be provided';
  if (found.length > 0) return found.map((object) => ({ ...object, apiVersion, kind }));
  if (paramRef.parameterNotFoundAction === 'Allow') return [];
  return 'no params found for policy binding with `Deny` parameterNotFoundAction';
}

function evaluateWith(
  subject: Subject,
  policy: CompiledPolicy,
  as: ResourceVersion,
  params: KubeObject | undefined,
  budget: CostBudget,
): Finding[] {
  const values = policyValues(inputOf(subject, as, params), budget, policy.variables);
  const undecided = (message: string, index = 0): Finding[] =>
    policy.failsClosed ? [{ message, reason: '', index }] : [];
  if (policy.conditions.length > 0) {
    const met = evaluateConditions(policy.conditions, values, budget);
    if (met.error !== undefined) return undecided(met.error);
    if (!met.matches) return [];
  }
  const findings: Finding[] = [];
  for (const [index, validation] of policy.validations.entries()) {
    const { program, expression } = validation;
    const result = program?.evaluate(values, budget);
    if (result?.ok === true && result.value === true) continue;
    if (result?.ok === true && result.value === false) {
      findings.push({ message: messageOf(validation, values, budget), reason: validation.reason, index });
      continue;
    }
    const why = result === undefined ? 'compilation failed' : result.ok ? 'no such overload' : result.message;
    findings.push(...undecided(`expression '${expression.trim()}' resulted in error: ${why}`, index));
  }
  for (const { key, program } of policy.auditAnnotations) {
    const result = program?.evaluate(values, budget);
    if (result?.ok === true) {
      const text = typeof result.value === 'string' ? result.value.trim() : '';
      if (text !== '') subject.attributes.effects.annotate(`${policy.name}/${key}`, text.slice(0, MAX_ANNOTATION));
    } else findings.push(...undecided(`audit annotation '${key}' resulted in error: ${result?.message ?? ''}`));
  }
  return findings;
}

/** Characters of an audit annotation's value. */
const MAX_ANNOTATION = 10 * 1024;
/** Characters that a message expression may give. */
const MAX_MESSAGE = 5 * 1024;

function messageOf(
  { expression, message, messageProgram }: CompiledPolicy['validations'][number],
  values: (name: string) => Value,
  budget: CostBudget,
): string {
  const made = messageProgram?.evaluate(values, budget);
  if (made?.ok === true && typeof made.value === 'string') {
    const text = made.value.trim();
    if (text !== '' && !text.includes('\n') && text.length <= MAX_MESSAGE) return text;
  }
  return message === '' ? `failed expression: ${expression.trim()}` : message;
}

function inputOf(subject: Subject, as: ResourceVersion, params: KubeObject | undefined): PolicyInput {
  const { attributes, lookups, deps } = subject;
  const { group, version, resource, subresource, namespace, name, operation, user, dryRun } = attributes;
  const of = { group, version, resource };
  const kindOf = (by: ResourceVersion) => {
    const sent = deps.kinds.sent({ ...by, subresource }) ?? { ...by, kind: attributes.kind };
    return { group: sent.group, version: sent.version, kind: sent.kind };
  };
  const inVersion = (object: KubeObject | undefined) => object && lookups.inVersion(object, of, as);
  const request = {
    kind: kindOf(as),
    resource: { group: as.group, version: as.version, resource: as.resource },
    requestKind: kindOf(of),
    requestResource: { group, version, resource },
    subResource: subresource,
    requestSubResource: subresource,
    name,
    namespace,
    operation,
    userInfo: { username: user.name, uid: user.uid ?? '', groups: user.groups, extra: user.extra ?? {} },
    dryRun,
    options: {},
  };
  const authorizer: AuthorizerFunction = (check) => deps.authorize(user, check);
  return {
    object: inVersion(subject.object),
    oldObject: inVersion(subject.oldObject),
    request,
    ...(namespace === '' ? {} : { namespaceObject: withUid(lookups.get('', 'namespaces', '', namespace)) }),
    params,
    authorizer,
  };
}

const withUid = (namespace: KubeObject | undefined) =>
  namespace && { ...namespace, metadata: { ...namespace.metadata, UID: namespace.metadata.uid } };
