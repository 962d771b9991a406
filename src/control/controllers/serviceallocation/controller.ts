/**
 * Takes back cluster IPs and node ports that two parts of the cluster gave away during a split (what upstream's repair loops of
 * Services do for other reasons): the Service created first keeps them, by uid when both are of one second, and each other gets
 * new ones from the sequencer.
 *
 * Level-triggered by an index of who holds what, fed by the informer: nothing is gone through when nothing is held twice.
 */
import { SERVICES } from '../../../api/resource.js';
import type { Service } from '../../../api/types/core-v1.js';
import { Controller } from '../../../client/controller.js';
import type { SharedDeps } from '../deps.js';
import { claimsOf, isElder, withoutClaims, type Claim } from './claims.js';

export function serviceAllocationController(deps: SharedDeps): Controller {
  const services = deps.informers.of<Service>(SERVICES);
  const events = deps.events('service-allocation-controller');
  const repaired = deps.metrics.counter(
    'skein_reallocations_total',
    'Allocations taken back because another object holds them too, by what it was',
    ['kind'],
  );
  const holders = new Map<Claim, Set<string>>();
  const controller = new Controller(deps, { name: 'service-allocation', waitFor: [services], reconcile });

  services.addHandler({
    onUpsert: (service, before) => {
      const key = keyOf(service);
      const now = new Set(claimsOf(service));
      if (before)
        forget(
          key,
          claimsOf(before).filter((claim) => !now.has(claim)),
        );
      for (const claim of now) {
        const present = holders.get(claim);
        if (!present) holders.set(claim, new Set([key]));
        else if (present.add(key).size > 1) for (const holder of present) controller.queue.add(holder);
      }
    },
    onDelete: (service) => forget(keyOf(service), claimsOf(service)),
  });

  function forget(key: string, claims: readonly Claim[]): void {
    for (const claim of claims) {
      const present = holders.get(claim);
      present?.delete(key);
      if (present?.size === 0) holders.delete(claim);
    }
  }

  /** The elder holder of each thing that is not this Service's to keep. */
  function lostClaims(service: Service): Map<Claim, string> {
    const key = keyOf(service);
    const lost = new Map<Claim, string>();
    for (const claim of claimsOf(service)) {
      for (const holder of holders.get(claim) ?? []) {
        const other = holder === key ? undefined : at(holder);
        if (other && isElder(other, service)) lost.set(claim, holder);
      }
    }
    return lost;
  }

  function at(key: string): Service | undefined {
    const [namespace = '', name = ''] = key.split('/');
    return services.get(namespace, name);
  }

  async function reconcile(key: string): Promise<void> {
    const service = at(key);
    if (!service || service.metadata.deletionTimestamp) return;
    const lost = lostClaims(service);
    if (lost.size === 0) return;
    // By the version of the cache: a change in between is a conflict, and is looked at anew.
    const stripped = withoutClaims(service, new Set(lost.keys()));
    const stored = await deps.client.update<Service>(SERVICES, stripped, { reallocate: true });
    const given = claimsOf(stored).filter((claim) => !claimsOf(service).includes(claim));
    for (const [claim, holder] of lost) {
      repaired.inc({ kind: claim.startsWith('port ') ? 'nodePort' : 'clusterIP' });
      deps.log.warn('took back what two Services held', { service: key, claim, holder });
      events.event(
        stored,
        'Warning',
        'Reallocated',
        `${claim} had been given to ${holder} too while the cluster was split; now here: ${given.join(', ')}`,
      );
    }
  }
  return controller;
}

const keyOf = ({ metadata }: Service) => `${metadata.namespace ?? ''}/${metadata.name ?? ''}`;
