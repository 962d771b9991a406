/** Label selectors compiled to predicates, so that a pod's rules are read once and applied to many nodes. */
import { allOf, compileRequirement, type LabelMap, type LabelPredicate } from '../../api/selectors/node.js';
import type { LabelSelector } from '../../api/types/meta-v1.js';
import type { NodeSelectorRequirement } from '../../api/types/core-v1.js';

export {
  compileNodeTerm,
  type LabelMap,
  type LabelPredicate,
  type NodePredicate,
  type SelectableNode,
} from '../../api/selectors/node.js';

/** An absent selector matches nothing, an empty one everything (`metav1.LabelSelectorAsSelector`). */
export function compileLabelSelector(selector: LabelSelector | undefined): LabelPredicate {
  if (!selector) return () => false;
  return allOf([
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

/** The node names that these fields allow, or undefined when they do not narrow names down. */
export function namesInFields(fields: readonly NodeSelectorRequirement[] | undefined): string[] | undefined {
  return fields?.find(({ key, operator }) => key === 'metadata.name' && operator === 'In')?.values;
}
