/** Type checks a ValidatingAdmissionPolicy's expressions against the kinds that its rules name. The findings are warnings. */
import type { KindInfo } from '../schema/registry.js';
import type { ExpressionWarning, ValidatingAdmissionPolicy } from '../types/admissionregistration-v1.js';
import { typeOfNode } from './kind-types.js';
import { compilePolicyExpression, type PolicyVariables } from './policies.js';
import { DYN, type CelType } from './types.js';

/** Kinds that one policy is checked against at most, as upstream. */
const MAX_KINDS = 10;

export type KindLookup = (group: string, version: string, resource: string) => KindInfo | undefined;

/** Rules with wildcards name no kind and are not checked. */
function kindsOf({ spec }: ValidatingAdmissionPolicy, find: KindLookup): KindInfo[] {
  const kinds = new Map<string, KindInfo>();
  for (const { apiGroups = [], apiVersions = [], resources = [] } of spec?.matchConstraints?.resourceRules ?? []) {
    for (const group of apiGroups) {
      for (const version of apiVersions) {
        for (const resource of resources) {
          const info = find(group, version, resource);
          if (info !== undefined) kinds.set(`${group}/${version}/${info.kind}`, info);
        }
      }
    }
  }
  return [...kinds.values()].slice(0, MAX_KINDS);
}

export function typeCheckPolicy(policy: ValidatingAdmissionPolicy, find: KindLookup): ExpressionWarning[] {
  const kinds = kindsOf(policy, find);
  const { validations = [], variables = [], paramKind } = policy.spec ?? {};
  const warnings: ExpressionWarning[] = [];
  const check = (fieldRef: string, expression: string, environments: ReadonlyMap<KindInfo, PolicyVariables>) => {
    const texts: string[] = [];
    for (const [{ group, version, kind }, environment] of environments) {
      const result = compilePolicyExpression(expression, environment);
      const name = group === '' ? version : `${group}/${version}`;
      if (!result.ok) texts.push(`${name}, Kind=${kind}: ${result.message}`);
    }
    if (texts.length > 0) warnings.push({ fieldRef, warning: texts.join('\n') });
  };
  const environments = new Map<KindInfo, PolicyVariables>();
  for (const kind of kinds) {
    const object = typeOfNode(kind.schema);
    const base = { namespaceObject: true, params: paramKind !== undefined, object };
    const types = new Map<string, CelType>();
    for (const { name, expression } of variables) {
      const result = compilePolicyExpression(expression, { ...base, variables: new Map(types) });
      types.set(name, result.ok ? result.program.type : DYN);
    }
    environments.set(kind, { ...base, variables: types });
  }
  for (const [i, { expression, messageExpression }] of validations.entries()) {
    check(`spec.validations[${i}].expression`, expression, environments);
    if (messageExpression) check(`spec.validations[${i}].messageExpression`, messageExpression, environments);
  }
  return warnings;
}
