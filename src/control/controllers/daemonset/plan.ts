/** What a DaemonSet needs: pods to create on nodes, pods to delete, and its status. Pure. */
import type { DaemonSet, DaemonSetStatus } from '../../../api/types/apps-v1.js';
import type { Node, Pod } from '../../../api/types/core-v1.js';
import type { IntOrString } from '../../../api/types/machinery.js';
import { REVISION_LABEL } from '../controllerrevision/history.js';
import { availableInMs, isPodReady } from '../pod-state.js';
import { nodeOf, placementOf, type Fit } from './placement.js';

export interface PlanInput {
  readonly set: DaemonSet;
  readonly nodes: readonly Node[];
  readonly pods: readonly Pod[];
  /** The hashes of revisions with the present template. */
  readonly updated: ReadonlySet<string>;
  readonly nowMs: number;
  /** Whether a failed pod of this node is to be kept for a while: its removal backs off. */
  readonly inBackOff: (node: string) => boolean;
}

export interface DaemonSetPlan {
  /** Names of nodes, one for each pod to create. */
  readonly create: readonly string[];
  readonly remove: readonly Pod[];
  /** Failed pods among `remove`. */
  readonly failed: readonly { readonly pod: Pod; readonly node: string }[];
}

export interface View {
  readonly node: string;
  readonly fit: Fit;
  /** Oldest first. */
  readonly pods: readonly Pod[];
}

/** Every node with its pods; and pods that are for no node, or for one that is gone. */
export function viewOf({ set, nodes, pods }: PlanInput): {
  readonly views: readonly View[];
  readonly stray: readonly Pod[];
} {
  const byNode = new Map<string, Pod[]>();
  for (const pod of pods) {
    const node = nodeOf(pod) ?? '';
    byNode.set(node, [...(byNode.get(node) ?? []), pod]);
  }
  const fitOf = placementOf(set);
  const views = nodes.map((node) => {
    const name = node.metadata.name ?? '';
    const here = (byNode.get(name) ?? []).toSorted(byAge);
    byNode.delete(name);
    return { node: name, fit: fitOf(node), pods: here };
  });
  // Those that already run somewhere are the pod collector's once their node is gone.
  const stray = [...byNode.values()].flat().filter(({ spec }) => !spec?.nodeName);
  return { views, stray };
}

/** Running ones before others, then the oldest: what is kept of several. */
function byAge(a: Pod, b: Pod): number {
  const bound = ({ spec }: Pod) => (spec?.nodeName ? 0 : 1);
  return (
    bound(a) - bound(b) ||
    (a.metadata.creationTimestamp ?? '').localeCompare(b.metadata.creationTimestamp ?? '') ||
    (a.metadata.name ?? '').localeCompare(b.metadata.name ?? '')
  );
}

export function planPods(input: PlanInput): DaemonSetPlan {
  const { views, stray } = viewOf(input);
  const create: string[] = [];
  const remove: Pod[] = stray.filter(({ metadata }) => !metadata.deletionTimestamp);
  const failed: { pod: Pod; node: string }[] = [];
  const surging = limitsOf(input.set, desiredOf(views)).maxSurge > 0;
  for (const { node, fit, pods } of views) {
    if (fit.shouldRun && pods.length === 0) create.push(node);
    else if (fit.shouldContinue) {
      const running: Pod[] = [];
      for (const pod of pods) {
        if (pod.metadata.deletionTimestamp) continue;
        if (pod.status?.phase === 'Failed') {
          if (input.inBackOff(node)) continue;
          failed.push({ pod, node });
          remove.push(pod);
        } else if (pod.status?.phase === 'Succeeded') remove.push(pod);
        else running.push(pod);
      }
      remove.push(...surplusOf(input, running, surging));
    } else remove.push(...pods.filter(({ metadata }) => !metadata.deletionTimestamp));
  }
  return { create, remove, failed };
}

const isUpdated = ({ updated }: PlanInput, { metadata }: Pod) => updated.has(metadata.labels?.[REVISION_LABEL] ?? '');

function isAvailable({ set, nowMs }: PlanInput, pod: Pod): boolean {
  return isPodReady(pod) && availableInMs(pod, set.spec?.minReadySeconds ?? 0, nowMs) === 0;
}

/** One pod a node; while surging an old one and a new one, until the new one is available. */
function surplusOf(input: PlanInput, running: readonly Pod[], surging: boolean): readonly Pod[] {
  if (running.length <= 1) return [];
  if (!surging) return running.slice(1);
  const fresh = running.filter((pod) => isUpdated(input, pod));
  const old = running.filter((pod) => !isUpdated(input, pod));
  const [first] = fresh;
  const done = first !== undefined && isAvailable(input, first);
  return [...fresh.slice(1), ...old.slice(done ? 0 : 1)];
}

const desiredOf = (views: readonly View[]) => views.filter(({ fit }) => fit.shouldRun).length;

/** Both limits for so many nodes, rounded up. With surge nothing goes before its successor is there. */
export function limitsOf({ spec }: DaemonSet, desired: number): { maxSurge: number; maxUnavailable: number } {
  if (spec?.updateStrategy?.type === 'OnDelete') return { maxSurge: 0, maxUnavailable: 0 };
  const rolling = spec?.updateStrategy?.rollingUpdate;
  const maxSurge = amount(rolling?.maxSurge ?? 0, desired);
  const maxUnavailable = amount(rolling?.maxUnavailable ?? 1, desired);
  // Both 0 for few nodes: the update must go on.
  return { maxSurge, maxUnavailable: maxSurge === 0 && maxUnavailable === 0 ? 1 : maxUnavailable };
}

const amount = (value: IntOrString, of: number): number =>
  typeof value === 'number' ? value : Math.ceil(((Number.parseInt(value, 10) || 0) * of) / 100);

/** The next step of a rolling update; nothing when there is none. Plan it once the set's pods are as {@link planPods} wants. */
export function planRollout(input: PlanInput): DaemonSetPlan {
  const none = { create: [], remove: [], failed: [] };
  if (input.set.spec?.updateStrategy?.type === 'OnDelete') return none;
  const { views } = viewOf(input);
  const { maxSurge, maxUnavailable } = limitsOf(input.set, desiredOf(views));
  return maxSurge > 0 ? planSurge(input, views, maxSurge) : planReplace(input, views, maxUnavailable);
}

interface Generations {
  readonly fresh: Pod | undefined;
  readonly old: Pod | undefined;
}

/** The newest living pod of each kind on a node; undefined where several of a kind wait for the next look. */
function generations(input: PlanInput, pods: readonly Pod[]): Generations {
  const living = pods.filter(({ metadata }) => !metadata.deletionTimestamp);
  return {
    fresh: living.find((pod) => isUpdated(input, pod)),
    old: living.find((pod) => !isUpdated(input, pod)),
  };
}

/** Old pods that are not available go at once; of the others as many as may be missing. */
function planReplace(input: PlanInput, views: readonly View[], maxUnavailable: number): DaemonSetPlan {
  let unavailable = 0;
  const remove: Pod[] = [];
  const candidates: Pod[] = [];
  for (const { fit, pods } of views) {
    const { fresh, old } = generations(input, pods);
    if (!fresh && !old) {
      if (fit.shouldRun) unavailable += 1;
    } else if (fresh) {
      if (!isAvailable(input, fresh)) unavailable += 1;
    } else if (old && isAvailable(input, old)) candidates.push(old);
    else if (old) {
      unavailable += 1;
      remove.push(old);
    }
  }
  remove.push(...candidates.slice(0, Math.max(0, maxUnavailable - unavailable)));
  return { create: [], remove, failed: [] };
}

/** New pods beside the old ones; an old one goes when its successor is available. */
function planSurge(input: PlanInput, views: readonly View[], maxSurge: number): DaemonSetPlan {
  const remove: Pod[] = [];
  const urgent: string[] = [];
  const candidates: string[] = [];
  let surging = 0;
  for (const { node, fit, pods } of views) {
    const { fresh, old } = generations(input, pods);
    if (!fit.shouldRun || !old) continue;
    if (!fresh) {
      if (pods.some(({ metadata }) => metadata.deletionTimestamp)) continue;
      // Where the old pod does not serve there is nothing to be careful with.
      if (isAvailable(input, old)) candidates.push(node);
      else urgent.push(node);
    } else if (isAvailable(input, fresh)) remove.push(old);
    else surging += 1;
  }
  return { create: [...urgent, ...candidates.slice(0, Math.max(0, maxSurge - surging))], remove, failed: [] };
}

export function planStatus(
  input: PlanInput,
  collisionCount: number | undefined,
): { status: DaemonSetStatus; requeueAfterMs: number | undefined } {
  const { set, nowMs } = input;
  const { views } = viewOf(input);
  let [current, misscheduled, ready, available, updated] = [0, 0, 0, 0, 0];
  const waits: number[] = [];
  for (const { fit, pods } of views) {
    const [first] = pods;
    if (!fit.shouldRun) {
      if (first) misscheduled += 1;
      continue;
    }
    if (!first) continue;
    current += 1;
    // The oldest is the one that serves.
    if (isPodReady(first)) {
      ready += 1;
      if (isAvailable(input, first)) available += 1;
      else waits.push(availableInMs(first, set.spec?.minReadySeconds ?? 0, nowMs) ?? 0);
    }
    if (isUpdated(input, first)) updated += 1;
    // A successor beside it is waited for as well.
    for (const pod of pods.slice(1)) waits.push(availableInMs(pod, set.spec?.minReadySeconds ?? 0, nowMs) ?? 0);
  }
  const desired = desiredOf(views);
  const observedGeneration = set.metadata.generation;
  const conditions = set.status?.conditions;
  const status: DaemonSetStatus = {
    currentNumberScheduled: current,
    numberMisscheduled: misscheduled,
    desiredNumberScheduled: desired,
    numberReady: ready,
    ...(observedGeneration === undefined ? {} : { observedGeneration }),
    ...(updated > 0 ? { updatedNumberScheduled: updated } : {}),
    ...(available > 0 ? { numberAvailable: available } : {}),
    ...(desired > available ? { numberUnavailable: desired - available } : {}),
    ...(collisionCount ? { collisionCount } : {}),
    ...(conditions ? { conditions } : {}),
  };
  const coming = waits.filter((wait) => wait > 0);
  return { status, requeueAfterMs: coming.length > 0 ? Math.min(...coming) : undefined };
}
