/** Compiling expressions against declared variables, and running them within their cost. */
import { Compiler } from './compiler.js';
import { estimateCost } from './cost-estimate.js';
import type { SizedType } from './cost-sizes.js';
import { CelCostError, CostBudget, Evaluation } from './evaluation.js';
import { kubernetesFunctions } from './library/index.js';
import { parseExpression, type Expr, type Issue } from './syntax.js';
import { assignable, formatType, type CelType } from './types.js';
import { CelError, type Value } from './values.js';

/** A value, or why there is none. `costExceeded` tells a run that was cut off. */
export type EvaluationResult =
  | { readonly ok: true; readonly value: Value }
  | { readonly ok: false; readonly message: string; readonly costExceeded: boolean };

export interface Program {
  readonly expression: string;
  readonly type: CelType;
  /** Never throws for anything that the expression or its data does; takes its cost from the budget. */
  evaluate(variables: (name: string) => Value, budget?: CostBudget): EvaluationResult;
}

export type CompileResult =
  | { readonly ok: true; readonly program: Program }
  /** `message` is cel-go's: one `ERROR: <input>:line:column: …` with the source line for each finding. */
  | { readonly ok: false; readonly message: string; readonly issues: readonly Issue[] };

export interface CompileOptions {
  readonly variables: ReadonlyMap<string, CelType>;
  /** Types that the result may have; any unless given. `dyn` results pass and are checked when they are there. */
  readonly results?: readonly CelType[];
}

/** Issues that one expression shows at most. */
const MAX_ISSUES = 10;
/** Characters of a line that are shown. */
const MAX_LINE = 1000;

/** Never throws. */
export function compile(expression: string, options: CompileOptions): CompileResult {
  try {
    return compileExpression(expression, options);
  } catch (error) {
    // Long chains of operators nest without brackets, which is all that the parser counts.
    if (error instanceof RangeError) return failed(expression, [{ at: 0, message: 'expression is nested too deep' }]);
    throw error;
  }
}

function compileExpression(expression: string, { variables, results }: CompileOptions): CompileResult {
  const parsed = parseExpression(expression);
  if ('issue' in parsed) return failed(expression, [parsed.issue]);
  const compiler = new Compiler(kubernetesFunctions(), variables);
  const { type, code } = compiler.build(parsed.expr, undefined);
  if (compiler.issues.length > 0) return failed(expression, compiler.issues);
  if (results !== undefined && !results.some((expected) => fits(expected, type))) {
    const wanted = results.map(formatType).join(' or ');
    return { ok: false, message: `must evaluate to ${wanted}`, issues: [] };
  }
  return {
    ok: true,
    program: {
      expression,
      type,
      evaluate(values, budget = new CostBudget()) {
        try {
          return { ok: true, value: code(new Evaluation(values, budget)) };
        } catch (error) {
          if (error instanceof CelError) {
            return { ok: false, message: error.message, costExceeded: error instanceof CelCostError };
          }
          // The parser's limits bound the nesting; a deep value can still exhaust the stack when it is compared.
          if (error instanceof RangeError)
            return { ok: false, message: 'evaluation is nested too deep', costExceeded: true };
          throw error;
        }
      },
    },
  };
}

/** Steps of the expression at most, for variables of these sizes; 0 for what does not compile. Never throws. */
export function maxCost(
  expression: string,
  variables: ReadonlyMap<string, CelType>,
  sizes: ReadonlyMap<string, SizedType | undefined>,
): number {
  const parsed = parseExpression(expression);
  if ('issue' in parsed) return 0;
  const types = new Map<Expr, CelType>();
  try {
    new Compiler(kubernetesFunctions(), variables, types).build(parsed.expr, undefined);
    return estimateCost(parsed.expr, types, kubernetesFunctions(), sizes);
  } catch (error) {
    // As `compile` takes what is nested too deep.
    if (error instanceof RangeError) return 0;
    throw error;
  }
}

const fits = (expected: CelType, type: CelType): boolean =>
  type.kind === 'dyn' || (type.kind === expected.kind && assignable(expected, type, new Map()));

function failed(expression: string, issues: readonly Issue[]): CompileResult {
  const shown = [...issues].sort((a, b) => a.at - b.at).slice(0, MAX_ISSUES);
  return { ok: false, message: shown.map((issue) => formatIssue(expression, issue)).join('\n'), issues: shown };
}

/** `ERROR: <input>:1:6: text`, the line, and a mark under the place. */
function formatIssue(expression: string, { at, message }: Issue): string {
  const before = expression.slice(0, at).split('\n');
  const column = before.at(-1)?.length ?? 0;
  const line = (expression.split('\n')[before.length - 1] ?? '').slice(0, MAX_LINE);
  return `ERROR: <input>:${before.length}:${column + 1}: ${message}\n | ${line}\n | ${'.'.repeat(Math.min(column, MAX_LINE))}^`;
}
