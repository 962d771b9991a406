/** ValidatingAdmissionPolicies and their bindings, compiled. Kept as long as the stored object lives. */
import type { Program } from '../../../api/cel/environment.js';
import { compilePolicyExpression, type LazyVariable, type PolicyVariables } from '../../../api/cel/policies.js';
import { BOOL, NULL, STRING, DYN, type CelType } from '../../../api/cel/types.js';
import type { KubeObject } from '../../../api/object.js';
import { labelMatcher, type LabelMatcher } from '../../../api/selectors/label.js';
import type {
  NamedRuleWithOperations,
  ParamKind,
  ParamRef,
  ValidatingAdmissionPolicy,
  ValidatingAdmissionPolicyBinding,
} from '../../../api/types/admissionregistration-v1.js';
import { compileConditions, type CompiledCondition } from './match-conditions.js';
import { compileSelectors, type Selectors } from './matching.js';

export interface CompiledValidation {
  readonly expression: string;
  readonly program: Program | undefined;
  readonly message: string;
  readonly messageProgram: Program | undefined;
  readonly reason: string;
}

export interface CompiledMatch {
  readonly rules: readonly NamedRuleWithOperations[];
  readonly excluded: readonly NamedRuleWithOperations[];
  readonly exact: boolean;
  readonly selectors: Selectors;
}

export interface CompiledPolicy {
  readonly name: string;
  readonly failsClosed: boolean;
  readonly paramKind: ParamKind | undefined;
  readonly match: CompiledMatch | undefined;
  readonly conditions: readonly CompiledCondition[];
  readonly validations: readonly CompiledValidation[];
  readonly auditAnnotations: readonly { readonly key: string; readonly program: Program | undefined }[];
  readonly variables: readonly LazyVariable[];
}

export interface CompiledBinding {
  readonly name: string;
  readonly policyName: string;
  readonly actions: readonly string[];
  readonly match: CompiledMatch | undefined;
  readonly paramRef: ParamRef | undefined;
  readonly paramSelector: LabelMatcher | undefined;
}

type MatchSpec = NonNullable<ValidatingAdmissionPolicy['spec']>['matchConstraints'];

function compileMatch(match: MatchSpec): CompiledMatch | undefined {
  if (match === undefined) return undefined;
  return {
    rules: match.resourceRules ?? [],
    excluded: match.excludeResourceRules ?? [],
    exact: match.matchPolicy === 'Exact',
    selectors: compileSelectors(match),
  };
}

/** What can be wrong with a policy's expressions: the field, its text and cel-go's message. */
export interface ExpressionIssue {
  readonly field: string;
  readonly expression: string;
  readonly message: string;
}

/** Compiles, and calls `report` for every expression that does not. */
export function compilePolicy(
  object: KubeObject,
  report: (issue: ExpressionIssue) => void = () => undefined,
): CompiledPolicy {
  const { spec = {}, metadata } = object as ValidatingAdmissionPolicy;
  const params = spec.paramKind !== undefined;
  const types = new Map<string, CelType>();
  let available: PolicyVariables = { namespaceObject: true, params };
  const compiled = (field: string, expression: string, results?: readonly CelType[], what = available) => {
    const result = compilePolicyExpression(expression, what, results);
    if (result.ok) return result.program;
    const message = result.issues.length > 0 ? `compilation failed: ${result.message}` : result.message;
    report({ field, expression, message });
    return undefined;
  };
  const variables: LazyVariable[] = [];
  for (const [i, { name, expression }] of (spec.variables ?? []).entries()) {
    available = { namespaceObject: true, params, variables: new Map(types) };
    const program = compiled(`spec.variables[${i}].expression`, expression);
    types.set(name, program?.type ?? DYN);
    variables.push({
      name,
      evaluate: (values, budget) =>
        program?.evaluate(values, budget) ?? {
          ok: false,
          message: 'the expression does not compile',
          costExceeded: false,
        },
    });
  }
  const conditions = { namespaceObject: true, params };
  for (const [i, { expression }] of (spec.matchConditions ?? []).entries()) {
    compiled(`spec.matchConditions[${i}].expression`, expression, [BOOL], conditions);
  }
  available = { namespaceObject: true, params, variables: types };
  return {
    name: metadata.name ?? '',
    failsClosed: spec.failurePolicy !== 'Ignore',
    paramKind: spec.paramKind,
    match: compileMatch(spec.matchConstraints),
    conditions: compileConditions(spec.matchConditions, conditions),
    variables,
    validations: (spec.validations ?? []).map(({ expression, message = '', messageExpression, reason = '' }, i) => {
      const at = `spec.validations[${i}]`;
      return {
        expression,
        message: message.trim(),
        reason,
        program: compiled(`${at}.expression`, expression, [BOOL]),
        messageProgram: messageExpression
          ? compiled(`${at}.messageExpression`, messageExpression, [STRING])
          : undefined,
      };
    }),
    auditAnnotations: (spec.auditAnnotations ?? []).map(({ key, valueExpression }, i) => ({
      key,
      program: compiled(`spec.auditAnnotations[${i}].valueExpression`, valueExpression, [STRING, NULL]),
    })),
  };
}

function compileBinding(object: KubeObject): CompiledBinding {
  const { spec = {}, metadata } = object as ValidatingAdmissionPolicyBinding;
  return {
    name: metadata.name ?? '',
    policyName: spec.policyName ?? '',
    actions: spec.validationActions ?? [],
    match: compileMatch(spec.matchResources),
    paramRef: spec.paramRef,
    paramSelector: spec.paramRef?.selector === undefined ? undefined : labelMatcher(spec.paramRef.selector),
  };
}

/** Stored objects are frozen and replaced by every write, so that one compilation serves each of their versions. */
function memoized<T>(make: (object: KubeObject) => T): (object: KubeObject) => T {
  const known = new WeakMap<KubeObject, T>();
  return (object) => {
    let value = known.get(object);
    if (value === undefined) known.set(object, (value = make(object)));
    return value;
  };
}

export const policyOf = memoized((object) => compilePolicy(object));
export const bindingOf = memoized(compileBinding);
