/** Which nodes the pods of a DaemonSet are for, and what its pods look like. Pure; after upstream's `NodeShouldRunDaemonPod`. */
import { compileNodeTerm } from '../../../api/selectors/node.js';
import { DAEMONSETS } from '../../../api/resource.js';
import type { DaemonSet } from '../../../api/types/apps-v1.js';
import type { Node, NodeSelectorTerm, Pod, PodSpec, Toleration } from '../../../api/types/core-v1.js';
import { controllerRef } from '../claim.js';
import { REVISION_LABEL } from '../controllerrevision/history.js';
import { tolerates } from '../nodelifecycle/tolerations.js';

/** Pods of a DaemonSet stay with their node whatever becomes of it. */
const TOLERATED: readonly Toleration[] = [
  { key: 'node.kubernetes.io/not-ready', operator: 'Exists', effect: 'NoExecute' },
  { key: 'node.kubernetes.io/unreachable', operator: 'Exists', effect: 'NoExecute' },
  { key: 'node.kubernetes.io/disk-pressure', operator: 'Exists', effect: 'NoSchedule' },
  { key: 'node.kubernetes.io/memory-pressure', operator: 'Exists', effect: 'NoSchedule' },
  { key: 'node.kubernetes.io/pid-pressure', operator: 'Exists', effect: 'NoSchedule' },
  { key: 'node.kubernetes.io/unschedulable', operator: 'Exists', effect: 'NoSchedule' },
];
const WITH_HOST_NETWORK: Toleration = {
  key: 'node.kubernetes.io/network-unavailable',
  operator: 'Exists',
  effect: 'NoSchedule',
};
/** `pods` are also found by the template's generation, as old clients wrote it. */
const GENERATION_LABEL = 'pod-template-generation';
const GENERATION_ANNOTATION = 'deprecated.daemonset.template.generation';

/** What the template tolerates, and what all DaemonSets do. */
export function tolerationsOf(spec: PodSpec | undefined): Toleration[] {
  const present = spec?.tolerations ?? [];
  const added = spec?.hostNetwork === true ? [...TOLERATED, WITH_HOST_NETWORK] : TOLERATED;
  const has = (wanted: Toleration) =>
    present.some(
      ({ key, operator, effect, value }) =>
        key === wanted.key && effect === wanted.effect && (operator ?? 'Equal') === wanted.operator && !value,
    );
  return [...present, ...added.filter((toleration) => !has(toleration))];
}

export interface Fit {
  /** A pod belongs on this node. */
  readonly shouldRun: boolean;
  /** A pod that is there may stay. */
  readonly shouldContinue: boolean;
}

const NEVER: Fit = { shouldRun: false, shouldContinue: false };

/** Compiled once for all nodes: the template's node name, selector, affinity and tolerations. */
export function placementOf({ spec: set }: DaemonSet): (node: Node) => Fit {
  const spec = set?.template.spec;
  const tolerations = tolerationsOf(spec);
  const selector = Object.entries(spec?.nodeSelector ?? {});
  const required = spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  const terms = required?.nodeSelectorTerms.map(compileNodeTerm);
  return ({ metadata, spec: nodeSpec }) => {
    const { name = '', labels = {} } = metadata;
    if (spec?.nodeName && spec.nodeName !== name) return NEVER;
    if (!selector.every(([key, value]) => Object.hasOwn(labels, key) && labels[key] === value)) return NEVER;
    if (terms && !terms.some((matches) => matches({ name, labels }))) return NEVER;
    const untolerated = (nodeSpec?.taints ?? []).filter(
      (taint) => !tolerations.some((toleration) => tolerates(toleration, taint)),
    );
    return {
      shouldRun: !untolerated.some(({ effect }) => effect === 'NoSchedule' || effect === 'NoExecute'),
      shouldContinue: !untolerated.some(({ effect }) => effect === 'NoExecute'),
    };
  };
}

/** The pod for one node: the scheduler places it there, as it may nowhere else. */
export function podFor(set: DaemonSet, node: string, hash: string): Pod {
  const { metadata, spec } = structuredClone(set.spec?.template) ?? {};
  const { labels, annotations, finalizers } = metadata ?? {};
  const generation = set.metadata.annotations?.[GENERATION_ANNOTATION];
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      namespace: set.metadata.namespace ?? '',
      generateName: `${set.metadata.name ?? ''}-`,
      labels: { ...labels, [REVISION_LABEL]: hash, ...(generation ? { [GENERATION_LABEL]: generation } : {}) },
      ...(annotations ? { annotations } : {}),
      ...(finalizers ? { finalizers } : {}),
      ownerReferences: [controllerRef(DAEMONSETS, set)],
    },
    spec: {
      ...(spec ?? { containers: [] }),
      affinity: { ...spec?.affinity, nodeAffinity: { ...spec?.affinity?.nodeAffinity, ...onNode(spec, node) } },
      tolerations: tolerationsOf(spec),
    },
  };
}

/** Each term of the template's affinity, narrowed to the node; a term of its own without any. */
function onNode(spec: PodSpec | undefined, node: string) {
  const field = { key: 'metadata.name', operator: 'In', values: [node] } as const;
  const present = spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? [];
  const terms = (present.length > 0 ? present : [{}]).map((term: NodeSelectorTerm): NodeSelectorTerm => ({
    ...term,
    matchFields: [{ ...field, values: [...field.values] }],
  }));
  return { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: terms } };
}

/** Where the pod runs, or is meant to. */
export function nodeOf({ spec }: Pod): string | undefined {
  if (spec?.nodeName) return spec.nodeName;
  const terms = spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? [];
  for (const { matchFields } of terms) {
    const field = matchFields?.find(({ key, operator }) => key === 'metadata.name' && operator === 'In');
    if (field?.values?.length === 1) return field.values[0];
  }
  return undefined;
}
