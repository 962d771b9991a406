/** What the kubelet reads out of a pod's spec: kinds of containers, restart rules, ports. */
import type { Container as ContainerSpec, ContainerStatus, Pod } from '../../api/types/core-v1.js';
import type { Container, PodIdentity, Sandbox } from '../runtime/runtime.js';

export type ContainerKind = 'init' | 'sidecar' | 'app' | 'ephemeral';

export interface PodContainer {
  readonly spec: ContainerSpec;
  readonly kind: ContainerKind;
}

/** Everything the runtime shows of one pod. */
export interface Observed {
  readonly sandboxes: readonly Sandbox[];
  readonly containers: readonly Container[];
}

export function identityOf(pod: Pod): PodIdentity {
  const { namespace = 'default', name = '', uid = '' } = pod.metadata;
  return { namespace, name, uid };
}

/** `name_namespace(uid)`, as the kubelet writes pods in its messages. */
export function podText(pod: PodIdentity): string {
  return `${pod.name}_${pod.namespace}(${pod.uid})`;
}

/** An init container with `restartPolicy: Always` (KEP-753). */
export const isSidecar = (spec: ContainerSpec) => spec.restartPolicy === 'Always';

/** Init containers and sidecars in their order, then app containers, then ephemeral ones. */
export function podContainers(pod: Pod): PodContainer[] {
  const { initContainers = [], containers, ephemeralContainers = [] } = pod.spec ?? { containers: [] };
  return [
    ...initContainers.map((spec) => ({ spec, kind: isSidecar(spec) ? ('sidecar' as const) : ('init' as const) })),
    ...containers.map((spec) => ({ spec, kind: 'app' as const })),
    ...ephemeralContainers.map((spec) => ({ spec: spec as ContainerSpec, kind: 'ephemeral' as const })),
  ];
}

/** The containers of one name, newest attempt first. */
export function instancesOf(observed: Observed, name: string): Container[] {
  return observed.containers
    .filter((container) => container.name === name)
    .sort((a, b) => b.attempt - a.attempt || b.createdAtMs - a.createdAtMs);
}

export function newestSandbox(observed: Observed): Sandbox | undefined {
  return [...observed.sandboxes].sort((a, b) => b.attempt - a.attempt || b.createdAtMs - a.createdAtMs)[0];
}

/** Whether a container that ended so has to run again. */
export function restartsAfter(pod: Pod, kind: ContainerKind, exitCode: number): boolean {
  if (kind === 'ephemeral') return false;
  if (kind === 'sidecar') return true;
  const policy = pod.spec?.restartPolicy ?? 'Always';
  if (kind === 'init') return exitCode !== 0 && policy !== 'Never';
  return policy === 'Always' || (policy === 'OnFailure' && exitCode !== 0);
}

export function isTerminalPhase(phase: string | undefined): boolean {
  return phase === 'Failed' || phase === 'Succeeded';
}

export function statusOf(pod: Pod, name: string): ContainerStatus | undefined {
  const { containerStatuses = [], initContainerStatuses = [], ephemeralContainerStatuses = [] } = pod.status ?? {};
  return [...containerStatuses, ...initContainerStatuses, ...ephemeralContainerStatuses].find(
    (status) => status.name === name,
  );
}
