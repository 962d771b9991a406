/** Makes the claims of a StatefulSet's members, and keeps their owners as the retention policy says. */
import { isDeepStrictEqual } from 'node:util';
import { isAlreadyExists } from '../../../api/errors.js';
import type { StatefulSet } from '../../../api/types/apps-v1.js';
import type { PersistentVolumeClaim, Pod } from '../../../api/types/core-v1.js';
import type { Informer } from '../../../client/informer.js';
import type { SharedDeps } from '../deps.js';
import { PERSISTENTVOLUMECLAIMS } from '../volumeprotection/controller.js';
import { claimOwners, claimsOf, isForeignClaim, isStaleClaim } from './identity.js';

/** Told of each creation and failure, for Events. */
export type ClaimReport = (claim: PersistentVolumeClaim, error?: unknown) => void;

export class MemberClaims {
  readonly claims: Informer<PersistentVolumeClaim>;

  constructor(private readonly deps: SharedDeps) {
    this.claims = deps.informers.of<PersistentVolumeClaim>(PERSISTENTVOLUMECLAIMS);
  }

  /** Whether the claims of an earlier pod with this ordinal are about to be collected. */
  areStale(set: StatefulSet, ordinal: number): boolean {
    return claimsOf(set, ordinal).some(({ metadata }) => {
      const present = this.claims.get(metadata.namespace ?? '', metadata.name ?? '');
      return present !== undefined && isStaleClaim(set, present, ordinal);
    });
  }

  /** Creates what is missing. Throws when a claim is being deleted: a pod on it would be stuck. */
  async ensure(set: StatefulSet, ordinal: number, report: ClaimReport): Promise<void> {
    for (const claim of claimsOf(set, ordinal)) {
      const { namespace = '', name = '' } = claim.metadata;
      const present = this.claims.get(namespace, name);
      if (present?.metadata.deletionTimestamp) throw new Error(`pvc ${name} is being deleted`);
      if (present) continue;
      try {
        await this.deps.client.create<PersistentVolumeClaim>(PERSISTENTVOLUMECLAIMS, claim);
        report(claim);
      } catch (error) {
        if (isAlreadyExists(error)) continue;
        report(claim, error);
        throw error;
      }
    }
  }

  /** Brings the owners of a member's claims in line with the policy and with whether the member is in range. */
  async settle(set: StatefulSet, ordinal: number, pod: Pod): Promise<void> {
    for (const { metadata } of claimsOf(set, ordinal)) {
      const present = this.claims.get(metadata.namespace ?? '', metadata.name ?? '');
      if (!present || isForeignClaim(set, present, ordinal)) continue;
      const owners = claimOwners(set, ordinal, pod, present.metadata.ownerReferences ?? []);
      if (isDeepStrictEqual(owners, present.metadata.ownerReferences ?? [])) continue;
      await this.deps.client.patch(PERSISTENTVOLUMECLAIMS, metadata.namespace ?? '', metadata.name ?? '', 'merge', {
        metadata: {
          resourceVersion: present.metadata.resourceVersion,
          ownerReferences: owners.length > 0 ? owners : null,
        },
      });
    }
  }
}
