/** Node selectors compiled to predicates, so that a pod's rules are read once and applied to many nodes. Pure. */
import type { NodeSelectorTerm } from '../types/core-v1.js';

export type LabelMap = Readonly<Record<string, string>>;
export type LabelPredicate = (labels: LabelMap) => boolean;

interface Requirement {
  readonly key: string;
  readonly operator: string;
  readonly values?: readonly string[] | undefined;
}

/** What node selectors look at. */
export interface SelectableNode {
  readonly name: string;
  readonly labels: LabelMap;
}
export type NodePredicate = (node: SelectableNode) => boolean;

/** One requirement of a label or node selector; an unknown operator matches nothing. */
export function compileRequirement({ key, operator, values = [] }: Requirement): LabelPredicate {
  const set = new Set(values);
  const bound = /^[+-]?\d+$/.test(values[0] ?? '') ? Number(values[0]) : NaN;
  const numeric = (labels: LabelMap) => {
    const value = own(labels, key) ?? '';
    return /^[+-]?\d+$/.test(value) ? Number(value) : NaN;
  };
  switch (operator) {
    case 'In':
      return (labels) => {
        const value = own(labels, key);
        return value !== undefined && set.has(value);
      };
    case 'NotIn':
      return (labels) => {
        const value = own(labels, key);
        return value === undefined || !set.has(value);
      };
    case 'Exists':
      return (labels) => own(labels, key) !== undefined;
    case 'DoesNotExist':
      return (labels) => own(labels, key) === undefined;
    case 'Gt':
      return (labels) => numeric(labels) > bound;
    case 'Lt':
      return (labels) => numeric(labels) < bound;
    default:
      return () => false;
  }
}

/** Labels are plain objects, and `constructor` is a legal label. */
const own = (labels: LabelMap, key: string): string | undefined =>
  Object.hasOwn(labels, key) ? labels[key] : undefined;

export const allOf = (predicates: readonly LabelPredicate[]): LabelPredicate => {
  const [first] = predicates;
  if (predicates.length === 1 && first) return first;
  return (labels) => predicates.every((predicate) => predicate(labels));
};

/** One term of a node selector. A term without any requirement matches no node. */
export function compileNodeTerm(term: NodeSelectorTerm): NodePredicate {
  const expressions = term.matchExpressions ?? [];
  const fields = term.matchFields ?? [];
  if (expressions.length === 0 && fields.length === 0) return () => false;
  const labels = allOf(expressions.map(compileRequirement));
  const names = allOf(fields.map(compileRequirement));
  if (fields.length === 0) return (node) => labels(node.labels);
  return (node) => labels(node.labels) && names({ 'metadata.name': node.name });
}
