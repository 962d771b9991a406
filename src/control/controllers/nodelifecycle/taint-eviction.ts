/**
 * Evicts pods from nodes with NoExecute taints they do not tolerate (any longer), and finishes the deletion of pods on lost
 * nodes.
 *
 * The latter upstream does not do: a pod of a dead node stays Terminating until the node returns. Here a pod whose grace
 * period has passed on a node that is not alive is removed by force, so that its name, its volumes and its place in a count
 * are free. Should the node have been alive behind a split and come back, its kubelet finds pods that the API no longer has and
 * kills them; until then both copies may run, which is what any system without fencing of the machine itself has to accept.
 */
import { rfc3339 } from '../../../base/clock.js';
import type { Service } from '../../../base/lifecycle.js';
import { isConflict, isNotFound } from '../../../api/errors.js';
import { keyOf, splitKey } from '../../../api/object.js';
import { NODES, PODS } from '../../../api/resource.js';
import type { Node, Pod } from '../../../api/types/core-v1.js';
import { Controller, type ReconcileResult } from '../../../client/controller.js';
import type { SharedDeps } from '../deps.js';
import { BY_NODE } from '../informer-set.js';
import { listening } from '../listening.js';
import { isPodTerminated } from '../pod-state.js';
import { LivenessJudge, type NodeLiveness } from './liveness.js';
import { evictionMs } from './tolerations.js';

export interface TaintEvictionOptions {
  /** Pods evicted in a second at most; 50 unless told. */
  readonly evictionsPerSecond?: number;
  /** As in `NodeLifecycleOptions`; 40,000 unless told. */
  readonly unknownGraceMs?: number;
}

export function taintEvictionController(
  deps: SharedDeps,
  liveness: NodeLiveness,
  options: TaintEvictionOptions = {},
): Service {
  const { client, clock } = deps;
  const nodes = deps.informers.of<Node>(NODES);
  const pods = deps.informers.of<Pod>(PODS);
  const judge = new LivenessJudge(liveness, clock, options.unknownGraceMs ?? 40_000);
  const intervalMs = 1000 / (options.evictionsPerSecond ?? 50);
  /** Pods to be evicted sometime, with when that was first seen, in milliseconds since the epoch. */
  const scheduled = new Map<string, number>();
  let nextEvictionMs = 0;
  const controller = new Controller(deps, { name: 'taint-eviction', workers: 4, waitFor: [nodes, pods], reconcile });
  const wakeNode = (name: string) => {
    for (const pod of pods.byIndex(BY_NODE, name)) controller.queue.add(keyOf(pod));
  };
  pods.addHandler({
    onUpsert: (pod) => {
      if (pod.spec?.nodeName) controller.queue.add(keyOf(pod));
    },
    onDelete: (pod) => scheduled.delete(keyOf(pod)),
  });
  nodes.addHandler({
    onUpsert: ({ metadata, spec }, previous) => {
      if (spec?.taints !== previous?.spec?.taints) wakeNode(metadata.name ?? '');
    },
    onDelete: ({ metadata }) => judge.forget(metadata.name ?? ''),
  });

  async function reconcile(key: string): Promise<ReconcileResult | void> {
    const { namespace, name } = splitKey(key);
    const pod = pods.get(namespace, name);
    const node = nodes.get('', pod?.spec?.nodeName ?? '');
    if (!pod || !node) {
      scheduled.delete(key);
      return;
    }
    if (pod.metadata.deletionTimestamp) return finishOnLostNode(pod, node.metadata.name ?? '');
    const seenMs = scheduled.get(key) ?? clock.nowMs();
    const due = isPodTerminated(pod) ? undefined : evictionMs(pod, node.spec?.taints ?? [], seenMs);
    if (due === undefined) {
      if (scheduled.delete(key)) event(pod, `Cancelling deletion of Pod ${key}`);
      return;
    }
    scheduled.set(key, seenMs);
    const waitMs = Math.max(due - clock.nowMs(), nextEvictionMs - clock.monotonicMs());
    if (waitMs > 0) return { requeueAfterMs: waitMs };
    nextEvictionMs = clock.monotonicMs() + intervalMs;
    await evict(pod);
  }

  async function evict(pod: Pod): Promise<void> {
    const { namespace = '', name = '', uid = '' } = pod.metadata;
    const conditions = pod.status?.conditions ?? [];
    const others = conditions.filter(({ type }) => type !== 'DisruptionTarget');
    const disrupted = {
      type: 'DisruptionTarget',
      status: 'True',
      reason: 'DeletionByTaintManager',
      message: 'Taint manager: deleting due to NoExecute taint',
      lastTransitionTime: rfc3339(clock.nowMs()),
    };
    // Once: a deletion may be refused for long, and a write with each try would wake this at once.
    const isMarked = conditions.some(({ type, reason }) => type === disrupted.type && reason === disrupted.reason);
    try {
      if (!isMarked) {
        await client.updateStatus<Pod>(PODS, { ...pod, status: { ...pod.status, conditions: [...others, disrupted] } });
        event(pod, `Marking for deletion Pod ${keyOf(pod)}`);
      }
      await client.delete(PODS, namespace, name, { preconditions: { uid } });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  async function finishOnLostNode(pod: Pod, nodeName: string): Promise<ReconcileResult | void> {
    const { alive, waitMs } = judge.judge(nodeName);
    // Its own kubelet ends it; asked again when the liveness changes, or the time to decide is over.
    if (alive) return waitMs === undefined ? undefined : { requeueAfterMs: waitMs };
    const { namespace = '', name = '', uid = '', deletionTimestamp = '' } = pod.metadata;
    const graceMs = Date.parse(deletionTimestamp) - clock.nowMs();
    if (graceMs > 0) return { requeueAfterMs: graceMs };
    try {
      await client.delete(PODS, namespace, name, { gracePeriodSeconds: 0, preconditions: { uid } });
    } catch (error) {
      // Gone, or another pod of the same name: what was to be removed is no more.
      if (!isNotFound(error) && !isConflict(error)) throw error;
    }
  }

  function event(pod: Pod, message: string): void {
    deps.events('taint-eviction-controller').event(pod, 'Normal', 'TaintManagerEviction', message);
  }
  return listening(controller, () => liveness.onChange(wakeNode));
}
