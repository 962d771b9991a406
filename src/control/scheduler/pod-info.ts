/** What the scheduler needs to know of a pod, worked out once. Immutable. */
import type { Pod, Toleration, TopologySpreadConstraint } from '../../api/types/core-v1.js';
import { controllerOf, keyOf } from '../../api/object.js';
import { compileAffinityTerm, type AffinityTerm } from './affinity-term.js';
import { podRequests, type Resources } from './resources.js';
import {
  compileLabelSelector,
  compileNodeTerm,
  namesInFields,
  narrowSelector,
  type LabelMap,
  type LabelPredicate,
  type NodePredicate,
} from './selectors.js';

export interface HostPort {
  readonly protocol: string;
  readonly ip: string;
  readonly port: number;
}

export interface Weighted<T> {
  readonly weight: number;
  readonly term: T;
}

export interface SpreadConstraint {
  readonly source: TopologySpreadConstraint;
  readonly topologyKey: string;
  readonly maxSkew: number;
  readonly minDomains: number;
  readonly hard: boolean;
  readonly honorAffinity: boolean;
  readonly honorTaints: boolean;
  /** Equal for equal selectors. */
  readonly selectorKey: string;
  readonly matches: LabelPredicate;
}

export interface PodInfo {
  readonly key: string;
  readonly pod: Pod;
  readonly namespace: string;
  readonly labels: LabelMap;
  readonly priority: number;
  /** Uid of the controlling owner, or the empty string. */
  readonly ownerUid: string;
  readonly terminating: boolean;
  readonly requests: Resources;
  readonly hostPorts: readonly HostPort[];
  readonly tolerations: readonly Toleration[];
  /** nodeSelector and required node affinity together; undefined when the pod has neither. */
  readonly nodeMatches: NodePredicate | undefined;
  /** The only nodes that required node affinity can mean (DaemonSet pods name theirs); undefined when not so narrow. */
  readonly nodeNames: ReadonlySet<string> | undefined;
  readonly preferredNodes: readonly Weighted<NodePredicate>[];
  readonly affinity: readonly AffinityTerm[];
  readonly antiAffinity: readonly AffinityTerm[];
  /** Preferred terms of both kinds; anti-affinity has a negative weight. */
  readonly preferredPods: readonly Weighted<AffinityTerm>[];
  readonly spread: readonly SpreadConstraint[];
  /** Normalised image names of all containers. */
  readonly images: readonly string[];
}

const NONE: readonly never[] = Object.freeze([]);

function hostPortsOf(pod: Pod): readonly HostPort[] {
  const sidecars = (pod.spec?.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === 'Always');
  const ports = [...(pod.spec?.containers ?? []), ...sidecars].flatMap((container) =>
    (container.ports ?? []).flatMap(({ hostPort, containerPort, hostIP, protocol }) => {
      const port = hostPort ?? (pod.spec?.hostNetwork ? containerPort : 0);
      return port > 0 ? [{ protocol: protocol ?? 'TCP', ip: hostIP || '0.0.0.0', port }] : [];
    }),
  );
  return ports.length === 0 ? NONE : ports;
}

function nodeRules(pod: Pod): Pick<PodInfo, 'nodeMatches' | 'nodeNames' | 'preferredNodes'> {
  const affinity = pod.spec?.affinity?.nodeAffinity;
  const selector = Object.entries(pod.spec?.nodeSelector ?? {});
  const required = affinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
  const terms = required?.map(compileNodeTerm);
  const names = required?.map((term) => namesInFields(term.matchFields));
  const narrow = names && names.length > 0 && names.every((list) => list !== undefined);
  return {
    nodeMatches:
      selector.length === 0 && !terms
        ? undefined
        : (node) =>
            selector.every(([key, value]) => node.labels[key] === value) &&
            (!terms || terms.some((matches) => matches(node))),
    nodeNames: narrow ? new Set(names.flat()) : undefined,
    preferredNodes: (affinity?.preferredDuringSchedulingIgnoredDuringExecution ?? NONE)
      .filter(({ weight }) => weight !== 0)
      .map(({ weight, preference }) => ({ weight, term: compileNodeTerm(preference) })),
  };
}

function podRules(pod: Pod, owner: { namespace: string; labels: LabelMap }) {
  const affinity = pod.spec?.affinity?.podAffinity;
  const anti = pod.spec?.affinity?.podAntiAffinity;
  const weighted = (sign: 1 | -1, list: typeof affinity | typeof anti) =>
    (list?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map(({ weight, podAffinityTerm }) => ({
      weight: sign * weight,
      term: compileAffinityTerm(podAffinityTerm, owner),
    }));
  const required = (list: typeof affinity | typeof anti) =>
    (list?.requiredDuringSchedulingIgnoredDuringExecution ?? NONE).map((term) => compileAffinityTerm(term, owner));
  if (!affinity && !anti) return { affinity: NONE, antiAffinity: NONE, preferredPods: NONE };
  return {
    affinity: required(affinity),
    antiAffinity: required(anti),
    preferredPods: [...weighted(1, affinity), ...weighted(-1, anti)],
  };
}

function spreadOf(pod: Pod, labels: LabelMap): readonly SpreadConstraint[] {
  const constraints = pod.spec?.topologySpreadConstraints;
  if (!constraints?.length) return NONE;
  return constraints.map((source) => {
    const selector = narrowSelector(source.labelSelector, labels, source.matchLabelKeys, 'In');
    return {
      source,
      topologyKey: source.topologyKey,
      maxSkew: source.maxSkew,
      minDomains: source.minDomains ?? 1,
      hard: source.whenUnsatisfiable === 'DoNotSchedule',
      honorAffinity: source.nodeAffinityPolicy !== 'Ignore',
      honorTaints: source.nodeTaintsPolicy === 'Honor',
      selectorKey: JSON.stringify(selector ?? null),
      matches: compileLabelSelector(selector),
    };
  });
}

/** An image reference with the tag that the runtime would add (`latest`). */
export function normalImage(image: string): string {
  return image.lastIndexOf(':') <= image.lastIndexOf('/') ? `${image}:latest` : image;
}

/** Reads a pod. Never throws for a pod that the API accepted. */
export function podInfoOf(pod: Pod): PodInfo {
  const namespace = pod.metadata.namespace ?? '';
  const labels = pod.metadata.labels ?? {};
  const images = [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])];
  return {
    key: keyOf(pod),
    pod,
    namespace,
    labels,
    priority: pod.spec?.priority ?? 0,
    ownerUid: controllerOf(pod)?.uid ?? '',
    terminating: pod.metadata.deletionTimestamp !== undefined,
    requests: podRequests(pod.spec),
    hostPorts: hostPortsOf(pod),
    tolerations: pod.spec?.tolerations ?? NONE,
    ...nodeRules(pod),
    ...podRules(pod, { namespace, labels }),
    spread: spreadOf(pod, labels),
    images: images.flatMap(({ image }) => (image ? [normalImage(image)] : [])),
  };
}
