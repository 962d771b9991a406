/** Ends containers: preStop hook, then the stop signal, then the kill; all within the grace given. */
import type { Clock } from '../../base/clock.js';
import { errorText, type Logger } from '../../base/log.js';
import type { LifecycleHandler, Pod } from '../../api/types/core-v1.js';
import type { EventType } from '../../client/event-recorder.js';
import type { Runtime } from '../runtime/runtime.js';
import { NOTE } from './container-notes.js';
import { runHook } from './hooks.js';
import type { Action } from './plan.js';
import { podContainers } from './pod-model.js';
import type { PodState } from './pod-worker.js';

export interface KillerDeps {
  readonly runtime: Runtime;
  readonly clock: Clock;
  readonly log: Logger;
  readonly event: (pod: Pod, type: EventType, reason: string, message: string, container?: string) => void;
  readonly again: (uid: string) => void;
}

/** What a container gets at least to end, even if its hook took all the grace. */
const MIN_GRACE_SECONDS = 2;

export class ContainerKiller {
  private readonly running = new Set<Promise<void>>();

  constructor(private readonly deps: KillerDeps) {}

  /** Returns at once; the pod is synced again when the container is gone. */
  kill(state: PodState, action: Extract<Action, { type: 'kill' }>): void {
    const { container, graceSeconds, message } = action;
    const first = !state.killing.has(container.id);
    state.killing.set(container.id, graceSeconds);
    if (first) this.deps.event(state.pod, 'Normal', 'Killing', message, container.name);
    const task = this.end(state, action, first)
      .catch((error: unknown) =>
        this.deps.log.warn('a container could not be stopped', { container: container.id, error: errorText(error) }),
      )
      .finally(() => {
        this.running.delete(task);
        state.killing.delete(container.id);
        state.condemned.delete(container.id);
        this.deps.again(state.uid);
      });
    this.running.add(task);
  }

  async idle(): Promise<void> {
    await Promise.allSettled(this.running);
  }

  private async end(
    state: PodState,
    { container, graceSeconds }: Extract<Action, { type: 'kill' }>,
    first: boolean,
  ): Promise<void> {
    const { clock, runtime, event } = this.deps;
    const began = clock.monotonicMs();
    const hook = hookOf(state.pod, container.name, container.annotations[NOTE.preStop]);
    const spec = podContainers(state.pod).find((one) => one.spec.name === container.name)?.spec;
    if (hook && first && graceSeconds > 0) {
      const failure = await runHook(hook, {
        runtime,
        clock,
        pod: state.pod,
        spec: spec ?? { name: container.name },
        containerId: container.id,
        podIp: state.pod.status?.podIP ?? '',
        timeoutMs: graceSeconds * 1000,
      });
      if (failure !== undefined) {
        const text = `PreStopHook failed`;
        event(state.pod, 'Warning', 'FailedPreStopHook', text, container.name);
        this.deps.log.debug('preStop hook failed', { container: container.name, error: failure });
      }
    }
    const left = graceSeconds - Math.round((clock.monotonicMs() - began) / 1000);
    await runtime.stopContainer(container.id, graceSeconds === 0 ? 0 : Math.max(MIN_GRACE_SECONDS, left));
  }
}

/** The pod's hook, or the one the container carries when the pod is no longer known. */
function hookOf(pod: Pod, name: string, carried: string | undefined): LifecycleHandler | undefined {
  const found = podContainers(pod).find(({ spec }) => spec.name === name);
  if (found) return found.spec.lifecycle?.preStop;
  if (carried === undefined) return undefined;
  try {
    return JSON.parse(carried) as LifecycleHandler;
  } catch {
    return undefined;
  }
}
