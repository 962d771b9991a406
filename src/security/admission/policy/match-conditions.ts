/** `matchConditions`: expressions that must all hold for a webhook to be called or a policy to be evaluated. */
import type { CostBudget } from '../../../api/cel/evaluation.js';
import type { Program } from '../../../api/cel/environment.js';
import { compilePolicyExpression, type PolicyVariables } from '../../../api/cel/policies.js';
import { BOOL } from '../../../api/cel/types.js';
import type { Value } from '../../../api/cel/values.js';
import type { MatchCondition } from '../../../api/types/admissionregistration-v1.js';

export interface CompiledCondition {
  readonly name: string;
  /** Absent when it does not compile, which validation refuses: evaluating it is an error. */
  readonly program: Program | undefined;
}

export function compileConditions(
  conditions: readonly MatchCondition[] | undefined,
  available: PolicyVariables,
): readonly CompiledCondition[] {
  return (conditions ?? []).map(({ name, expression }) => {
    const compiled = compilePolicyExpression(expression, available, [BOOL]);
    return { name, program: compiled.ok ? compiled.program : undefined };
  });
}

/** One condition that is false decides, whatever errors the others have. */
export type ConditionsResult =
  | { readonly matches: boolean; readonly error?: undefined; readonly failed?: string }
  | { readonly matches: false; readonly error: string };

export function evaluateConditions(
  conditions: readonly CompiledCondition[],
  values: (name: string) => Value,
  budget: CostBudget,
): ConditionsResult {
  const errors: string[] = [];
  for (const { name, program } of conditions) {
    const result = program?.evaluate(values, budget);
    if (result?.ok === true && result.value === false) return { matches: false, failed: name };
    if (result?.ok === true && result.value === true) continue;
    const why = result === undefined ? 'the expression does not compile' : result.ok ? 'not a bool' : result.message;
    errors.push(`expression '${program?.expression ?? name}' resulted in error: ${why}`);
  }
  return errors.length > 0 ? { matches: false, error: errors.join(', ') } : { matches: true };
}
