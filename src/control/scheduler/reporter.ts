/**
 * Tells users what the scheduler decided: Events, and the `PodScheduled` condition and nomination of pods that fit nowhere. Best effort,
 * in the background, bounded: a cluster that cannot take the reports still gets its pods placed.
 *
 * Its own beside `client/event-recorder`, as upstream has two: kube-scheduler records through events.k8s.io (client-go's
 * `tools/events`: a precise time, an action, and a series instead of a count), and each of many thousand bindings is told of,
 * several at a time and without the limits for one object's events that other components need (`tools/record`).
 */
import { rfc3339, rfc3339Micro, type Clock } from '../../base/clock.js';
import { errorText, type Logger } from '../../base/log.js';
import type { Metrics } from '../../base/metrics.js';
import type { Event, Pod } from '../../api/types/core-v1.js';
import { EVENTS, PODS } from '../../api/resource.js';
import { isNotFound } from '../../api/errors.js';
import type { Client } from '../../client/client.js';

export const SCHEDULER_NAME = 'default-scheduler';

export interface ReporterOptions {
  /** Most writes under way at once. */
  readonly maxWrites: number;
  /** Most reports that wait; further ones are dropped and counted. */
  readonly maxWaiting: number;
  /** Most pods whose last refusal is remembered, so that a repeated one counts up instead of making a new Event. */
  readonly maxRemembered: number;
}

interface Remembered {
  readonly message: string;
  readonly eventName: string;
  readonly count: number;
}

export interface ReporterDeps {
  readonly client: Client;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

export class Reporter {
  private readonly waiting: (() => Promise<void>)[] = [];
  private readonly running = new Set<Promise<void>>();
  private readonly refusals = new Map<string, Remembered>();
  /** Conditions that wait to be written, by uid: bounded with `waiting`. */
  private readonly conditions = new Map<string, string>();
  private stopped = false;
  private lastStamp = 0;

  constructor(
    private readonly deps: ReporterDeps,
    private readonly options: ReporterOptions,
  ) {}

  /** The pod was bound to the node. */
  scheduled(pod: Pod, nodeName: string): void {
    this.forget(pod.metadata.uid);
    const message = `Successfully assigned ${pod.metadata.namespace}/${pod.metadata.name} to ${nodeName}`;
    const event = this.event(pod, 'Normal', 'Scheduled', message, 'Binding');
    this.enqueue(() => this.create(event));
  }

  /** The pod could not be placed or bound; `unschedulable`: because no node fits. */
  failed(pod: Pod, message: string, unschedulable: boolean): void {
    this.enqueue(() => this.reportFailure(pod, message));
    if (!unschedulable) return;
    const { uid = '' } = pod.metadata;
    this.conditions.set(uid, message);
    const accepted = this.enqueue(async () => {
      // Only the newest, and none at all once a node was found.
      if (this.conditions.get(uid) !== message) return;
      this.conditions.delete(uid);
      await this.setCondition(pod, message);
    });
    if (!accepted) this.conditions.delete(uid);
  }

  /** The pod is ended on the node for another of higher priority. */
  preempted(victim: Pod, preemptor: Pod, nodeName: string): void {
    const message = `Preempted by pod ${preemptor.metadata.uid} on node ${nodeName}`;
    const event = this.event(victim, 'Normal', 'Preempted', message, 'Preempting');
    this.enqueue(() => this.create({ ...event, related: referenceTo(preemptor) }));
  }

  /** Room is made for the pod on a node, or no longer: on which, is asked when it is written. */
  nominated(pod: Pod, nodeName: () => string | undefined): void {
    const { namespace = '', name = '', uid } = pod.metadata;
    this.enqueue(async () => {
      const patch = { ...(uid ? { metadata: { uid } } : {}), status: { nominatedNodeName: nodeName() ?? null } };
      await this.deps.client.patch(PODS, namespace, name, 'strategic', patch, { subresource: 'status' });
    });
  }

  /** A node was found: refusals that are not written yet would contradict the binding. */
  withdraw(uid: string | undefined): void {
    if (uid) this.conditions.delete(uid);
  }

  /** The pod is gone or bound: nothing of it needs remembering. */
  forget(uid: string | undefined): void {
    if (!uid) return;
    this.refusals.delete(uid);
    this.conditions.delete(uid);
  }

  /** Drops what waits and resolves when nothing is under way. */
  async stop(): Promise<void> {
    this.stopped = true;
    this.waiting.length = 0;
    this.conditions.clear();
    await Promise.all(this.running);
  }

  private async reportFailure(pod: Pod, message: string): Promise<void> {
    const uid = pod.metadata.uid ?? '';
    const known = this.refusals.get(uid);
    if (known?.message === message) {
      const count = known.count + 1;
      this.remember(uid, { ...known, count });
      const patch = { series: { count, lastObservedTime: rfc3339Micro(this.deps.clock.nowMs()) } };
      const { namespace = '' } = pod.metadata;
      try {
        await this.deps.client.patch(EVENTS, namespace, known.eventName, 'merge', patch);
        return;
      } catch (error) {
        // Events expire; then this is the first one again.
        if (!isNotFound(error)) throw error;
      }
    }
    const event = this.event(pod, 'Warning', 'FailedScheduling', message, 'Scheduling');
    this.remember(uid, { message, eventName: event.metadata.name ?? '', count: 1 });
    await this.create(event);
  }

  private async setCondition(pod: Pod, message: string): Promise<void> {
    const before = pod.status?.conditions?.find(({ type }) => type === 'PodScheduled');
    if (before?.status === 'False' && before.reason === 'Unschedulable' && before.message === message) return;
    const condition = {
      type: 'PodScheduled',
      status: 'False',
      reason: 'Unschedulable',
      message,
      lastProbeTime: null,
      lastTransitionTime:
        before?.status === 'False' && before.lastTransitionTime
          ? before.lastTransitionTime
          : rfc3339(this.deps.clock.nowMs()),
    };
    const { namespace = '', name = '', uid } = pod.metadata;
    const patch = { ...(uid ? { metadata: { uid } } : {}), status: { conditions: [condition] } };
    await this.deps.client.patch(PODS, namespace, name, 'strategic', patch, { subresource: 'status' });
  }

  private event(pod: Pod, type: string, reason: string, message: string, action: string): Event {
    const { namespace = '', name = '' } = pod.metadata;
    const nowMs = this.deps.clock.nowMs();
    // As client-go names events, by time; raised by one where the clock gives the same twice.
    this.lastStamp = Math.max(this.lastStamp + 1, Math.floor(nowMs * 1000));
    // What upstream's scheduler records through events.k8s.io has a precise time and no first and last one: clients that
    // sort by the latter list it before what the kubelet does next.
    return {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name: `${name}.${this.lastStamp.toString(16)}`, namespace },
      involvedObject: referenceTo(pod),
      type,
      reason,
      message: message.length > 1024 ? `${message.slice(0, 1021)}...` : message,
      action,
      eventTime: rfc3339Micro(nowMs),
      source: {},
      reportingComponent: SCHEDULER_NAME,
      reportingInstance: SCHEDULER_NAME,
    };
  }

  private async create(event: Event): Promise<void> {
    await this.deps.client.create(EVENTS, event);
  }

  private remember(uid: string, refusal: Remembered): void {
    this.refusals.delete(uid);
    this.refusals.set(uid, refusal);
    if (this.refusals.size <= this.options.maxRemembered) return;
    for (const oldest of this.refusals.keys()) {
      this.refusals.delete(oldest);
      return;
    }
  }

  /** Returns false for a report that was dropped. */
  private enqueue(write: () => Promise<void>): boolean {
    if (this.stopped) return false;
    if (this.running.size < this.options.maxWrites) {
      this.run(write);
      return true;
    }
    if (this.waiting.length < this.options.maxWaiting) {
      this.waiting.push(write);
      return true;
    }
    this.deps.metrics
      .counter('skein_scheduler_reports_dropped_total', 'Events and conditions not written for lack of room')
      .inc();
    return false;
  }

  private run(write: () => Promise<void>): void {
    const done = this.runAll(write).finally(() => this.running.delete(done));
    this.running.add(done);
  }

  /** One writer: does this report, then others for as long as some wait. */
  private async runAll(first: () => Promise<void>): Promise<void> {
    for (let write: (() => Promise<void>) | undefined = first; write; write = this.waiting.shift()) {
      try {
        await write();
      } catch (error) {
        // The pod may well be gone by now.
        if (!isNotFound(error)) this.deps.log.warn('scheduling report not written', { error: errorText(error) });
      }
    }
  }
}

function referenceTo({ metadata: { namespace, name, uid, resourceVersion } }: Pod): Event['involvedObject'] {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    ...(namespace ? { namespace } : {}),
    ...(name ? { name } : {}),
    ...(uid ? { uid } : {}),
    ...(resourceVersion ? { resourceVersion } : {}),
  };
}
