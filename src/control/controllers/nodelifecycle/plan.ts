/** What a node's liveness and conditions mean for its status and taints. Pure. */
import { rfc3339 } from '../../../base/clock.js';
import type { Node, NodeCondition, NodeStatus, Pod, PodStatus, Taint } from '../../../api/types/core-v1.js';

export const UNREACHABLE = 'node.kubernetes.io/unreachable';
export const NOT_READY = 'node.kubernetes.io/not-ready';
const UNSCHEDULABLE = 'node.kubernetes.io/unschedulable';

/** Taints that follow from a condition being True. */
const PRESSURE: readonly (readonly [condition: string, taint: string])[] = [
  ['MemoryPressure', 'node.kubernetes.io/memory-pressure'],
  ['DiskPressure', 'node.kubernetes.io/disk-pressure'],
  ['PIDPressure', 'node.kubernetes.io/pid-pressure'],
  ['NetworkUnavailable', 'node.kubernetes.io/network-unavailable'],
];

/** Conditions that nobody reports once the kubelet is gone. */
const REPORTED_BY_KUBELET = ['Ready', 'MemoryPressure', 'DiskPressure', 'PIDPressure'] as const;

export const readyOf = ({ status }: Node) => status?.conditions?.find(({ type }) => type === 'Ready')?.status;

/** The status of a node that does not answer; undefined when it says so already. */
export function unknownStatus({ status }: Node, nowMs: number): NodeStatus | undefined {
  const now = rfc3339(nowMs);
  const present = status?.conditions ?? [];
  if (REPORTED_BY_KUBELET.every((type) => present.find((c) => c.type === type)?.status === 'Unknown')) return undefined;
  const unknown = REPORTED_BY_KUBELET.map((type): NodeCondition => {
    const before = present.find((condition) => condition.type === type);
    if (before?.status === 'Unknown') return before;
    return {
      type,
      status: 'Unknown',
      reason: before ? 'NodeStatusUnknown' : 'NodeStatusNeverUpdated',
      message: before ? 'Kubelet stopped posting node status.' : 'Kubelet never posted node status.',
      ...(before?.lastHeartbeatTime ? { lastHeartbeatTime: before.lastHeartbeatTime } : {}),
      lastTransitionTime: now,
    };
  });
  const others = present.filter(({ type }) => !REPORTED_BY_KUBELET.some((reported) => reported === type));
  return { ...status, conditions: [...others, ...unknown] };
}

/**
 * The taints a node should have; undefined when it has them. `mayEvict` false holds back a new NoExecute taint (rate
 * limit), never one that is there.
 */
export function plannedTaints(node: Node, alive: boolean, mayEvict: boolean, nowMs: number): Taint[] | undefined {
  const present = node.spec?.taints ?? [];
  const ready = readyOf(node);
  const wanted = new Set<string>();
  const want = (key: string, effect: Taint['effect']) => wanted.add(`${key}:${effect}`);
  // Alive but still Unknown: its kubelet is back and has not reported yet; what it is tainted with stays until it has.
  const unreachable = !alive || ready === 'Unknown';
  const lost = unreachable ? UNREACHABLE : ready === 'False' ? NOT_READY : undefined;
  if (lost) {
    want(lost, 'NoSchedule');
    if (mayEvict || present.some(({ key, effect }) => key === lost && effect === 'NoExecute')) want(lost, 'NoExecute');
  } else if (ready === undefined) {
    // Never reported: whatever it was registered with stays.
    for (const { key, effect } of present) if (key === NOT_READY || key === UNREACHABLE) want(key, effect);
  }
  if (node.spec?.unschedulable === true) want(UNSCHEDULABLE, 'NoSchedule');
  for (const [condition, taint] of PRESSURE) {
    if (node.status?.conditions?.some(({ type, status }) => type === condition && status === 'True')) {
      want(taint, 'NoSchedule');
    }
  }
  const kept = present.filter(({ key, effect }) => !isManaged(key) || wanted.delete(`${key}:${effect}`));
  if (wanted.size === 0 && kept.length === present.length) return undefined;
  const added = [...wanted].map((text): Taint => {
    const at = text.lastIndexOf(':');
    return { key: text.slice(0, at), effect: text.slice(at + 1) as Taint['effect'], timeAdded: rfc3339(nowMs) };
  });
  return [...kept, ...added];
}

/** True when {@link plannedTaints} would add a NoExecute taint if it may. */
export function needsNoExecute(node: Node, alive: boolean): boolean {
  const ready = readyOf(node);
  const lost = !alive || ready === 'Unknown' ? UNREACHABLE : ready === 'False' ? NOT_READY : undefined;
  return lost !== undefined && !node.spec?.taints?.some(({ key, effect }) => key === lost && effect === 'NoExecute');
}

function isManaged(key: string): boolean {
  return (
    key === UNREACHABLE || key === NOT_READY || key === UNSCHEDULABLE || PRESSURE.some(([, taint]) => taint === key)
  );
}

/** The status of a pod whose node is lost: not ready; undefined when it says so already. */
export function notReadyStatus({ status }: Pod, nowMs: number): PodStatus | undefined {
  const ready = status?.conditions?.find(({ type }) => type === 'Ready');
  if (ready?.status !== 'True') return undefined;
  const conditions = (status?.conditions ?? []).map((condition) =>
    condition === ready ? { ...condition, status: 'False', lastTransitionTime: rfc3339(nowMs) } : condition,
  );
  return { ...status, conditions };
}
