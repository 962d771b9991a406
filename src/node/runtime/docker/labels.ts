/**
 * How a pod's identity is written on its Docker containers. The labels are the only memory the runtime has: an agent
 * that starts again finds everything it must know here.
 */
import type { PodIdentity, SandboxConfig, ContainerConfig } from '../runtime.js';

export const LABEL = {
  kind: 'skein.dev/kind',
  scope: 'skein.dev/scope',
  podUid: 'skein.dev/pod-uid',
  podName: 'skein.dev/pod-name',
  podNamespace: 'skein.dev/pod-namespace',
  container: 'skein.dev/container-name',
  sandbox: 'skein.dev/sandbox-id',
  attempt: 'skein.dev/attempt',
  image: 'skein.dev/image',
  sharePid: 'skein.dev/share-process-namespace',
  resolvConf: 'skein.dev/resolv-conf',
  annotations: 'skein.dev/annotations',
} as const;

export type LabelMap = Readonly<Record<string, string>>;

export function sandboxLabels(config: SandboxConfig, scope: string, resolvConfPath: string | undefined): LabelMap {
  return {
    ...(resolvConfPath === undefined ? {} : { [LABEL.resolvConf]: resolvConfPath }),
    ...podLabels(config, scope),
    [LABEL.kind]: 'sandbox',
    [LABEL.attempt]: String(config.attempt),
    [LABEL.sharePid]: String(config.shareProcessNamespace),
    [LABEL.annotations]: JSON.stringify(config.annotations),
  };
}

export function containerLabels(config: ContainerConfig, scope: string): LabelMap {
  return {
    ...config.labels,
    ...podLabels(config.pod, scope),
    [LABEL.kind]: 'container',
    [LABEL.container]: config.name,
    [LABEL.sandbox]: config.sandboxId,
    [LABEL.attempt]: String(config.attempt),
    [LABEL.image]: config.image,
    [LABEL.annotations]: JSON.stringify(config.annotations),
  };
}

function podLabels(pod: PodIdentity, scope: string): Record<string, string> {
  return {
    [LABEL.scope]: scope,
    [LABEL.podUid]: pod.uid,
    [LABEL.podName]: pod.name,
    [LABEL.podNamespace]: pod.namespace,
  };
}

export function podOf(labels: LabelMap): PodIdentity {
  return {
    namespace: labels[LABEL.podNamespace] ?? '',
    name: labels[LABEL.podName] ?? '',
    uid: labels[LABEL.podUid] ?? '',
  };
}

export function attemptOf(labels: LabelMap): number {
  return Number.parseInt(labels[LABEL.attempt] ?? '0', 10) || 0;
}

/** The annotations label decoded; what is not a map of strings counts as none. */
export function annotationsOf(labels: LabelMap): LabelMap {
  try {
    const value: unknown = JSON.parse(labels[LABEL.annotations] ?? '{}');
    if (typeof value !== 'object' || value === null) return {};
    return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, String(entry)]));
  } catch {
    return {};
  }
}

/**
 * The container's name in the engine. Unique per pod, container and attempt, so that a second creation of the same one
 * is refused by the engine itself. Docker allows `[a-zA-Z0-9][a-zA-Z0-9_.-]*`; Kubernetes names fit.
 */
export function containerName(scope: string, container: string, pod: PodIdentity, attempt: number): string {
  const prefix = scope === DEFAULT_SCOPE ? 'skein' : `skein-${scope}`;
  return `${prefix}_${container}_${pod.name}_${pod.namespace}_${pod.uid}_${attempt}`;
}

export const DEFAULT_SCOPE = 'node';
