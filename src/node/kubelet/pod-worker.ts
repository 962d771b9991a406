/**
 * Brings one pod a step closer to what is wished: observe, plan, report the status, act. Calls for one pod never overlap
 * (the kubelet's queue sees to it); slow ends of containers run beside it and bring the pod back when they are over.
 */
import type { Clock } from '../../base/clock.js';
import { errorText, type Logger } from '../../base/log.js';
import { isConflict, isNotFound } from '../../api/errors.js';
import { PODS } from '../../api/resource.js';
import type { Pod, PodStatus } from '../../api/types/core-v1.js';
import type { Client } from '../../client/client.js';
import type { EventType } from '../../client/event-recorder.js';
import type { Prober } from '../probes/prober.js';
import type { Container, Runtime } from '../runtime/runtime.js';
import type { PodFiles } from '../volumes/pod-volumes.js';
import { NOTE, RESTART_BACKOFF, type BackoffRule } from './container-notes.js';
import { ContainerKiller } from './container-killer.js';
import { ContainerStarter, type NodeContext, type StarterDeps } from './container-starter.js';
import { planPod, type Action, type Failure, type Verdict } from './plan.js';
import { identityOf, podContainers, statusOf, type Observed } from './pod-model.js';
import { podIps, podStatus } from './status.js';
import { StatusWriter } from './status-writer.js';

/** What the kubelet knows of one pod beside the API and the runtime. */
export interface PodState {
  readonly uid: string;
  /** With this node's own newest status, which the API may not have yet. */
  pod: Pod;
  /** The newest version that the API has shown. */
  known: Pod;
  /** The newest status that this node made. */
  reported: PodStatus | undefined;
  removed: boolean;
  admitted: boolean;
  verdict: Verdict | undefined;
  readonly failures: Map<string, Failure>;
  readonly killing: Map<string, number>;
  readonly condemned: Map<string, string>;
  /** Aborted when the pod begins to end: nothing new is started for it. */
  readonly ending: AbortController;
  /** Newest observation, for those who only look. */
  observed: Observed;
}

export interface PodWorkerDeps extends StarterDeps {
  readonly runtime: Runtime;
  readonly client: Client;
  readonly clock: Clock;
  readonly log: Logger;
  readonly prober: Prober;
  readonly volumes: PodFiles;
  readonly event: (pod: Pod, type: EventType, reason: string, message: string, container?: string) => void;
  readonly node: NodeContext;
  /** The pod has changed: call {@link PodWorker.sync} again. */
  readonly again: (uid: string) => void;
}

export interface SyncResult {
  readonly requeueAfterMs: number | undefined;
  /** Nothing of the pod is left on this node and in the API. */
  readonly gone: boolean;
}

const MAX_MESSAGE_BYTES = 4096;
const LOG_TAIL_LINES = 80;
const LOG_TAIL_BYTES = 2048;

export class PodWorker {
  private readonly starter: ContainerStarter;
  private readonly killer: ContainerKiller;
  private readonly statuses: StatusWriter;
  private readonly lastWords = new Map<string, string>();

  constructor(
    private readonly deps: PodWorkerDeps,
    private readonly backoff: BackoffRule = RESTART_BACKOFF,
  ) {
    this.starter = new ContainerStarter(deps);
    this.killer = new ContainerKiller(deps);
    this.statuses = new StatusWriter(deps);
  }

  async sync(state: PodState): Promise<SyncResult> {
    const { clock, node } = this.deps;
    const observed = await this.observe(state.uid);
    state.observed = observed;
    const { pod } = state;
    const ending = state.removed || pod.metadata.deletionTimestamp !== undefined;
    if (ending && !state.ending.signal.aborted) state.ending.abort(new Error('the pod is ending'));
    this.checkDeadline(state);
    this.watchProbes(state, observed, ending);
    const plan = planPod({ ...state, observed, probes: this.deps.prober, nowMs: clock.nowMs(), backoff: this.backoff });
    if (!state.removed) {
      const status = podStatus({
        pod,
        observed,
        probes: this.deps.prober,
        nowMs: clock.nowMs(),
        failures: state.failures,
        verdict: state.verdict,
        backoff: this.backoff,
        hostIps: node.hostIps,
        runtimeName: this.deps.runtime.name,
        finished: plan.finished,
      });
      this.statuses.report(state, status);
    }
    for (const action of plan.actions) await this.act(state, action);
    for (const id of this.lastWords.keys()) {
      if (!observed.containers.some((one) => one.id === id) && this.lastWords.size > 1_000) this.lastWords.delete(id);
    }
    if (plan.actions.some(({ type }) => type !== 'note-backoff')) this.deps.again(state.uid);
    const none = observed.containers.length + observed.sandboxes.length === 0;
    return {
      requeueAfterMs: this.wakeAfter(state, plan.wakeAtMs),
      gone: state.removed && none && plan.finished,
    };
  }

  /** Brings files that come from API objects up to date. Throws a volume error. */
  async refreshVolumes(state: PodState): Promise<void> {
    await this.starter.refresh(state);
  }

  /** Statuses that wait are not written any more; a start makes them anew. */
  stop(): void {
    this.statuses.stop();
  }

  private async observe(uid: string): Promise<Observed> {
    const { sandboxes, containers } = await this.deps.runtime.listPod(uid);
    const read: Container[] = [];
    for (const container of containers) {
      if (container.state !== 'exited') read.push(container);
      else read.push({ ...container, message: await this.messageOf(container) });
    }
    return { sandboxes, containers: read };
  }

  /** A container's last words: its message file, or the end of its log when it failed without any. Read once. */
  private async messageOf(container: Container): Promise<string> {
    const known = this.lastWords.get(container.id);
    if (known !== undefined) return known;
    const path = container.annotations[NOTE.messagePath];
    let text = path === undefined ? '' : await this.deps.volumes.readEnd(path, MAX_MESSAGE_BYTES);
    const failed = container.exitCode !== 0;
    if (text === '' && failed && container.annotations[NOTE.messagePolicy] === 'FallbackToLogsOnError') {
      text = await this.logEnd(container.id);
    }
    const message = text || container.message;
    this.lastWords.set(container.id, message);
    return message;
  }

  private async logEnd(id: string): Promise<string> {
    const parts: Uint8Array[] = [];
    const signal = new AbortController().signal;
    const options = { follow: false, tailLines: LOG_TAIL_LINES, sinceMs: undefined, timestamps: false, signal };
    try {
      for await (const { data } of this.deps.runtime.logs(id, options)) parts.push(data);
    } catch (error) {
      return `Error on reading termination message from logs: ${errorText(error)}`;
    }
    return Buffer.concat(parts).subarray(-LOG_TAIL_BYTES).toString('utf8');
  }

  private checkDeadline(state: PodState): void {
    const { pod } = state;
    const seconds = pod.spec?.activeDeadlineSeconds;
    const since = pod.status?.startTime;
    if (seconds === undefined || since === undefined || state.verdict) return;
    if (this.deps.clock.nowMs() < Date.parse(since) + seconds * 1000) return;
    const message = 'Pod was active on the node longer than the specified deadline';
    state.verdict = { reason: 'DeadlineExceeded', message };
    this.deps.event(pod, 'Normal', 'DeadlineExceeded', message);
  }

  private wakeAfter({ pod, verdict }: PodState, wakeAtMs: number | undefined): number | undefined {
    const times = wakeAtMs === undefined ? [] : [wakeAtMs];
    const { activeDeadlineSeconds } = pod.spec ?? {};
    const since = pod.status?.startTime;
    if (activeDeadlineSeconds !== undefined && since !== undefined && !verdict) {
      times.push(Date.parse(since) + activeDeadlineSeconds * 1000);
    }
    return times.length === 0 ? undefined : Math.max(0, Math.min(...times) - this.deps.clock.nowMs());
  }

  private watchProbes({ pod, uid, condemned }: PodState, observed: Observed, ending: boolean): void {
    const running = observed.containers.filter(({ state }) => state === 'running');
    if (ending || running.length === 0) {
      this.deps.prober.forget(uid);
      return;
    }
    const specs = new Map(podContainers(pod).map(({ spec }) => [spec.name, spec]));
    const [podIp = ''] = podIps({ pod, observed, hostIps: this.deps.node.hostIps });
    const probed = running.flatMap((container) => {
      const spec = specs.get(container.name);
      if (!spec || condemned.has(container.id) || this.starter.isStarting(container.id)) return [];
      const before = statusOf(pod, container.name);
      const same = before?.containerID?.endsWith(`//${container.id}`) === true;
      return [
        {
          id: container.id,
          startedAtMs: container.startedAtMs,
          spec,
          before: same ? { started: before.started === true, ready: before.ready } : undefined,
        },
      ];
    });
    this.deps.prober.watch(pod, podIp, probed);
  }

  private async act(state: PodState, action: Action): Promise<void> {
    const { runtime } = this.deps;
    const stopped = state.ending.signal.aborted;
    switch (action.type) {
      case 'run-sandbox':
        return stopped ? undefined : this.starter.runSandbox(state, action.attempt);
      case 'start':
        return stopped ? undefined : this.starter.start(state, action);
      case 'kill':
        return this.killer.kill(state, action);
      case 'stop-sandbox':
        return runtime.stopSandbox(action.id);
      case 'remove-sandbox':
        return runtime.removeSandbox(action.id);
      case 'remove-container':
        this.lastWords.delete(action.id);
        return runtime.removeContainer(action.id);
      case 'note-backoff':
        return this.deps.event(
          state.pod,
          'Warning',
          'BackOff',
          action.message.replace(/^back-off \S+ /, 'Back-off '),
          action.name,
        );
      case 'clean':
        return this.deps.volumes.clean(state.uid);
      case 'release':
        return this.release(state);
    }
  }

  private async release(state: PodState): Promise<void> {
    const { pod, uid } = state;
    const { namespace, name } = identityOf(pod);
    await this.statuses.flush(state);
    try {
      await this.deps.client.delete(PODS, namespace, name, { gracePeriodSeconds: 0, preconditions: { uid } });
    } catch (error) {
      if (!isNotFound(error) && !isConflict(error)) throw error;
    }
  }
}

export function newPodState(pod: Pod, removed: boolean): PodState {
  return {
    uid: pod.metadata.uid ?? '',
    pod,
    known: pod,
    reported: undefined,
    removed,
    admitted: false,
    verdict: undefined,
    failures: new Map(),
    killing: new Map(),
    condemned: new Map(),
    ending: new AbortController(),
    observed: { sandboxes: [], containers: [] },
  };
}
