/**
 * Shows in metrics and on Node objects whether their part of the cluster holds a majority of the registered peers: the condition
 * `skein.dev/Minority`, written by the sequencer for the nodes of its part when that changes. `True` is the trouble, as with the
 * kubelet's pressures; a cluster that was never without a majority has no such condition.
 */
import { rfc3339 } from '../base/clock.js';
import type { Service } from '../base/lifecycle.js';
import type { Gauge } from '../base/metrics.js';
import { isNotFound } from '../api/errors.js';
import { NODES } from '../api/resource.js';
import type { Node, NodeCondition } from '../api/types/core-v1.js';
import type { Client } from '../client/client.js';
import { Controller, type ControllerDeps } from '../client/controller.js';
import type { ObjectReader } from '../store/object-store.js';
import { REGISTRY_OBJECT, type PeerRegistry } from '../store/replication/peer-registry.js';
import type { View } from '../store/replication/view.js';
import { majorityState, withoutMajority, type MajorityState } from './majority-state.js';

type ReplicaView = ObjectReader & { readonly view: View | undefined; readonly registry: PeerRegistry | undefined };

export const MINORITY_CONDITION = 'skein.dev/Minority';

export class MajorityConditions implements Service {
  readonly name = 'majority-conditions';
  private readonly controller: Controller;
  private readonly registered: Gauge;
  private readonly present: Gauge;
  private cancel: () => void = () => undefined;
  private stopped = false;

  constructor(
    private readonly deps: ControllerDeps & { readonly client: Client; readonly replica: ReplicaView },
    private readonly options: {
      readonly isSequencer: () => boolean;
      readonly nameOf: (peer: string) => string | undefined;
    },
  ) {
    this.registered = deps.metrics.gauge('skein_registered_peers', 'Peers of which a majority is needed');
    this.present = deps.metrics.gauge('skein_present_peers', 'Registered peers that are in this part of the cluster');
    this.controller = new Controller(deps, {
      name: 'majority-conditions',
      waitFor: [],
      reconcile: (name) => this.reconcile(name),
    });
  }

  async start(): Promise<void> {
    this.follow();
    await this.controller.start();
  }

  async stop(): Promise<void> {
    this.stopped = true;
    this.cancel();
    await this.controller.stop();
  }

  /** To be called when the view changes. */
  onChange(): void {
    const { registered, present } = this.state;
    this.registered.set(registered);
    this.present.set(present);
    if (!this.options.isSequencer()) return;
    for (const peer of this.deps.replica.view?.voters ?? []) {
      const name = this.options.nameOf(peer);
      if (name !== undefined) this.controller.queue.add(name);
    }
  }

  private get state(): MajorityState {
    const { registry, view } = this.deps.replica;
    return majorityState(registry, view?.voters ?? []);
  }

  private follow(): void {
    const { replica } = this.deps;
    this.onChange();
    this.cancel = replica.watch(REGISTRY_OBJECT.group, REGISTRY_OBJECT.resource, undefined, replica.revision, {
      onEvents: () => this.onChange(),
      onEnd: () => {
        // The store is in the middle of replacing its history.
        queueMicrotask(() => (this.stopped ? undefined : this.follow()));
      },
    });
  }

  private async reconcile(name: string): Promise<void> {
    if (!this.options.isSequencer()) return;
    const { state } = this;
    const node = await this.read(name);
    if (!node) return;
    const conditions = node.status?.conditions ?? [];
    const present = conditions.find(({ type }) => type === MINORITY_CONDITION);
    const status = state.held ? 'False' : 'True';
    if ((present?.status ?? 'False') === status) return;
    const at = rfc3339(this.deps.clock.nowMs());
    const next: NodeCondition = {
      type: MINORITY_CONDITION,
      status,
      reason: state.held ? 'MajorityHeld' : 'NoMajority',
      message: state.held
        ? `this part of the cluster has ${state.present} of ${state.registered} registered peers`
        : `${withoutMajority(state)}: Leases, StatefulSets and what is marked so stay as they are`,
      lastHeartbeatTime: at,
      lastTransitionTime: at,
    };
    const others = conditions.filter((one) => one !== present);
    await this.deps.client.updateStatus<Node>(NODES, {
      ...node,
      status: { ...node.status, conditions: [...others, next] },
    });
  }

  private async read(name: string): Promise<Node | undefined> {
    try {
      return await this.deps.client.get<Node>(NODES, '', name);
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }
}
