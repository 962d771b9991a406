/**
 * What happens to the API when a node stops answering, and when it comes back.
 *
 * Dead: its conditions become Unknown, it gets the unreachable taints, and its pods become not ready at once, so that
 * Services stop sending to them; after their tolerationSeconds they are evicted (`taint-eviction.ts`). Back: the taints go
 * when its kubelet has reported Ready; its kubelet also reports its pods anew.
 *
 * Split: each component of a split cluster sees the nodes of the others as dead and repairs with the nodes it has, down to
 * the last one standing. Upstream stops evicting when a whole zone is dark, since there that speaks of a broken control
 * plane; here the control plane is in every component, and what it can reach is what it has to work with.
 */
import type { Service } from '../../../base/lifecycle.js';
import { isNotFound } from '../../../api/errors.js';
import { NODES, PODS } from '../../../api/resource.js';
import type { Node, Pod } from '../../../api/types/core-v1.js';
import { Controller, type ReconcileResult } from '../../../client/controller.js';
import type { SharedDeps } from '../deps.js';
import { BY_NODE } from '../informer-set.js';
import { listening } from '../listening.js';
import { LivenessJudge, type NodeLiveness } from './liveness.js';
import { needsNoExecute, notReadyStatus, plannedTaints, unknownStatus } from './plan.js';

export interface NodeLifecycleOptions {
  /** Nodes that may newly be tainted NoExecute in a second, so that a false alarm does not empty the cluster; 10 unless told. */
  readonly taintedNodesPerSecond?: number;
  /** A node that the membership does not know counts as dead after this, in milliseconds; 40,000 unless told. */
  readonly unknownGraceMs?: number;
}

export function nodeLifecycleController(
  deps: SharedDeps,
  liveness: NodeLiveness,
  options: NodeLifecycleOptions = {},
): Service {
  const { client, clock } = deps;
  const nodes = deps.informers.of<Node>(NODES);
  const pods = deps.informers.of<Pod>(PODS);
  const judge = new LivenessJudge(liveness, clock, options.unknownGraceMs ?? 40_000);
  const intervalMs = 1000 / (options.taintedNodesPerSecond ?? 10);
  let nextTaintMs = 0;
  const controller = new Controller(deps, { name: 'nodelifecycle', workers: 4, waitFor: [nodes, pods], reconcile });
  nodes.addHandler({
    onUpsert: ({ metadata }) => controller.queue.add(metadata.name ?? ''),
    onDelete: ({ metadata }) => judge.forget(metadata.name ?? ''),
  });
  // A pod that a lost node's kubelet reported ready last, or one that was bound to it since.
  pods.addHandler({
    onUpsert: ({ spec }) => {
      if (spec?.nodeName && liveness.isAlive(spec.nodeName) !== true) controller.queue.add(spec.nodeName);
    },
  });

  async function reconcile(name: string): Promise<ReconcileResult | void> {
    const node = nodes.get('', name);
    if (!node) return;
    const { alive, waitMs } = judge.judge(name);
    const nowMs = clock.nowMs();
    const current = alive ? node : await markUnknown(node, nowMs);
    const wantsNoExecute = needsNoExecute(current, alive);
    const mayEvict = wantsNoExecute && clock.monotonicMs() >= nextTaintMs;
    const taints = plannedTaints(current, alive, mayEvict, nowMs);
    if (taints) {
      if (mayEvict) nextTaintMs = clock.monotonicMs() + intervalMs;
      await client.update<Node>(NODES, { ...current, spec: { ...current.spec, taints } });
    }
    // Only for a node that is lost: a live kubelet reports its pods itself, and would be at odds with us.
    if (!alive) await markPodsNotReady(name, nowMs);
    const waits = [waitMs ?? 0, wantsNoExecute && !mayEvict ? nextTaintMs - clock.monotonicMs() : 0];
    const due = waits.filter((wait) => wait > 0);
    if (due.length > 0) return { requeueAfterMs: Math.min(...due) };
  }

  async function markUnknown(node: Node, nowMs: number): Promise<Node> {
    const status = unknownStatus(node, nowMs);
    if (!status) return node;
    const updated = await client.updateStatus<Node>(NODES, { ...node, status });
    const message = `Node ${node.metadata.name} status is now: NodeNotReady`;
    deps.events('node-controller').event(updated, 'Normal', 'NodeNotReady', message);
    return updated;
  }

  async function markPodsNotReady(name: string, nowMs: number): Promise<void> {
    for (const pod of pods.byIndex(BY_NODE, name)) {
      const status = notReadyStatus(pod, nowMs);
      if (!status) continue;
      try {
        await client.updateStatus<Pod>(PODS, { ...pod, status });
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
    }
  }
  return listening(controller, () => liveness.onChange((name) => controller.queue.add(name)));
}
