/** The node's own check of a pod that was bound to it: what the scheduler could not know, or nobody asked. */
import { parseQuantity } from '../../api/quantity.js';
import { labelMatcher } from '../../api/selectors/label.js';
import type { Node, NodeSelectorTerm, Pod } from '../../api/types/core-v1.js';
import type { Verdict } from './plan.js';
import { isSidecar, isTerminalPhase } from './pod-model.js';

/** Undefined when the pod may run here beside the others. */
export function admit(pod: Pod, others: readonly Pod[], node: Node | undefined): Verdict | undefined {
  if (!node) return undefined;
  const active = others.filter((other) => !isTerminalPhase(other.status?.phase));
  if (!matchesNode(pod, node)) {
    const text = "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector";
    return { reason: 'NodeAffinity', message: `Pod was rejected: ${text}`, rejected: true };
  }
  const taken = new Set(active.flatMap(hostPorts));
  if (hostPorts(pod).some((port) => taken.has(port))) {
    const text = "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports";
    return { reason: 'NodePorts', message: `Pod was rejected: ${text}`, rejected: true };
  }
  return lacking(pod, active, node);
}

function lacking(pod: Pod, active: readonly Pod[], node: Node): Verdict | undefined {
  const allocatable = node.status?.allocatable ?? {};
  const refuse = (name: string, requested: number, used: number, capacity: number): Verdict => ({
    reason: `OutOf${name}`,
    rejected: true,
    message:
      `Pod was rejected: Node didn't have enough resource: ${name}, ` +
      `requested: ${requested}, used: ${used}, capacity: ${capacity}`,
  });
  const pods = allocatable['pods'];
  if (pods !== undefined && active.length + 1 > parseQuantity(pods).value) {
    return refuse('pods', 1, active.length, parseQuantity(pods).value);
  }
  for (const [name, available] of Object.entries(allocatable)) {
    if (name === 'pods') continue;
    const requested = requestOf(pod, name);
    if (requested === 0) continue;
    const used = active.reduce((sum, other) => sum + requestOf(other, name), 0);
    const capacity = amount(name, available);
    if (requested + used > capacity) return refuse(name, requested, used, capacity);
  }
  return undefined;
}

const amount = (name: string, quantity: string | number) =>
  name === 'cpu' ? parseQuantity(quantity).milliValue : parseQuantity(quantity).value;

/** App containers and sidecars add up; plain init containers count by their maximum. cpu in thousandths. */
export function requestOf(pod: Pod, name: string): number {
  const { containers, initContainers = [], overhead = {} } = pod.spec ?? { containers: [] };
  const of = (container: (typeof containers)[number]) => {
    const quantity = container.resources?.requests?.[name] ?? container.resources?.limits?.[name];
    return quantity === undefined ? 0 : amount(name, quantity);
  };
  let sidecars = 0;
  let peak = 0;
  for (const container of initContainers) {
    if (isSidecar(container)) sidecars += of(container);
    else peak = Math.max(peak, of(container) + sidecars);
  }
  const running = containers.reduce((sum, container) => sum + of(container), sidecars);
  const extra = overhead[name];
  return Math.max(running, peak) + (extra === undefined ? 0 : amount(name, extra));
}

function hostPorts(pod: Pod): string[] {
  return (pod.spec?.containers ?? []).flatMap(({ ports = [] }) =>
    ports.flatMap(({ hostPort, protocol = 'TCP', hostIP }) =>
      hostPort ? [`${protocol}/${hostIP && hostIP !== '0.0.0.0' ? hostIP : '*'}/${hostPort}`] : [],
    ),
  );
}

function matchesNode(pod: Pod, node: Node): boolean {
  const labels = node.metadata.labels ?? {};
  const selector = Object.entries(pod.spec?.nodeSelector ?? {});
  if (!selector.every(([key, value]) => labels[key] === value)) return false;
  const required = pod.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  return !required || required.nodeSelectorTerms.some((term) => matchesTerm(term, node));
}

function matchesTerm({ matchExpressions = [], matchFields = [] }: NodeSelectorTerm, node: Node): boolean {
  if (matchExpressions.length + matchFields.length === 0) return false;
  const labels = node.metadata.labels ?? {};
  const fields = { 'metadata.name': node.metadata.name ?? '' };
  return matchExpressions.every((one) => matches(one, labels)) && matchFields.every((one) => matches(one, fields));
}

function matches(
  { key, operator, values = [] }: { key: string; operator: string; values?: string[] },
  labels: Readonly<Record<string, string>>,
): boolean {
  if (operator === 'Gt' || operator === 'Lt') {
    const [have, want] = [Number(labels[key]), Number(values[0])];
    return operator === 'Gt' ? have > want : have < want;
  }
  return labelMatcher({ matchExpressions: [{ key, operator: operator as 'In', values }] }).matches(labels);
}
