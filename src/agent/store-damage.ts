/**
 * Shows that a machine's store was damaged or is full: in `skein status`, in metrics, and as the condition
 * `skein.dev/StoreDamaged` of its node. What was set aside is the evidence: the trouble is over when the operator has looked at
 * `store.damaged-N` in the data directory and removed it.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { rfc3339 } from '../base/clock.js';
import type { Service } from '../base/lifecycle.js';
import type { Gauge } from '../base/metrics.js';
import { isNotFound } from '../api/errors.js';
import { NODES } from '../api/resource.js';
import type { Node, NodeCondition } from '../api/types/core-v1.js';
import type { Client } from '../client/client.js';
import { Controller, type ControllerDeps } from '../client/controller.js';
import type { Replica } from '../store/replication/replica.js';

type DamagedReplica = Pick<Replica, 'storeDamage' | 'diskTrouble'>;

export const STORE_CONDITION = 'skein.dev/StoreDamaged';

/** How often it is looked whether the operator has removed what was set aside, in milliseconds. */
const LOOK_MS = 60_000;
/** … and while the node is not registered yet, or was just written. */
const UNSETTLED_MS = 2_000;

/** Directories with damaged stores, the oldest first. */
export function setAsideStores(dataDir: string): string[] {
  const numberOf = (name: string) => Number(/^store\.damaged-(\d+)$/.exec(name)?.[1] ?? 0);
  return readdirSync(dataDir)
    .filter((name) => numberOf(name) > 0)
    .toSorted((a, b) => numberOf(a) - numberOf(b))
    .map((name) => join(dataDir, name));
}

/** Sentences for `skein status`. */
export function storeWarnings(dataDir: string, { storeDamage, diskTrouble }: DamagedReplica): string[] {
  const asides = setAsideStores(dataDir);
  return [
    ...(diskTrouble === undefined ? [] : [`${diskTrouble}: this peer has no part in the cluster until there is`]),
    ...(asides.length === 0 ? [] : [damageText(asides, storeDamage)]),
  ];
}

function damageText(asides: readonly string[], damage: Replica['storeDamage']): string {
  const [newest = ''] = asides.slice(-1);
  const became =
    damage?.aside !== newest
      ? ''
      : damage.salvaged === undefined
        ? '; the other peers give it back everything (if there are none left: `skein restore --replace`)'
        : `; ${damage.salvaged} objects could be read and were taken over, others may be missing or older than they were`;
  const more = asides.length > 1 ? ` (and ${asides.length - 1} before)` : '';
  return `the store of this peer was damaged and set aside as ${newest}${more}${became}: remove that when you have looked at it`;
}

export interface StoreDamageDeps extends ControllerDeps {
  readonly client: Client;
  readonly replica: DamagedReplica;
}

export class StoreConditions implements Service {
  readonly name = 'store-conditions';
  private readonly controller: Controller;
  private readonly damaged: Gauge;

  constructor(
    private readonly deps: StoreDamageDeps,
    private readonly dataDir: string,
    private readonly nodeName: string,
  ) {
    this.damaged = deps.metrics.gauge('skein_store_damaged', 'Damaged stores of this machine that were set aside');
    this.controller = new Controller(deps, {
      name: 'store-conditions',
      waitFor: [],
      reconcile: () => this.reconcile(),
    });
  }

  async start(): Promise<void> {
    this.controller.queue.add(this.nodeName);
    await this.controller.start();
  }

  async stop(): Promise<void> {
    await this.controller.stop();
  }

  private async reconcile(): Promise<{ readonly requeueAfterMs: number }> {
    const asides = setAsideStores(this.dataDir);
    this.damaged.set(asides.length);
    const node = await this.read();
    if (!node) return { requeueAfterMs: UNSETTLED_MS };
    const conditions = node.status?.conditions ?? [];
    const present = conditions.find(({ type }) => type === STORE_CONDITION);
    const status = asides.length > 0 ? 'True' : 'False';
    const message = asides.length > 0 ? damageText(asides, this.deps.replica.storeDamage) : 'no damaged store is left';
    const isShown = (present?.status ?? 'False') === status && (!present || present.message === message);
    if (!isShown) {
      const at = rfc3339(this.deps.clock.nowMs());
      const next: NodeCondition = {
        type: STORE_CONDITION,
        status,
        reason: asides.length > 0 ? 'StoreSetAside' : 'StoreWhole',
        message,
        lastHeartbeatTime: at,
        lastTransitionTime: at,
      };
      await this.deps.client.updateStatus<Node>(NODES, {
        ...node,
        status: { ...node.status, conditions: [...conditions.filter((one) => one !== present), next] },
      });
    }
    // The kubelet writes conditions as well: look soon whether this one stayed.
    return { requeueAfterMs: isShown ? LOOK_MS : UNSETTLED_MS };
  }

  private async read(): Promise<Node | undefined> {
    try {
      return await this.deps.client.get<Node>(NODES, '', this.nodeName);
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }
}
