/**
 * What the engine says about our containers, in our words. The engine's list lacks times, exit codes and process ids;
 * those come from an inspection, which is kept for as long as the container's state stays the same: nothing here is
 * ever started twice, so id and state name one observation.
 */
import type { Container, ContainerState, Sandbox } from '../runtime.js';
import { annotationsOf, attemptOf, LABEL, type LabelMap, podOf } from './labels.js';
import type { SandboxJoin } from './specification.js';

/** One element of `GET /containers/json`. */
export interface ListedContainer {
  readonly Id: string;
  readonly State: string;
  readonly Labels: LabelMap;
}

/** What is used of `GET /containers/{id}/json`. */
export interface InspectedContainer {
  readonly Id: string;
  readonly Created: string;
  readonly Image: string;
  readonly State: {
    readonly Status: string;
    readonly Pid: number;
    readonly ExitCode: number;
    readonly OOMKilled: boolean;
    readonly Error: string;
    readonly StartedAt: string;
    readonly FinishedAt: string;
  };
  readonly Config: { readonly Labels: LabelMap; readonly Tty: boolean; readonly OpenStdin: boolean };
  readonly HostConfig: { readonly NetworkMode: string; readonly PidMode: string; readonly IpcMode: string };
  readonly NetworkSettings: {
    readonly Networks?: Readonly<
      Record<string, { readonly IPAddress?: string; readonly GlobalIPv6Address?: string } | undefined>
    >;
  };
}

const STATES: Readonly<Record<string, ContainerState>> = {
  created: 'created',
  running: 'running',
  paused: 'running',
  restarting: 'running',
  exited: 'exited',
  dead: 'exited',
};

export function sandboxOf(seen: InspectedContainer, ips: readonly string[] | undefined): Sandbox {
  const labels = seen.Config.Labels;
  const running = STATES[seen.State.Status] === 'running';
  const hostNetwork = seen.HostConfig.NetworkMode === 'host';
  return {
    ...podOf(labels),
    id: seen.Id,
    attempt: attemptOf(labels),
    state: running ? 'ready' : 'notready',
    createdAtMs: timeMs(seen.Created),
    pid: running ? seen.State.Pid : 0,
    ips: hostNetwork ? [] : (ips ?? engineAddresses(seen)),
    hostNetwork,
    annotations: annotationsOf(labels),
  };
}

/** The addresses Docker's own network gave, for nodes without a pod network. */
function engineAddresses(seen: InspectedContainer): string[] {
  return Object.values(seen.NetworkSettings.Networks ?? {})
    .flatMap((network) => [network?.IPAddress, network?.GlobalIPv6Address])
    .filter((address): address is string => address !== undefined && address !== '');
}

export function containerOf(seen: InspectedContainer): Container {
  const labels = seen.Config.Labels;
  const { State: state } = seen;
  // A start that failed leaves a container that is "created" and has an exit code.
  const failedStart = state.Status === 'created' && state.ExitCode !== 0;
  const phase: ContainerState = failedStart ? 'exited' : (STATES[state.Status] ?? 'unknown');
  const exited = phase === 'exited';
  const createdAtMs = timeMs(seen.Created);
  return {
    id: seen.Id,
    pod: podOf(labels),
    sandboxId: labels[LABEL.sandbox] ?? '',
    name: labels[LABEL.container] ?? '',
    attempt: attemptOf(labels),
    state: phase,
    image: labels[LABEL.image] ?? '',
    imageId: seen.Image,
    createdAtMs,
    startedAtMs: failedStart ? createdAtMs : timeMs(state.StartedAt),
    finishedAtMs: failedStart ? createdAtMs : exited ? timeMs(state.FinishedAt) : 0,
    exitCode: exited ? state.ExitCode : 0,
    reason: exited ? exitReason(state, failedStart) : '',
    message: exited ? state.Error : '',
    pid: phase === 'running' ? state.Pid : 0,
    annotations: annotationsOf(labels),
  };
}

/** The words that upstream's Docker shim used, and `kubectl get pods` shows. */
function exitReason(state: InspectedContainer['State'], failedStart: boolean): string {
  if (failedStart) return 'ContainerCannotRun';
  if (state.OOMKilled) return 'OOMKilled';
  return state.ExitCode === 0 ? 'Completed' : 'Error';
}

export function joinOf(seen: InspectedContainer): SandboxJoin {
  return {
    id: seen.Id,
    hostPid: seen.HostConfig.PidMode === 'host',
    hostIpc: seen.HostConfig.IpcMode === 'host',
    sharePid: seen.Config.Labels[LABEL.sharePid] === 'true',
    resolvConfPath: seen.Config.Labels[LABEL.resolvConf],
  };
}

export function isSandbox(labels: LabelMap): boolean {
  return labels[LABEL.kind] === 'sandbox';
}

/** Milliseconds of the engine's RFC 3339 times; 0 for its zero time (year 1). */
function timeMs(text: string): number {
  const ms = Date.parse(text);
  return Number.isFinite(ms) && ms > 0 ? ms : 0;
}
