/**
 * Shows who holds the roles as Leases in kube-system (`skein-api`, …), as people look for leaders in Kubernetes. The view is
 * the truth; the Leases follow it, written by the sequencer when a holder changes. `leaseTransitions` is the role's epoch.
 */
import { rfc3339Micro } from '../base/clock.js';
import { isNotFound } from '../api/errors.js';
import { LEASES } from '../api/resource.js';
import type { Lease } from '../api/types/coordination-v1.js';
import type { Client } from '../client/client.js';
import { Controller, type ControllerDeps } from '../client/controller.js';
import type { RoleHolder, View } from '../store/replication/view.js';

const NAMESPACE = 'kube-system';
const LEASE_SECONDS = 15;
const RETRY_MS = 500;

export class RoleLeases {
  /** Start and stop it with the agent. */
  readonly controller: Controller;
  private roles: Readonly<Record<string, RoleHolder>> = {};

  constructor(
    private readonly deps: ControllerDeps & { readonly client: Client },
    private readonly options: {
      readonly isSequencer: () => boolean;
      readonly nameOf: (peer: string) => string | undefined;
    },
  ) {
    this.controller = new Controller(deps, {
      name: 'role-leases',
      waitFor: [],
      reconcile: (role) => this.reconcile(role),
    });
  }

  onView(view: View | undefined): void {
    if (!view) return;
    this.roles = view.roles;
    if (!this.options.isSequencer()) return;
    // Every view, not only new holders: a merge may have brought the Leases of another part.
    for (const role of Object.keys(view.roles)) this.controller.queue.add(role);
  }

  private async reconcile(role: string): Promise<{ requeueAfterMs: number } | void> {
    const term = this.roles[role];
    if (!term || !this.options.isSequencer()) return;
    const holderIdentity = this.options.nameOf(term.holder);
    if (holderIdentity === undefined) return { requeueAfterMs: RETRY_MS };
    const name = `skein-${role}`;
    const now = rfc3339Micro(this.deps.clock.nowMs());
    const spec = {
      holderIdentity,
      leaseDurationSeconds: LEASE_SECONDS,
      acquireTime: now,
      renewTime: now,
      leaseTransitions: term.epoch,
    };
    const present = await this.read(name);
    if (!present) {
      return this.create({ metadata: { name, namespace: NAMESPACE }, spec });
    }
    if (present.spec?.holderIdentity === holderIdentity && present.spec.leaseTransitions === term.epoch) return;
    await this.deps.client.update<Lease>(LEASES, { ...present, spec });
  }

  private async create(lease: Lease): Promise<{ requeueAfterMs: number } | void> {
    try {
      await this.deps.client.create<Lease>(LEASES, lease);
    } catch (error) {
      // The controllers are about to make the namespace of a new cluster.
      if (isNotFound(error)) return { requeueAfterMs: RETRY_MS };
      throw error;
    }
  }

  private async read(name: string): Promise<Lease | undefined> {
    try {
      return await this.deps.client.get<Lease>(LEASES, NAMESPACE, name);
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }
}
