/**
 * Counts some set of pods (those of an owner, those a selector matches, those that carry a term) per node and per
 * topology domain, kept up to date as pods come and go: asking costs the same with ten pods and with a hundred thousand.
 */
import type { NodeInfo } from './node-info.js';

export class PodCounter {
  private readonly nodes = new Map<NodeInfo, number>();
  private readonly domains = new Map<string, Map<string, number>>();
  private topologyVersion = -1;

  get empty(): boolean {
    return this.nodes.size === 0;
  }

  add(node: NodeInfo, by: number): void {
    const count = (this.nodes.get(node) ?? 0) + by;
    if (count === 0) this.nodes.delete(node);
    else this.nodes.set(node, count);
    for (const [key, values] of this.domains) bump(values, node.labels[key], by);
  }

  onNode(node: NodeInfo): number {
    return this.nodes.get(node) ?? 0;
  }

  /**
   * Counts by value of the node label `topologyKey`. `topologyVersion` changes whenever any node's labels do, which
   * makes the sums be built anew.
   */
  inDomains(topologyKey: string, topologyVersion: number): ReadonlyMap<string, number> {
    if (this.topologyVersion !== topologyVersion) {
      this.domains.clear();
      this.topologyVersion = topologyVersion;
    }
    let values = this.domains.get(topologyKey);
    if (!values) {
      values = new Map();
      for (const [node, count] of this.nodes) bump(values, node.labels[topologyKey], count);
      this.domains.set(topologyKey, values);
    }
    return values;
  }
}

function bump(values: Map<string, number>, value: string | undefined, by: number): void {
  if (value === undefined) return;
  const count = (values.get(value) ?? 0) + by;
  if (count === 0) values.delete(value);
  else values.set(value, count);
}
