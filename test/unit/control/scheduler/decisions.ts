/** One decision at a time on a cluster described by objects, without clock, API or loop. */
import { seededRandom } from '../../../../src/base/random.js';
import type { Node, Pod } from '../../../../src/api/types/core-v1.js';
import type { PodDisruptionBudget } from '../../../../src/api/types/policy-v1.js';
import { ClusterState } from '../../../../src/control/scheduler/cluster-state.js';
import { DEFAULT_FILTERS } from '../../../../src/control/scheduler/filters/default-filters.js';
import { Placer } from '../../../../src/control/scheduler/placement.js';
import { podInfoOf } from '../../../../src/control/scheduler/pod-info.js';
import { planPreemption, type PreemptionLookups } from '../../../../src/control/scheduler/preemption.js';
import { isPreemptionVictim } from '../../../../src/control/scheduler/preemptor.js';
import { DEFAULT_SCORES } from '../../../../src/control/scheduler/scores/default-scores.js';
import { Search } from '../../../../src/control/scheduler/search.js';

export class Cluster {
  readonly state = new ClusterState();
  /** What the Services select, by the pod's `app` label. */
  readonly services = new Set<string>();
  readonly budgets: PodDisruptionBudget[] = [];
  private readonly random = seededRandom(5);
  private readonly lookups: PreemptionLookups = {
    budgets: (namespace) => this.budgets.filter(({ metadata }) => metadata.namespace === namespace),
    started: ({ pod }) => pod.status?.startTime,
    isHeld: () => false,
    isPreempted: ({ pod, terminating }) => terminating && isPreemptionVictim(pod),
  };
  private readonly placer = new Placer(
    {
      state: this.state,
      serviceSelector: ({ labels }) => {
        const app = labels['app'] ?? '';
        return this.services.has(app) ? { app } : undefined;
      },
    },
    this.random,
    { filters: DEFAULT_FILTERS, scores: DEFAULT_SCORES, percentageOfNodesToScore: 0 },
  );

  constructor(...nodes: Node[]) {
    for (const node of nodes) this.state.upsertNode(node);
  }

  /** Puts a pod on a node whatever the rules say. */
  put(node: string, ...pods: Pod[]): this {
    for (const pod of pods) this.state.setPod(podInfoOf(pod), node);
    return this;
  }

  /** The chosen node's name, or upstream's text of the refusal. */
  place(pod: Pod): string {
    const placement = this.placer.place(podInfoOf(pod));
    if (placement.ok) return placement.node.name;
    const plan = planPreemption(placement.search, this.lookups, this.random);
    return placement.search.text(plan.found ? '' : plan.why);
  }

  /** Room is kept there for the pod. */
  nominate(node: string, pod: Pod): this {
    this.state.nominations.set(podInfoOf(pod), node);
    return this;
  }

  /** What would have to go: `node: victim, victim`; or why nothing helps. */
  preempt(pod: Pod): string {
    const placement = this.placer.place(podInfoOf(pod));
    if (placement.ok) return `fits on ${placement.node.name}`;
    const plan = planPreemption(placement.search, this.lookups, this.random);
    if (!plan.found) return plan.why;
    return `${plan.node.name}: ${plan.victims.map(({ pod: { metadata } }) => metadata.name).join(', ')}`;
  }

  /** Takes the placed pod of this name away. */
  take(name: string): Pod {
    const info = this.state.placedPod(`default/${name}`);
    if (!info) throw new Error(`no pod ${name}`);
    this.state.removePod(info.key);
    return info.pod;
  }

  /** Whether the pod may go to that node. */
  accepts(name: string, pod: Pod): boolean {
    const node = this.state.node(name);
    return node !== undefined && new Search(podInfoOf(pod), this.state, DEFAULT_FILTERS).accepts(node);
  }

  /** What every node says is taken of it. */
  usage(): unknown {
    return this.state.nodes.map(({ podCount, requested }) => [podCount, requested.cpu, requested.memory]);
  }

  /** Places and counts it there. */
  run(pod: Pod): string {
    const name = this.place(pod);
    this.put(name, pod);
    return name;
  }

  /** The first sentence of a refusal, without the one about preemption. */
  why(pod: Pod): string {
    return this.place(pod).replace(/ preemption: .*/, '');
  }

  /** The names of the nodes that the filters let through. */
  fit(pod: Pod): string[] {
    const info = podInfoOf(pod);
    const filters = DEFAULT_FILTERS.flatMap((filter) => filter.prepare(info, this.state) ?? []);
    return this.state.nodes.filter((node) => filters.every((filter) => filter.check(node).ok)).map(({ name }) => name);
  }

  /** One score's value for each node. */
  score(name: string, pod: Pod): Record<string, number> | undefined {
    const score = DEFAULT_SCORES.find((each) => each.name === name);
    const context = { state: this.state, serviceSelector: () => undefined };
    const values = score?.score(podInfoOf(pod), this.state.nodes, context);
    return values && Object.fromEntries(this.state.nodes.map((node, i) => [node.name, values[i] as number]));
  }
}
