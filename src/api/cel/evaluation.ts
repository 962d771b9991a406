/** What one evaluation may use: every step costs, so that no expression can hold up the server. */
import { CelError, CelList, type Value } from './values.js';

/** Steps of one evaluation at most, as upstream's PerCallLimit: about 0.1 s. */
export const PER_CALL_COST_LIMIT = 1_000_000;
/**
 * Steps of all evaluations about one object or request at most. Upstream's RuntimeCELCostBudget is five times that; here
 * nothing else is written meanwhile.
 */
export const REQUEST_COST_BUDGET = 2_000_000;

/** The evaluation took too many steps. It is not an error that `||` may swallow. */
export class CelCostError extends CelError {
  constructor() {
    super('operation cancelled: actual cost limit exceeded');
  }
}

/** Counts down over several evaluations. */
export class CostBudget {
  remaining: number;
  constructor(limit: number = REQUEST_COST_BUDGET) {
    this.remaining = limit;
  }
  get spent(): boolean {
    return this.remaining < 0;
  }
}

/** The state of one evaluation: variables, locals of comprehensions and the cost so far. */
export class Evaluation {
  readonly locals: Value[] = [];
  private left: number;

  constructor(
    readonly variables: (name: string) => Value,
    private readonly budget: CostBudget,
    limit: number = PER_CALL_COST_LIMIT,
  ) {
    this.left = limit;
  }

  /** Throws {@link CelCostError} once the limit is passed. */
  spend(cost: number): void {
    this.left -= cost;
    this.budget.remaining -= cost;
    if (this.left < 0 || this.budget.remaining < 0) throw new CelCostError();
  }
}

const PER_CHARACTER = 0.1;

/** What it costs to go through a value once. */
export function traversalCost(value: Value): number {
  if (typeof value === 'string' || value instanceof Uint8Array) return value.length * PER_CHARACTER;
  return value instanceof CelList ? value.size * PER_CHARACTER : 0;
}
