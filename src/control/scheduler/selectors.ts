/** Label and node selectors compiled to predicates, so that a pod's rules are read once and applied to many nodes. */
import type { LabelSelector } from '../../api/types/meta-v1.js';
import type { NodeSelectorRequirement, NodeSelectorTerm } from '../../api/types/core-v1.js';

export type LabelMap = Readonly<Record<string, string>>;
export type LabelPredicate = (labels: LabelMap) => boolean;

interface Requirement {
  readonly key: string;
  readonly operator: string;
  readonly values?: readonly string[] | undefined;
}

function compileRequirement({ key, operator, values = [] }: Requirement): LabelPredicate {
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

const all = (predicates: readonly LabelPredicate[]): LabelPredicate => {
  const [first] = predicates;
  if (predicates.length === 1 && first) return first;
  return (labels) => predicates.every((predicate) => predicate(labels));
};

/** An absent selector matches nothing, an empty one everything (`metav1.LabelSelectorAsSelector`). */
export function compileLabelSelector(selector: LabelSelector | undefined): LabelPredicate {
  if (!selector) return () => false;
  return all([
    ...Object.entries(selector.matchLabels ?? {}).map(
      ([key, value]): LabelPredicate =>
        (labels) =>
          labels[key] === value,
    ),
    ...(selector.matchExpressions ?? []).map(compileRequirement),
  ]);
}

/** `selector` narrowed to the pod's own values of `keys` (`matchLabelKeys`), or away from them (`mismatchLabelKeys`). */
export function narrowSelector(
  selector: LabelSelector | undefined,
  labels: LabelMap,
  keys: readonly string[] | undefined,
  operator: 'In' | 'NotIn',
): LabelSelector | undefined {
  const present = (keys ?? []).filter((key) => labels[key] !== undefined);
  if (!selector || present.length === 0) return selector;
  return {
    ...selector,
    matchExpressions: [
      ...(selector.matchExpressions ?? []),
      ...present.map((key) => ({ key, operator, values: [labels[key] as string] })),
    ],
  };
}

/** What node selectors look at. */
export interface SelectableNode {
  readonly name: string;
  readonly labels: LabelMap;
}
export type NodePredicate = (node: SelectableNode) => boolean;

/** One term of a node selector. A term without any requirement matches no node. */
export function compileNodeTerm(term: NodeSelectorTerm): NodePredicate {
  const expressions = term.matchExpressions ?? [];
  const fields = term.matchFields ?? [];
  if (expressions.length === 0 && fields.length === 0) return () => false;
  const labels = all(expressions.map(compileRequirement));
  const names = all(fields.map(compileRequirement));
  if (fields.length === 0) return (node) => labels(node.labels);
  return (node) => labels(node.labels) && names({ 'metadata.name': node.name });
}

/** The node names that these fields allow, or undefined when they do not narrow names down. */
export function namesInFields(fields: readonly NodeSelectorRequirement[] | undefined): string[] | undefined {
  return fields?.find(({ key, operator }) => key === 'metadata.name' && operator === 'In')?.values;
}
