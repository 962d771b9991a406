/**
 * Decides what to do for one pod: pure, from what is wished, what the runtime shows and what the probes say.
 *
 * | pod                          | sandbox      | containers                                                        |
 * |------------------------------|--------------|-------------------------------------------------------------------|
 * | removed from the API         | remove       | kill, remove                                                      |
 * | being deleted                | after them   | kill with the grace left; then final status, then API delete      |
 * | finished (phase or verdict)  | stop         | kill what still runs                                              |
 * | wished, no ready sandbox     | make anew    | kill what belongs to the old one                                  |
 * | wished, sandbox ready        | keep         | init in order, then sidecars gate by started, then app containers |
 */
import type { Container as ContainerSpec, Pod } from '../../api/types/core-v1.js';
import type { Container, Sandbox } from '../runtime/runtime.js';
import { NOTE, restartTime, specHash, type BackoffRule } from './container-notes.js';
import {
  instancesOf,
  isTerminalPhase,
  newestSandbox,
  podContainers,
  restartsAfter,
  type ContainerKind,
  type Observed,
  type PodContainer,
} from './pod-model.js';

/** What probes say of a container, by its runtime id. */
export interface ProbeResults {
  /** False while a startup probe (or the postStart hook) has not succeeded. */
  started(containerId: string): boolean;
  ready(containerId: string): boolean;
  /** The probe that condemned it, with the grace it asks for. */
  failed(
    containerId: string,
  ): { readonly probe: 'liveness' | 'startup'; readonly graceSeconds: number | undefined } | undefined;
}

/** Something could not be done; it is tried again at `retryAtMs`. */
export interface Failure {
  readonly reason: string;
  readonly message: string;
  readonly retryAtMs: number;
}

/** Why a pod must fail, whatever its containers do. */
export interface Verdict {
  readonly reason: string;
  readonly message: string;
  /** The node never took the pod: nothing is said of its containers. */
  readonly rejected?: boolean;
}

export interface PlanInput {
  readonly pod: Pod;
  /** The pod is no longer in the API. */
  readonly removed: boolean;
  readonly observed: Observed;
  readonly probes: ProbeResults;
  readonly nowMs: number;
  /** By container name; `''` is the sandbox or the volumes. */
  readonly failures: ReadonlyMap<string, Failure>;
  /** Containers being killed now, with the grace given. */
  readonly killing: ReadonlyMap<string, number>;
  /** Containers whose postStart hook failed. */
  readonly condemned: ReadonlyMap<string, string>;
  readonly verdict: Verdict | undefined;
  readonly backoff: BackoffRule;
}

export type Action =
  | { readonly type: 'run-sandbox'; readonly attempt: number }
  | { readonly type: 'stop-sandbox'; readonly id: string }
  | { readonly type: 'remove-sandbox'; readonly id: string }
  | {
      readonly type: 'start';
      readonly spec: ContainerSpec;
      readonly kind: ContainerKind;
      readonly attempt: number;
      readonly backoffMs: number;
      readonly sandboxId: string;
    }
  | {
      readonly type: 'kill';
      readonly container: Container;
      readonly graceSeconds: number;
      /** The text of the Killing event. */
      readonly message: string;
    }
  | { readonly type: 'remove-container'; readonly id: string }
  /** A back-off is in force: tell the user (once in a while). */
  | { readonly type: 'note-backoff'; readonly name: string; readonly message: string }
  /** Nothing runs any more: remove volumes and files. */
  | { readonly type: 'clean' }
  /** The final status is written: let the API forget the pod. */
  | { readonly type: 'release' };

export interface Plan {
  readonly actions: readonly Action[];
  /** Look again at this time even if nothing happens. */
  readonly wakeAtMs: number | undefined;
  /** No container of the pod runs or will run again. */
  readonly finished: boolean;
}

/** Newest exited containers kept per name for `kubectl logs --previous` and `lastState`. */
const KEPT_DEAD = 1;

export function planPod(input: PlanInput): Plan {
  const { pod, removed, observed } = input;
  if (removed || pod.metadata.deletionTimestamp !== undefined) return planEnd(input, true);
  if (isTerminalPhase(pod.status?.phase) || input.verdict) return planEnd(input, false);
  const sandbox = newestSandbox(observed);
  if (!sandbox || sandbox.state !== 'ready') return planSandbox(input, sandbox);
  return new RunningPlan(input, sandbox).make();
}

/** Seconds a pod may take to end. */
export function graceOf(pod: Pod): number {
  return pod.metadata.deletionGracePeriodSeconds ?? pod.spec?.terminationGracePeriodSeconds ?? 30;
}

function planEnd(input: PlanInput, leaving: boolean): Plan {
  const { pod, removed, observed, killing } = input;
  const actions: Action[] = [];
  const grace = removed ? Math.min(graceOf(pod), pod.spec?.terminationGracePeriodSeconds ?? 30) : graceOf(pod);
  const alive = observed.containers.filter((container) => container.state === 'running');
  const sidecars = new Set(podContainers(pod).flatMap(({ spec, kind }) => (kind === 'sidecar' ? [spec.name] : [])));
  // Sidecars outlive the app containers, as KEP-753 asks.
  const first = alive.filter((container) => !sidecars.has(container.name));
  for (const container of first.length > 0 ? first : alive) {
    const given = killing.get(container.id);
    if (given !== undefined && given <= grace) continue;
    actions.push({
      type: 'kill',
      container,
      graceSeconds: grace,
      message: `Stopping container ${container.name}`,
    });
  }
  if (alive.length > 0) return { actions, wakeAtMs: undefined, finished: false };
  for (const { id, state } of observed.sandboxes) if (state === 'ready') actions.push({ type: 'stop-sandbox', id });
  if (!leaving) {
    actions.push(...removals(observed));
    return { actions, wakeAtMs: undefined, finished: true };
  }
  // The final status comes from these containers, so the API hears it before they are removed.
  if (!removed) actions.push({ type: 'clean' }, { type: 'release' });
  for (const { id } of observed.containers) actions.push({ type: 'remove-container', id });
  for (const { id } of observed.sandboxes) actions.push({ type: 'remove-sandbox', id });
  if (removed) actions.push({ type: 'clean' });
  return { actions, wakeAtMs: undefined, finished: true };
}

function planSandbox(input: PlanInput, sandbox: Sandbox | undefined): Plan {
  const { pod, observed, killing, failures, nowMs } = input;
  const alive = observed.containers.filter((container) => container.state === 'running');
  if (alive.length > 0) {
    const actions = alive
      .filter(({ id }) => !killing.has(id))
      .map((container): Action => ({
        type: 'kill',
        container,
        graceSeconds: graceOf(pod),
        message: `Stopping container ${container.name}`,
      }));
    return { actions, wakeAtMs: undefined, finished: false };
  }
  if (sandbox && allDone(pod, observed)) return { actions: [], wakeAtMs: undefined, finished: true };
  const failure = failures.get('');
  if (failure && failure.retryAtMs > nowMs) {
    return { actions: [], wakeAtMs: failure.retryAtMs, finished: false };
  }
  const actions: Action[] = observed.sandboxes.map(({ id }) => ({ type: 'remove-sandbox', id }));
  actions.push({ type: 'run-sandbox', attempt: sandbox ? sandbox.attempt + 1 : 0 });
  return { actions, wakeAtMs: undefined, finished: false };
}

/** True when every app container has ended and none is to run again. */
export function allDone(pod: Pod, observed: Observed): boolean {
  const containers = podContainers(pod);
  const failedInit = containers.some(({ spec, kind }) => {
    if (kind !== 'init') return false;
    const [newest] = instancesOf(observed, spec.name);
    return newest?.state === 'exited' && newest.exitCode !== 0 && !restartsAfter(pod, kind, newest.exitCode);
  });
  if (failedInit) return true;
  return containers
    .filter(({ kind }) => kind === 'app')
    .every(({ spec, kind }) => {
      const [newest] = instancesOf(observed, spec.name);
      return newest?.state === 'exited' && !restartsAfter(pod, kind, newest.exitCode);
    });
}

/** Dead containers beyond the ones kept. */
function removals(observed: Observed): Action[] {
  const actions: Action[] = [];
  for (const name of new Set(observed.containers.map((container) => container.name))) {
    const [newest, ...older] = instancesOf(observed, name);
    const dead = older.filter(({ state }) => state !== 'running');
    const kept = newest?.state === 'exited' ? Math.max(0, KEPT_DEAD) : KEPT_DEAD;
    for (const { id } of dead.slice(kept)) actions.push({ type: 'remove-container', id });
  }
  return actions;
}

/** The pod is wished and its sandbox is ready. */
class RunningPlan {
  private readonly actions: Action[] = [];
  private wakeAtMs: number | undefined;

  constructor(
    private readonly input: PlanInput,
    private readonly sandbox: Sandbox,
  ) {}

  make(): Plan {
    const { pod, observed } = this.input;
    if (this.isOver()) {
      return { actions: this.endOfSidecars(), wakeAtMs: undefined, finished: true };
    }
    const containers = podContainers(pod);
    const initialized = this.initialize(containers.filter(({ kind }) => kind === 'init' || kind === 'sidecar'));
    for (const container of containers) {
      if (container.kind === 'app' && initialized) this.keep(container);
      if (container.kind === 'ephemeral') this.keep(container);
    }
    this.actions.push(...removals(observed));
    return { actions: this.actions, wakeAtMs: this.wakeAtMs, finished: false };
  }

  private isOver(): boolean {
    return allDone(this.input.pod, this.input.observed);
  }

  private endOfSidecars(): Action[] {
    const alive = this.input.observed.containers.filter(({ state }) => state === 'running');
    return alive
      .filter(({ id }) => !this.input.killing.has(id))
      .map((container) => ({
        type: 'kill',
        container,
        graceSeconds: graceOf(this.input.pod),
        message: `Stopping container ${container.name}`,
      }));
  }

  /** Goes through the init containers in order; true when app containers may run. */
  private initialize(containers: readonly PodContainer[]): boolean {
    // App containers that exist prove that initialization was complete, even if dead init containers are gone.
    const { pod, observed } = this.input;
    const begun = (pod.spec?.containers ?? []).some(({ name }) =>
      observed.containers.some((one) => one.name === name && one.sandboxId === this.sandbox.id),
    );
    for (const container of containers) {
      const [newest] = instancesOf(observed, container.spec.name);
      if (container.kind === 'sidecar') {
        this.keep(container);
        const up = newest?.state === 'running' && this.input.probes.started(newest.id);
        if (!up && !begun) return false;
        continue;
      }
      if (begun) continue;
      // A new sandbox runs the init containers again.
      const current = newest?.sandboxId === this.sandbox.id ? newest : undefined;
      if (current?.state === 'exited' && current.exitCode === 0) continue;
      if (!current && newest) this.start(container, newest.attempt + 1, 0);
      else this.keep(container);
      return false;
    }
    return true;
  }

  /** Starts the container when it should run and does not; kills it when it must not go on. */
  private keep(container: PodContainer): void {
    const { spec, kind } = container;
    const { pod, observed, nowMs } = this.input;
    const [newest] = instancesOf(observed, spec.name);
    if (!newest) return this.start(container, 0, 0);
    if (newest.state === 'running') return this.judge(newest, container);
    if (newest.state === 'created' || newest.state === 'unknown') {
      // Left over from a start that did not happen.
      this.actions.push({ type: 'remove-container', id: newest.id });
      return this.start(container, newest.attempt, Number(newest.annotations[NOTE.backoffMs] ?? 0) || 0);
    }
    if (newest.sandboxId === this.sandbox.id && !restartsAfter(pod, kind, newest.exitCode)) return undefined;
    if (newest.sandboxId !== this.sandbox.id && kind === 'app' && !restartsAfter(pod, kind, newest.exitCode)) {
      return undefined;
    }
    const restart = restartTime(newest, this.input.backoff);
    if (restart.atMs > nowMs && newest.sandboxId === this.sandbox.id) {
      this.actions.push({
        type: 'note-backoff',
        name: spec.name,
        message: backoffText(pod, spec.name, restart.waitMs),
      });
      return this.wake(restart.atMs);
    }
    return this.start(container, newest.attempt + 1, restart.nextMs);
  }

  private judge(running: Container, { spec }: PodContainer): void {
    const { pod, probes, killing, condemned } = this.input;
    if (killing.has(running.id)) return;
    const kill = (message: string, graceSeconds: number) =>
      this.actions.push({ type: 'kill', container: running, graceSeconds, message });
    const hash = running.annotations[NOTE.specHash];
    const failed = probes.failed(running.id);
    const hook = condemned.get(running.id);
    if (hash !== undefined && hash !== specHash(spec)) {
      kill(`Container ${spec.name} definition changed, will be restarted`, graceOf(pod));
    } else if (hook !== undefined) kill(hook, graceOf(pod));
    else if (failed) {
      const ends = pod.spec?.restartPolicy === 'Never' ? '' : ', will be restarted';
      kill(`Container ${spec.name} failed ${failed.probe} probe${ends}`, failed.graceSeconds ?? graceOf(pod));
    }
  }

  private start({ spec, kind }: PodContainer, attempt: number, backoffMs: number): void {
    const failure = this.input.failures.get(spec.name);
    if (failure && failure.retryAtMs > this.input.nowMs) return this.wake(failure.retryAtMs);
    this.actions.push({ type: 'start', spec, kind, attempt, backoffMs, sandboxId: this.sandbox.id });
    return undefined;
  }

  private wake(atMs: number): void {
    this.wakeAtMs = Math.min(this.wakeAtMs ?? Infinity, atMs);
  }
}

/** The kubelet's words for a container that waits for its restart. */
export function backoffText(pod: Pod, name: string, waitMs: number): string {
  const { namespace = 'default', name: podName = '', uid = '' } = pod.metadata;
  return `back-off ${goDuration(waitMs)} restarting failed container=${name} pod=${podName}_${namespace}(${uid})`;
}

/** A duration in whole seconds as Go prints it: `10s`, `2m40s`, `5m0s`. */
export function goDuration(ms: number): string {
  const seconds = Math.round(ms / 1000);
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor((seconds % 3600) / 60);
  if (hours > 0) return `${hours}h${minutes}m${seconds % 60}s`;
  return minutes > 0 ? `${minutes}m${seconds % 60}s` : `${seconds}s`;
}
