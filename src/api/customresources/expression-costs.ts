/**
 * What a schema's rules can cost at most, as Kubernetes estimates it: a definition is refused whose rules could hold up the server,
 * on any object that its schema lets through. Bounds on lists, maps and texts bring the estimate down.
 */
import type { JSONSchemaProps } from '../types/apiextensions-v1.js';
import type { FieldErrors } from '../validation/field-errors.js';

/** Steps of one rule at most, on all values of one object together. */
const EXPRESSION_LIMIT = 10_000_000;
/** Steps of all rules of a schema. */
const SCHEMA_LIMIT = 100_000_000;
/** Expressions that are named when the schema costs too much. */
const NAMED = 4;

const HINT =
  'try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared';

function overBudget(what: string, cost: number, limit: number): string {
  const factor = cost / limit;
  // Beyond that the estimate says no more than that something is not bounded.
  const shown = factor > 100 ? 'more than 100x' : factor < 1.5 ? `${factor.toFixed(6)}x` : `${factor.toFixed(1)}x`;
  return `${what} exceeds budget by factor of ${shown} (${HINT})`;
}

/**
 * How often values of a child schema can be in an object of which `count` parents can be; undefined where nothing but the size of a
 * request bounds it.
 */
export function childCount(count: number | undefined, parent: JSONSchemaProps): number | undefined {
  const { type, additionalProperties, maxProperties, maxItems } = parent;
  let most: number | undefined;
  if (type === 'array') most = maxItems;
  else if (type === 'object') most = additionalProperties === undefined ? 1 : maxProperties;
  return count === undefined || most === undefined ? undefined : count * Math.max(0, most);
}

export class SchemaCost {
  private total = 0;
  private readonly expensive: { readonly path: string; readonly cost: number }[] = [];

  constructor(private readonly errors: FieldErrors) {}

  /** @param cost Of one expression, on all values of an object. */
  add(path: string, what: 'rule' | 'messageExpression', cost: number): void {
    if (cost > EXPRESSION_LIMIT)
      this.errors.forbidden(path, overBudget(`estimated ${what} cost`, cost, EXPRESSION_LIMIT));
    this.total += cost;
    if (cost < 1) return;
    this.expensive.push({ path, cost });
    this.expensive.sort((a, b) => b.cost - a.cost);
    this.expensive.splice(NAMED);
  }

  /** To be called after the last expression. */
  check(path: string): void {
    if (this.total <= SCHEMA_LIMIT) return;
    for (const { path: at } of this.expensive) {
      this.errors.forbidden(
        at,
        'contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema',
      );
    }
    const what = 'x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema';
    this.errors.forbidden(path, overBudget(what, this.total, SCHEMA_LIMIT));
  }
}
