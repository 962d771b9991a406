/** READY, STATUS and RESTARTS of a pod, exactly as kubectl's users know them (printers `printPod`). */
import type { ContainerStatus, Pod } from '../../../api/types/core-v1.js';
import { sinceText } from './cells.js';

const UNREACHABLE_REASON = 'NodeLost';

interface PodSummary {
  readonly ready: string;
  readonly status: string;
  readonly restarts: string;
}

const endText = ({ signal, exitCode }: { signal?: number; exitCode?: number }, prefix = '') =>
  signal ? `${prefix}Signal:${signal}` : `${prefix}ExitCode:${exitCode ?? 0}`;

/** Counts restarts and remembers the last one. */
class RestartCount {
  private count = 0;
  private lastMs = 0;
  private last: string | undefined;

  add({ restartCount, lastState }: ContainerStatus): void {
    this.count += restartCount;
    const finished = lastState?.terminated?.finishedAt;
    if (finished && Date.parse(finished) > this.lastMs) {
      this.lastMs = Date.parse(finished);
      this.last = finished;
    }
  }

  text(nowMs: number): string {
    return this.count > 0 && this.last ? `${this.count} (${sinceText(this.last, nowMs)} ago)` : String(this.count);
  }
}

const isSidecar = (pod: Pod, name: string) =>
  pod.spec?.initContainers?.some((container) => container.name === name && container.restartPolicy === 'Always') ===
  true;

/** The reason that a pod's init containers give it; undefined when they are through. */
function initReason(pod: Pod): string | undefined {
  const total = pod.spec?.initContainers?.length ?? 0;
  for (const [index, status] of (pod.status?.initContainerStatuses ?? []).entries()) {
    const { terminated, waiting } = status.state ?? {};
    if (terminated && terminated.exitCode === 0) continue;
    if (isSidecar(pod, status.name) && status.started === true) continue;
    if (terminated) return terminated.reason ? `Init:${terminated.reason}` : endText(terminated, 'Init:');
    if (waiting?.reason && waiting.reason !== 'PodInitializing') return `Init:${waiting.reason}`;
    return `Init:${index}/${total}`;
  }
  return undefined;
}

export function summarizePod(pod: Pod, nowMs: number): PodSummary {
  const { spec, status, metadata } = pod;
  let total = spec?.containers.length ?? 0;
  let ready = 0;
  let reason = status?.reason || status?.phase || '';
  for (const condition of status?.conditions ?? []) {
    if (condition.type === 'PodScheduled' && condition.reason === 'SchedulingGated') reason = 'SchedulingGated';
  }
  const initRestarts = new RestartCount();
  const sidecarRestarts = new RestartCount();
  for (const container of spec?.initContainers ?? []) if (container.restartPolicy === 'Always') total += 1;
  for (const container of status?.initContainerStatuses ?? []) {
    initRestarts.add(container);
    if (!isSidecar(pod, container.name)) continue;
    sidecarRestarts.add(container);
    if (container.ready && container.started === true) ready += 1;
  }
  const initializing = initReason(pod);
  let restarts = initRestarts;
  const initialized =
    status?.conditions?.some(({ type, status: is }) => type === 'Initialized' && is === 'True') === true;
  if (initializing !== undefined) reason = initializing;
  if (initializing === undefined || initialized) {
    restarts = sidecarRestarts;
    let running = false;
    for (const container of (status?.containerStatuses ?? []).toReversed()) {
      restarts.add(container);
      const { waiting, terminated, running: runs } = container.state ?? {};
      if (waiting?.reason) reason = waiting.reason;
      else if (terminated) reason = terminated.reason ? terminated.reason : endText(terminated);
      else if (container.ready && runs) {
        running = true;
        ready += 1;
      }
    }
    if (reason === 'Completed' && running) {
      const isReady = status?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') === true;
      reason = isReady ? 'Running' : 'NotReady';
    }
  }
  const ended = status?.phase === 'Succeeded' || status?.phase === 'Failed';
  if (metadata?.deletionTimestamp && status?.reason === UNREACHABLE_REASON) reason = 'Unknown';
  else if (metadata?.deletionTimestamp && !ended) reason = 'Terminating';
  return { ready: `${ready}/${total}`, status: reason, restarts: restarts.text(nowMs) };
}
