/**
 * Pending pods for which room is being made on a node (`status.nominatedNodeName`), by node: that room is kept from pods of
 * lower priority. Bounded by the number of pending pods.
 */
import type { PodInfo } from './pod-info.js';

interface Nomination {
  readonly info: PodInfo;
  readonly node: string;
}

const NONE: readonly PodInfo[] = Object.freeze([]);

export class Nominations {
  private readonly byPod = new Map<string, Nomination>();
  private readonly byNode = new Map<string, Map<string, PodInfo>>();

  get size(): number {
    return this.byPod.size;
  }

  nodeOf(key: string): string | undefined {
    return this.byPod.get(key)?.node;
  }

  /** The pods nominated for this node. */
  on(node: string): Iterable<PodInfo> {
    return this.byNode.get(node)?.values() ?? NONE;
  }

  /** Those whose room on the node the pod must leave alone: of its priority or a higher one, without itself. */
  rivals(node: string, { key, priority }: PodInfo): readonly PodInfo[] {
    const nominated = this.byPod.size === 0 ? undefined : this.byNode.get(node);
    if (!nominated) return NONE;
    return [...nominated.values()].filter((other) => other.priority >= priority && other.key !== key);
  }

  /** Replaces the pod's nomination, if it had one. */
  set(info: PodInfo, node: string): void {
    this.remove(info.key);
    this.byPod.set(info.key, { info, node });
    let pods = this.byNode.get(node);
    if (!pods) this.byNode.set(node, (pods = new Map()));
    pods.set(info.key, info);
  }

  /** The node for which the pod was nominated. */
  remove(key: string): string | undefined {
    const nomination = this.byPod.get(key);
    if (!nomination) return undefined;
    this.byPod.delete(key);
    const pods = this.byNode.get(nomination.node);
    pods?.delete(key);
    if (pods?.size === 0) this.byNode.delete(nomination.node);
    return nomination.node;
  }
}
