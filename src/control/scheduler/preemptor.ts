/**
 * Preemption, done: makes room for a pod that fits nowhere by ending pods of lower priority, and keeps that room for it.
 *
 * What is decided counts at once: the pod is nominated for the node, and its victims are known as such before the API says so,
 * so that another attempt waits for them instead of ending more. The writes follow in the background; where one fails, the
 * nomination is taken back and the pod tried again. All of it is in the objects too (`status.nominatedNodeName`, the condition
 * `DisruptionTarget`, deletion timestamps), from which another holder of the role goes on.
 */
import { rfc3339, type Clock } from '../../base/clock.js';
import { errorText, type Logger } from '../../base/log.js';
import type { Metrics } from '../../base/metrics.js';
import type { Random } from '../../base/random.js';
import { isConflict, isNotFound } from '../../api/errors.js';
import { PODS } from '../../api/resource.js';
import type { Pod } from '../../api/types/core-v1.js';
import type { PodDisruptionBudget } from '../../api/types/policy-v1.js';
import type { Client } from '../../client/client.js';
import type { Lister } from '../../client/informer.js';
import type { ClusterState } from './cluster-state.js';
import type { PodInfo } from './pod-info.js';
import { planPreemption, type Candidate, type PreemptionLookups } from './preemption.js';
import { SCHEDULER_NAME, type Reporter } from './reporter.js';
import type { Entry, SchedulingQueue } from './scheduling-queue.js';
import type { Search } from './search.js';

const DISRUPTED = { type: 'DisruptionTarget', status: 'True', reason: 'PreemptionByScheduler' } as const;

/** A pod whose deletion failed (those of a StatefulSet do where there is no majority) is spared for so long if possible. */
const HELD_MS = 60_000;

export interface PreemptorDeps {
  readonly client: Client;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly random: Random;
  readonly state: ClusterState;
  readonly queue: SchedulingQueue;
  readonly reporter: Reporter;
  readonly pods: Pick<Lister<Pod>, 'get'>;
  /** With the index `namespace`. */
  readonly budgets: Pick<Lister<PodDisruptionBudget>, 'byIndex'>;
}

/** Whether the pod's status says that it goes for one of higher priority. */
export function isPreemptionVictim({ status }: Pod): boolean {
  return Boolean(
    status?.conditions?.some(
      ({ type, status: value, reason }) =>
        type === DISRUPTED.type && value === DISRUPTED.status && reason === DISRUPTED.reason,
    ),
  );
}

export class Preemptor {
  /** Uids of victims whose deletion is decided, until they are gone. */
  private readonly doomed = new Set<string>();
  /** Until when pods are spared where there is a choice, by uid: monotonic, in milliseconds. */
  private readonly held = new Map<string, number>();
  private readonly underWay = new Set<Promise<void>>();
  private readonly lookups: PreemptionLookups;
  private readonly attempts;
  private readonly victims;

  constructor(private readonly deps: PreemptorDeps) {
    const { clock, metrics, budgets } = deps;
    this.lookups = {
      budgets: (namespace) => budgets.byIndex('namespace', namespace),
      started: (info) => this.current(info)?.status?.startTime,
      isHeld: ({ pod }) => (this.held.get(pod.metadata.uid ?? '') ?? 0) > clock.monotonicMs(),
      isPreempted: ({ pod, terminating }) =>
        this.doomed.has(pod.metadata.uid ?? '') || (terminating && isPreemptionVictim(pod)),
    };
    this.attempts = metrics.counter('skein_scheduler_preemption_attempts_total', 'Preemptions begun');
    this.victims = metrics.counter('skein_scheduler_preemption_victims_total', 'Pods ended for one of higher priority');
  }

  /** How many preemptions are being written. */
  get size(): number {
    return this.underWay.size;
  }

  /** For a pod whose search has just failed. Returns why no room is made for it, and the empty text when it is. */
  attempt(entry: Entry, search: Search, onDone: () => void): string {
    const plan = planPreemption(search, this.lookups, this.deps.random);
    if (!plan.found) {
      if (plan.void) this.withdraw(entry.info);
      return plan.why;
    }
    this.nominate(entry.info, plan.node.name);
    for (const victim of plan.victims) this.doomed.add(victim.pod.metadata.uid ?? '');
    this.attempts.inc();
    const done = this.carryOut(entry, plan).finally(() => {
      this.underWay.delete(done);
      onDone();
    });
    this.underWay.add(done);
    return '';
  }

  /** The pod with this uid is gone. */
  forget(uid: string | undefined): void {
    if (!uid) return;
    this.doomed.delete(uid);
    this.held.delete(uid);
  }

  async stop(): Promise<void> {
    await Promise.all(this.underWay);
  }

  /** Those of lower priority that waited for room on this node look for another. */
  private nominate(info: PodInfo, nodeName: string): void {
    const { state, queue } = this.deps;
    for (const other of state.nominations.on(nodeName)) {
      if (other.priority >= info.priority) continue;
      this.withdraw(other);
      const entry = queue.get(other.key);
      if (entry?.state === 'refused') queue.retry(entry);
    }
    state.nominations.set(info, nodeName);
    this.report(info);
  }

  private withdraw(info: PodInfo): void {
    const known = this.deps.state.nominations.remove(info.key);
    if (known !== undefined || this.current(info)?.status?.nominatedNodeName) this.report(info);
  }

  /** Writes the nomination as it is by then. */
  private report({ pod, key }: PodInfo): void {
    const { reporter, state } = this.deps;
    reporter.nominated(pod, () => state.nominations.nodeOf(key));
  }

  private async carryOut(entry: Entry, { node, victims }: Candidate): Promise<void> {
    const { state, queue, log } = this.deps;
    const { info } = entry;
    const outcomes = await Promise.allSettled(victims.map((victim) => this.end(victim, info.pod, node.name)));
    let failure: string | undefined;
    for (const [i, outcome] of outcomes.entries()) {
      if (outcome.status === 'fulfilled') continue;
      failure = errorText(outcome.reason);
      const { uid = '' } = victims[i]?.pod.metadata ?? {};
      this.doomed.delete(uid);
      this.held.set(uid, this.deps.clock.monotonicMs() + HELD_MS);
    }
    if (failure === undefined) return;
    log.warn('preemption failed', { pod: info.key, node: node.name, error: failure });
    if (state.nominations.nodeOf(info.key) !== node.name || queue.get(info.key) !== entry) return;
    this.withdraw(info);
    if (entry.state === 'refused') queue.retry(entry);
  }

  /** Says why, then deletes gracefully. Resolves when the API has accepted both, or the pod is gone. */
  private async end(victim: PodInfo, preemptor: Pod, nodeName: string): Promise<void> {
    const { client, reporter } = this.deps;
    const pod = this.current(victim);
    if (!pod) return;
    const { namespace = '', name = '', uid = '', deletionTimestamp } = pod.metadata;
    try {
      if (!isPreemptionVictim(pod)) {
        const patch = { metadata: { uid }, status: { conditions: [this.condition(pod, preemptor)] } };
        await client.patch(PODS, namespace, name, 'strategic', patch, { subresource: 'status' });
      }
      if (deletionTimestamp) return;
      await client.delete(PODS, namespace, name, { preconditions: { uid } });
    } catch (error) {
      // Gone, or another pod of the same name.
      if (isNotFound(error) || isConflict(error)) return;
      throw error;
    }
    this.victims.inc();
    reporter.preempted(pod, preemptor, nodeName);
  }

  private condition({ status }: Pod, { spec }: Pod): Record<string, unknown> {
    const before = status?.conditions?.find(({ type }) => type === DISRUPTED.type);
    const since = before?.status === DISRUPTED.status ? before.lastTransitionTime : undefined;
    return {
      ...DISRUPTED,
      message: `${spec?.schedulerName ?? SCHEDULER_NAME}: preempting to accommodate a higher priority pod`,
      lastProbeTime: null,
      lastTransitionTime: since ?? rfc3339(this.deps.clock.nowMs()),
    };
  }

  /** The newest of the pod, with its status; undefined when it is gone. */
  private current({ pod: { metadata } }: PodInfo): Pod | undefined {
    const pod = this.deps.pods.get(metadata.namespace ?? '', metadata.name ?? '');
    return pod?.metadata.uid === metadata.uid ? pod : undefined;
  }
}
