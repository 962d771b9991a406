/**
 * Brings pods' statuses to the API without holding up their work: at most one write of a pod at a time, the newest
 * status wins, and what only shows progress waits a moment for what matters, which supersedes it.
 *
 * The kubelet goes on from its own newest status ({@link PodState.pod} carries it) while the write is on its way, as
 * upstream's status manager does. A write that fails is tried again after {@link RETRY_MS}.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Cancel, Clock } from '../../base/clock.js';
import { errorText, type Logger } from '../../base/log.js';
import { isConflict, isNotFound } from '../../api/errors.js';
import { PODS } from '../../api/resource.js';
import type { Pod, PodStatus } from '../../api/types/core-v1.js';
import type { Client } from '../../client/client.js';
import { identityOf } from './pod-model.js';
import type { PodState } from './pod-worker.js';
import { overlayStatus } from './status.js';

export interface StatusWriterDeps {
  readonly client: Client;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Milliseconds that a mere step of a start may wait for the next one. */
const PROGRESS_DELAY_MS = 250;
const RETRY_MS = 5_000;
/** How often one write is tried on a newer version of the pod before it waits. */
const CONFLICT_TRIES = 5;

interface Job {
  wanted: PodStatus | undefined;
  cancel: Cancel | undefined;
  running: Promise<void> | undefined;
}

export class StatusWriter {
  private readonly jobs = new Map<PodState, Job>();

  constructor(private readonly deps: StatusWriterDeps) {}

  /** Makes `status` the pod's, here at once and in the API soon. */
  report(state: PodState, status: PodStatus): void {
    state.pod = { ...state.pod, status };
    state.reported = status;
    const job = this.jobs.get(state);
    if (same(state.known.status, status)) {
      if (job && !job.running) this.drop(state, job);
      else if (job) job.wanted = undefined;
      return;
    }
    const present = job ?? { wanted: undefined, cancel: undefined, running: undefined };
    this.jobs.set(state, present);
    present.wanted = status;
    if (present.running) return;
    const urgent = matters(state.known.status, status) || state.known.metadata.deletionTimestamp !== undefined;
    if (urgent) this.begin(state, present);
    else present.cancel ??= this.deps.clock.timer(PROGRESS_DELAY_MS, () => this.begin(state, present));
  }

  /** Resolves when the API has the newest status of the pod, or has no such pod. Rejects when it cannot be told. */
  async flush(state: PodState): Promise<void> {
    for (let job = this.jobs.get(state); job; job = this.jobs.get(state)) {
      if (!job.running) {
        job.cancel?.();
        this.jobs.delete(state);
        if (job.wanted) await this.write(state, job.wanted);
        return;
      }
      await job.running;
    }
  }

  stop(): void {
    for (const [state, job] of this.jobs) if (!job.running) this.drop(state, job);
  }

  private drop(state: PodState, job: Job): void {
    job.cancel?.();
    this.jobs.delete(state);
  }

  private begin(state: PodState, job: Job): void {
    job.cancel?.();
    job.cancel = undefined;
    job.running = this.drain(state, job);
  }

  private async drain(state: PodState, job: Job): Promise<void> {
    const { clock, log } = this.deps;
    // `running` is set before the first write can end.
    await Promise.resolve();
    for (let status = job.wanted; status && !state.removed; status = job.wanted) {
      job.wanted = undefined;
      try {
        await this.write(state, status);
      } catch (error) {
        const { namespace, name } = identityOf(state.pod);
        log.warn('pod status not written, trying again', { pod: `${namespace}/${name}`, error: errorText(error) });
        job.wanted ??= status;
        job.running = undefined;
        job.cancel = clock.timer(RETRY_MS, () => this.begin(state, job));
        return;
      }
    }
    job.running = undefined;
    if (this.jobs.get(state) === job) this.jobs.delete(state);
  }

  private async write(state: PodState, status: PodStatus): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        learn(state, await this.replaceStatus(state, status));
        return;
      } catch (error) {
        // Gone: the informer will say so.
        if (isNotFound(error)) return;
        if (!isConflict(error) || tries === CONFLICT_TRIES) throw error;
        if (!(await this.learnNewest(state))) return;
      }
    }
  }

  /** Only over the version that is known: conditions that others set meanwhile, of an eviction say, must not be lost. */
  private replaceStatus({ uid, known }: PodState, status: PodStatus): Promise<Pod> {
    const { namespace, name } = identityOf(known);
    const { resourceVersion } = known.metadata;
    // A merge patch leaves what it does not name; nothing but ours may stay.
    const cleared = Object.fromEntries(Object.keys(known.status ?? {}).map((key) => [key, null]));
    const patch = {
      metadata: { uid, ...(resourceVersion === undefined ? {} : { resourceVersion }) },
      status: { ...cleared, ...overlayStatus(known.status ?? {}, status) },
    };
    return this.deps.client.patch<Pod>(PODS, namespace, name, 'merge', patch, {
      subresource: 'status',
      fieldManager: 'kubelet',
    });
  }

  /** False when the pod was replaced by a namesake, or is gone. */
  private async learnNewest(state: PodState): Promise<boolean> {
    const { namespace, name } = identityOf(state.known);
    try {
      const live = await this.deps.client.get<Pod>(PODS, namespace, name);
      if (live.metadata.uid !== state.uid) return false;
      learn(state, live);
      return true;
    } catch (error) {
      if (isNotFound(error)) return false;
      throw error;
    }
  }
}

/** Takes a version of the pod that the API has shown, unless a newer one is known. */
export function learn(state: PodState, pod: Pod): void {
  if (Number(pod.metadata.resourceVersion) < Number(state.known.metadata.resourceVersion)) return;
  state.known = pod;
  state.pod = state.reported ? { ...pod, status: overlayStatus(pod.status ?? {}, state.reported) } : pod;
}

const same = (a: unknown, b: unknown) => isDeepStrictEqual(plain(a ?? {}), plain(b));
/** Without undefined members, as it travels. */
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

/** True for what others wait for: phases, readiness, running, ends, restarts, reasons of failure. */
function matters(before: PodStatus | undefined, after: PodStatus): boolean {
  const gist = (status: PodStatus | undefined) => ({
    phase: status?.phase ?? 'Pending',
    reason: status?.reason,
    ready: status?.conditions?.some(({ type, status: truth }) => type === 'Ready' && truth === 'True') ?? false,
    containers: [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])]
      .filter(({ state, restartCount }) => restartCount > 0 || !STEPS.has(state?.waiting?.reason ?? 'none'))
      .map(({ name, state, ready, restartCount }) => [
        name,
        Object.keys(state ?? {})[0],
        state?.waiting?.reason,
        ready,
        restartCount,
      ]),
  });
  return !isDeepStrictEqual(gist(before), gist(after));
}

const STEPS = new Set(['ContainerCreating', 'PodInitializing']);
