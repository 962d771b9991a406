/**
 * A node that exists in the API alone. Rows run side by side, so what would drive the pods of other rows from a node, or take its
 * room, is done to one that nobody else's pods can get onto.
 */
import { IMAGE } from '../api/fixtures.js';
import type { Context } from '../framework/context.js';
import type { Json } from '../framework/http.js';

export class OwnNode {
  private constructor(
    private readonly t: Context,
    readonly name: string,
  ) {}

  /** With one CPU. It says it is ready, once: nobody renews it, so that a cluster may come to doubt it after a while. */
  static async open(t: Context): Promise<OwnNode> {
    // Last in lists, where rows that take the first node do not find it.
    const name = t.unique('zz-own-node');
    const nodes = t.core('nodes');
    const resources = { cpu: '1', memory: '1Gi', pods: '10' };
    await nodes.create({
      metadata: { name, labels: { [OwnNode.label]: name } },
      spec: { taints: [{ key: OwnNode.label, value: name, effect: 'NoSchedule' }] },
    });
    t.cleanup(() => nodes.delete(name));
    const now = new Date().toISOString();
    const ready = { type: 'Ready', status: 'True', lastHeartbeatTime: now, lastTransitionTime: now };
    const status = { capacity: resources, allocatable: resources, conditions: [ready] };
    await nodes.patch(name, { status }, 'merge', 'status');
    return new OwnNode(t, name);
  }

  static readonly label = 'conformance.example.com/own-node';

  /** Adds a NoExecute taint with this key, or takes it away. */
  async taint(key: string, present: boolean): Promise<void> {
    await this.t.core('nodes').update(this.name, ({ spec }: Json) => {
      const others = (spec.taints ?? []).filter((taint: Json) => taint.key !== key);
      spec.taints = present ? [...others, { key, value: 'row', effect: 'NoExecute' }] : others;
    });
  }

  /** A pod for this node alone, which stays there whatever the cluster thinks of the node. */
  pod(name: string, fields: Json = {}, resources: Json = {}): Json {
    const tolerations = [
      { key: OwnNode.label, operator: 'Exists' },
      ...['unreachable', 'not-ready'].map((key) => ({ key: `node.kubernetes.io/${key}`, operator: 'Exists' })),
    ];
    return {
      metadata: { name },
      spec: {
        terminationGracePeriodSeconds: 0,
        nodeSelector: { [OwnNode.label]: this.name },
        containers: [{ name: 'main', image: IMAGE, resources }],
        ...fields,
        tolerations: [...tolerations, ...(fields.tolerations ?? [])],
      },
    };
  }
}
