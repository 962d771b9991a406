/**
 * The status of a pod as the kubelet reports it: pure. Rules of phases and conditions are those of the "Pod Lifecycle"
 * page of the Kubernetes documentation, with the kubelet's reasons and messages.
 */
import { rfc3339 } from '../../base/clock.js';
import { qosClassOf } from '../../api/strategy/qos.js';
import type {
  ContainerState,
  ContainerStateTerminated,
  ContainerStatus,
  Pod,
  PodCondition,
  PodStatus,
} from '../../api/types/core-v1.js';
import type { Container } from '../runtime/runtime.js';
import { restartTime, type BackoffRule } from './container-notes.js';
import { backoffText, type Failure, type ProbeResults, type Verdict } from './plan.js';
import {
  instancesOf,
  isSidecar,
  isTerminalPhase,
  newestSandbox,
  podContainers,
  restartsAfter,
  statusOf,
  type ContainerKind,
  type Observed,
  type PodContainer,
} from './pod-model.js';

export interface StatusInput {
  readonly pod: Pod;
  readonly observed: Observed;
  readonly probes: ProbeResults;
  readonly nowMs: number;
  readonly failures: ReadonlyMap<string, Failure>;
  readonly verdict: Verdict | undefined;
  readonly backoff: BackoffRule;
  /** The node's addresses, IPv4 first. */
  readonly hostIps: readonly string[];
  /** Scheme of container ids: `docker`. */
  readonly runtimeName: string;
  /** Nothing runs and nothing will: the pod is at its end. */
  readonly finished: boolean;
}

export function podStatus(input: StatusInput): PodStatus {
  const { pod, verdict, hostIps, nowMs } = input;
  const previous = pod.status ?? {};
  const none = input.observed.containers.length === 0;
  if (verdict?.rejected && none) return rejectedStatus(input, verdict);
  // What is said of an ended pod stays when its containers are gone.
  if (isTerminalPhase(previous.phase) && none) return previous;
  const containers = podContainers(pod);
  const initialized = isInitialized(input);
  const of = (...kinds: ContainerKind[]) =>
    containers
      .filter(({ kind }) => kinds.includes(kind))
      .map((container) => containerStatus(input, container, initialized));
  const initStatuses = of('init', 'sidecar');
  const statuses = of('app');
  const ephemeral = of('ephemeral');
  const phase = phaseOf(input, initStatuses, statuses);
  const ips = podIps(input);
  const [podIP] = ips;
  const [hostIP] = hostIps;
  return {
    phase,
    ...(verdict ? { reason: verdict.reason, message: verdict.message } : kept(previous)),
    conditions: conditions(input, phase, initStatuses, statuses),
    ...(hostIP === undefined ? {} : { hostIP, hostIPs: hostIps.map((ip) => ({ ip })) }),
    ...(podIP === undefined ? {} : { podIP, podIPs: ips.map((ip) => ({ ip })) }),
    startTime: previous.startTime ?? rfc3339(nowMs),
    ...(initStatuses.length > 0 ? { initContainerStatuses: initStatuses } : {}),
    containerStatuses: statuses,
    ...(ephemeral.length > 0 ? { ephemeralContainerStatuses: ephemeral } : {}),
    qosClass: previous.qosClass ?? qosClassOf(pod.spec),
    ...(previous.nominatedNodeName === undefined ? {} : { nominatedNodeName: previous.nominatedNodeName }),
  };
}

function rejectedStatus({ pod, hostIps, nowMs }: StatusInput, { reason, message }: Verdict): PodStatus {
  const { startTime = rfc3339(nowMs), conditions = [], qosClass = qosClassOf(pod.spec) } = pod.status ?? {};
  const [hostIP] = hostIps;
  return {
    phase: 'Failed',
    reason,
    message,
    ...(conditions.length > 0 ? { conditions } : {}),
    ...(hostIP === undefined ? {} : { hostIP, hostIPs: hostIps.map((ip) => ({ ip })) }),
    startTime,
    qosClass,
  };
}

/** The reason of a pod that has failed stays with it. */
function kept(previous: PodStatus): Pick<PodStatus, 'reason' | 'message'> {
  if (!isTerminalPhase(previous.phase)) return {};
  return {
    ...(previous.reason === undefined ? {} : { reason: previous.reason }),
    ...(previous.message === undefined ? {} : { message: previous.message }),
  };
}

/** The pod's addresses: the sandbox's, or the node's for host network. Kept when the sandbox is gone at the end. */
export function podIps({ pod, observed, hostIps }: Pick<StatusInput, 'pod' | 'observed' | 'hostIps'>): string[] {
  const sandbox = newestSandbox(observed);
  if (sandbox?.state === 'ready') {
    const ips = pod.spec?.hostNetwork ? hostIps : sandbox.ips;
    if (ips.length > 0) return [...ips];
  }
  return (pod.status?.podIPs ?? []).flatMap(({ ip }) => (ip === undefined ? [] : [ip]));
}

function isInitialized({ pod, observed, probes }: StatusInput): boolean {
  const apps = new Set((pod.spec?.containers ?? []).map(({ name }) => name));
  if (observed.containers.some(({ name }) => apps.has(name))) return true;
  return (pod.spec?.initContainers ?? []).every((spec) => {
    const [newest] = instancesOf(observed, spec.name);
    if (isSidecar(spec)) return newest?.state === 'running' && probes.started(newest.id);
    return newest?.state === 'exited' && newest.exitCode === 0;
  });
}

function containerStatus(input: StatusInput, { spec, kind }: PodContainer, initialized: boolean): ContainerStatus {
  const { pod, observed, probes, runtimeName } = input;
  const before = statusOf(pod, spec.name);
  const [newest, ...older] = instancesOf(observed, spec.name).filter(({ state }) => state !== 'created');
  const state = stateOf(input, { spec, kind }, newest, before, initialized);
  const last = state.waiting && newest?.state === 'exited' ? newest : older.find(({ state: of }) => of === 'exited');
  const running = state.running !== undefined && newest !== undefined;
  const started = running && probes.started(newest.id);
  const ready =
    kind === 'init'
      ? newest?.state === 'exited' && newest.exitCode === 0 && state.terminated !== undefined
      : running && started && probes.ready(newest.id);
  const id = newest ? `${runtimeName}://${newest.id}` : before?.containerID;
  const lastState = last ? { terminated: terminated(input, last) } : (before?.lastState ?? {});
  return {
    name: spec.name,
    state,
    lastState,
    ready,
    restartCount: Math.max(newest?.attempt ?? 0, newest ? 0 : (before?.restartCount ?? 0)),
    image: newest?.image ?? spec.image ?? '',
    imageID: newest?.imageId ?? before?.imageID ?? '',
    ...(id === undefined ? {} : { containerID: id }),
    started,
  };
}

function stateOf(
  input: StatusInput,
  { spec, kind }: PodContainer,
  newest: Container | undefined,
  before: ContainerStatus | undefined,
  initialized: boolean,
): ContainerState {
  const { pod, failures, nowMs, finished } = input;
  if (newest?.state === 'running') return { running: { startedAt: rfc3339(newest.startedAtMs) } };
  const over = finished || pod.metadata.deletionTimestamp !== undefined || input.verdict !== undefined;
  if (newest?.state === 'exited' && (over || !restartsAfter(pod, kind, newest.exitCode))) {
    return { terminated: terminated(input, newest) };
  }
  if (over && !newest) return lost(before, finished && initialized && kind === 'app') ?? waiting('ContainerCreating');
  const failure = failures.get(spec.name);
  const restart = newest?.state === 'exited' ? restartTime(newest, input.backoff) : undefined;
  // A container that could not be run is in its back-off from then on, like one that ended.
  const superseded = failure?.reason === 'RunContainerError' && restart !== undefined && restart.atMs > nowMs;
  if (failure && !superseded) return waiting(failure.reason, failure.message);
  if (newest && restart) {
    const { atMs, waitMs } = restart;
    if (atMs > nowMs) return waiting('CrashLoopBackOff', backoffText(pod, spec.name, waitMs));
    return { terminated: terminated(input, newest) };
  }
  const hasInit = (pod.spec?.initContainers ?? []).length > 0;
  return waiting(hasInit && (!initialized || kind !== 'app') ? 'PodInitializing' : 'ContainerCreating');
}

const waiting = (reason: string, message?: string): ContainerState => ({
  waiting: { reason, ...(message ? { message } : {}) },
});

/** What is said of a container that ended with its traces gone, or that the end of its pod came before. */
function lost(before: ContainerStatus | undefined, ended: boolean): ContainerState | undefined {
  if (before?.state?.terminated) return { terminated: before.state.terminated };
  if (!before?.state?.running && !ended) return undefined;
  return {
    terminated: {
      exitCode: 137,
      reason: 'ContainerStatusUnknown',
      message: 'The container could not be located when the pod was terminated',
    },
  };
}

function terminated({ runtimeName }: StatusInput, container: Container): ContainerStateTerminated {
  const { exitCode, reason, message, startedAtMs, finishedAtMs, id } = container;
  return {
    exitCode,
    reason: reason || (exitCode === 0 ? 'Completed' : 'Error'),
    ...(message ? { message } : {}),
    ...(startedAtMs > 0 ? { startedAt: rfc3339(startedAtMs) } : {}),
    ...(finishedAtMs > 0 ? { finishedAt: rfc3339(finishedAtMs) } : {}),
    containerID: `${runtimeName}://${id}`,
  };
}

type Phase = NonNullable<PodStatus['phase']>;

function phaseOf(input: StatusInput, init: readonly ContainerStatus[], apps: readonly ContainerStatus[]): Phase {
  const { pod, verdict, finished } = input;
  const previous = pod.status?.phase;
  if (previous === 'Failed' || previous === 'Succeeded') return previous;
  if (verdict) return 'Failed';
  const policy = pod.spec?.restartPolicy ?? 'Always';
  const sidecars = new Set((pod.spec?.initContainers ?? []).filter(isSidecar).map(({ name }) => name));
  const ends = apps.map(
    (status) => status.state?.terminated ?? (status.state?.waiting && status.lastState?.terminated),
  );
  if (finished && pod.metadata.deletionTimestamp !== undefined && ends.some((end) => end !== undefined)) {
    return ends.every((end) => end?.exitCode === 0) ? 'Succeeded' : 'Failed';
  }
  for (const status of init) {
    const end = status.state?.terminated;
    if (sidecars.has(status.name)) {
      if (status.started !== true && !apps.some((app) => app.containerID)) return 'Pending';
    } else if (end && end.exitCode !== 0 && policy === 'Never') return 'Failed';
    else if (end?.exitCode !== 0 && !apps.some((app) => app.containerID)) return 'Pending';
  }
  const running = apps.filter((status) => status.state?.running).length;
  const stopped = ends.filter((end) => end !== undefined).length;
  if (running + stopped < apps.length) return 'Pending';
  if (running > 0 || policy === 'Always') return 'Running';
  if (ends.every((end) => end?.exitCode === 0)) return 'Succeeded';
  return policy === 'Never' ? 'Failed' : 'Running';
}

const OWN_CONDITIONS = new Set([
  'PodReadyToStartContainers',
  'Initialized',
  'Ready',
  'ContainersReady',
  'PodScheduled',
]);

/** This node's newest status over the one the API has: conditions of others (readiness gates) are theirs. */
export function overlayStatus(theirs: PodStatus, ours: PodStatus): PodStatus {
  const { nominatedNodeName } = theirs;
  const others = (theirs.conditions ?? []).filter(({ type }) => !OWN_CONDITIONS.has(type));
  return {
    ...ours,
    conditions: [...(ours.conditions ?? []).filter(({ type }) => OWN_CONDITIONS.has(type)), ...others],
    ...(nominatedNodeName === undefined ? {} : { nominatedNodeName }),
  };
}

type Truth = readonly [status: 'True' | 'False', reason?: string, message?: string];

function conditions(
  input: StatusInput,
  phase: Phase,
  init: readonly ContainerStatus[],
  apps: readonly ContainerStatus[],
): PodCondition[] {
  const { pod, nowMs } = input;
  const sidecars = new Set((pod.spec?.initContainers ?? []).filter(isSidecar).map(({ name }) => name));
  const containersReady = readyTruth(phase, [...init.filter(({ name }) => sidecars.has(name)), ...apps]);
  const truths: readonly [string, Truth][] = [
    ['PodReadyToStartContainers', newestSandbox(input.observed)?.state === 'ready' ? ['True'] : ['False']],
    ['Initialized', initializedTruth(phase, init, sidecars, apps)],
    ['Ready', gatesTruth(pod, containersReady)],
    ['ContainersReady', containersReady],
  ];
  const previous = pod.status?.conditions ?? [];
  const ours = truths.map(([type, [status, reason, message]]): PodCondition => {
    const before = previous.find((condition) => condition.type === type);
    const since = before?.status === status ? before.lastTransitionTime : undefined;
    return {
      type,
      status,
      lastProbeTime: null as unknown as string,
      lastTransitionTime: since ?? rfc3339(nowMs),
      ...(reason === undefined ? {} : { reason }),
      ...(message === undefined ? {} : { message }),
    };
  });
  const scheduled = previous.find(({ type }) => type === 'PodScheduled');
  return [
    ...ours,
    scheduled?.status === 'True'
      ? scheduled
      : {
          type: 'PodScheduled',
          status: 'True',
          lastProbeTime: null as unknown as string,
          lastTransitionTime: rfc3339(nowMs),
        },
    ...previous.filter(({ type }) => !OWN_CONDITIONS.has(type)),
  ];
}

function initializedTruth(
  phase: Phase,
  init: readonly ContainerStatus[],
  sidecars: ReadonlySet<string>,
  apps: readonly ContainerStatus[],
): Truth {
  const begun = apps.some((app) => app.state?.running ?? app.state?.terminated);
  if (begun) return phase === 'Succeeded' ? ['True', 'PodCompleted'] : ['True'];
  const missing = init.filter((status) => (sidecars.has(status.name) ? status.started !== true : !status.ready));
  if (missing.length === 0) return phase === 'Succeeded' ? ['True', 'PodCompleted'] : ['True'];
  return ['False', 'ContainersNotInitialized', `containers with incomplete status: ${names(missing)}`];
}

function readyTruth(phase: Phase, statuses: readonly ContainerStatus[]): Truth {
  if (phase === 'Succeeded') return ['False', 'PodCompleted'];
  if (phase === 'Failed') return ['False', 'PodFailed'];
  const missing = statuses.filter((status) => !status.ready);
  return missing.length === 0
    ? ['True']
    : ['False', 'ContainersNotReady', `containers with unready status: ${names(missing)}`];
}

function gatesTruth(pod: Pod, containersReady: Truth): Truth {
  if (containersReady[0] !== 'True') return containersReady;
  const texts: string[] = [];
  for (const { conditionType } of pod.spec?.readinessGates ?? []) {
    const gate = pod.status?.conditions?.find(({ type }) => type === conditionType);
    if (!gate) texts.push(`corresponding condition of pod readiness gate "${conditionType}" does not exist.`);
    else if (gate.status !== 'True') {
      texts.push(`the status of pod readiness gate "${conditionType}" is not "True", but ${gate.status}`);
    }
  }
  return texts.length === 0 ? ['True'] : ['False', 'ReadinessGatesNotReady', texts.join(', ')];
}

const names = (statuses: readonly ContainerStatus[]) => `[${statuses.map(({ name }) => name).join(' ')}]`;
