/**
 * The ControllerRevisions of an object with a pod template: one for each template it had, numbered in the order in which they
 * were last the newest. A template that comes back gets its old revision, with a new number. Used by StatefulSets and DaemonSets.
 */
import { isDeepStrictEqual } from 'node:util';
import { conflict, isAlreadyExists, isNotFound } from '../../../api/errors.js';
import { controllerOf, keyOf, type KubeObject } from '../../../api/object.js';
import { CONTROLLERREVISIONS, type ResourceRef } from '../../../api/resource.js';
import type { LabelMatcher } from '../../../api/selectors/label.js';
import type { ControllerRevision } from '../../../api/types/apps-v1.js';
import type { PodTemplateSpec } from '../../../api/types/core-v1.js';
import type { Informer } from '../../../client/informer.js';
import { claim, controllerRef } from '../claim.js';
import { normal } from '../deployment/replica-set-history.js';
import type { SharedDeps } from '../deps.js';
import { BY_NAMESPACE } from '../informer-set.js';
import { safeHash } from '../safe-hash.js';
import { SeenWrites } from '../seen-writes.js';

/** On pods: which revision of its owner a pod is of. */
export const REVISION_LABEL = 'controller-revision-hash';

/** How often a name that another template took is varied in one go. */
const MAX_COLLISIONS = 5;

export type TemplateOwner = KubeObject & {
  readonly spec?: { readonly template: PodTemplateSpec; readonly revisionHistoryLimit?: number };
};

export interface RevisionKind {
  readonly resource: ResourceRef;
  /** The label of a revision that holds its hash. */
  readonly hashLabel: string;
}

/** What `kubectl rollout undo` patches the owner with. */
const dataOf = (template: PodTemplateSpec | undefined) => ({ spec: { template: { ...template, $patch: 'replace' } } });

/** The template as it was. */
export function templateOf({ data }: ControllerRevision): PodTemplateSpec {
  const { template } = (data as unknown as { spec: { template: PodTemplateSpec & { $patch?: string } } }).spec;
  const { $patch: _, ...rest } = template;
  return rest;
}

const isOf = ({ data }: ControllerRevision, template: PodTemplateSpec | undefined) =>
  isDeepStrictEqual(normal(data), normal(dataOf(template)));

/** Oldest first; ties by age and name, so that the order is the same on every peer. */
export function byNumber(a: ControllerRevision, b: ControllerRevision): number {
  return (
    a.revision - b.revision ||
    (a.metadata.creationTimestamp ?? '').localeCompare(b.metadata.creationTimestamp ?? '') ||
    (a.metadata.name ?? '').localeCompare(b.metadata.name ?? '')
  );
}

export interface SettledRevisions {
  /** All of the owner, oldest first, the newest included. */
  readonly all: readonly ControllerRevision[];
  /** That of the present template. */
  readonly update: ControllerRevision;
  /** Every revision with the present template; users may make more of them. */
  readonly same: readonly ControllerRevision[];
  readonly collisionCount: number;
}

export class RevisionHistory {
  readonly revisions: Informer<ControllerRevision>;
  private readonly written: SeenWrites<ControllerRevision>;

  constructor(
    private readonly deps: SharedDeps,
    private readonly kind: RevisionKind,
  ) {
    this.revisions = deps.informers.of<ControllerRevision>(CONTROLLERREVISIONS);
    this.written = new SeenWrites(deps.clock, this.revisions);
  }

  /** False while the cache lacks what was written here. */
  isCurrent(owner: KubeObject): boolean {
    return this.written.allSeen(keyOf(owner));
  }

  forget(key: string): void {
    this.written.forget(key);
  }

  /** Adopts, finds the revision of the present template, makes it the newest, or creates it. */
  async settle(owner: TemplateOwner, selects: LabelMatcher, collisions: number): Promise<SettledRevisions> {
    const all = await claim<ControllerRevision>({
      client: this.deps.client,
      resource: CONTROLLERREVISIONS,
      ownerResource: this.kind.resource,
      owner,
      candidates: this.revisions.byIndex(BY_NAMESPACE, owner.metadata.namespace ?? ''),
      // Revisions of ours are never let go: their labels are the template's, which may change.
      selects: (revision) =>
        controllerOf(revision)?.uid === owner.metadata.uid || selects.matches(revision.metadata.labels),
      adoptable: () => true,
    });
    all.sort(byNumber);
    const newest = all.at(-1);
    const same = all.filter((revision) => isOf(revision, owner.spec?.template));
    const present = same.at(-1);
    if (present && present === newest) return { all, update: present, same, collisionCount: collisions };
    const number = (newest?.revision ?? 0) + 1;
    if (present) {
      const update = await this.deps.client.update<ControllerRevision>(CONTROLLERREVISIONS, {
        ...present,
        revision: number,
      });
      this.written.wrote(keyOf(owner), update);
      const others = (revision: ControllerRevision) => revision !== present;
      return {
        all: [...all.filter(others), update],
        update,
        same: [...same.filter(others), update],
        collisionCount: collisions,
      };
    }
    const { update, collisionCount } = await this.create(owner, selects, number, collisions);
    return { all: [...all, update], update, same: [update], collisionCount };
  }

  private async create(owner: TemplateOwner, selects: LabelMatcher, number: number, collisions: number) {
    const { namespace = '', name: ownerName = '', annotations } = owner.metadata;
    const template = owner.spec?.template;
    for (let collisionCount = collisions; ; collisionCount++) {
      const hash = safeHash(JSON.stringify(normal(dataOf(template))) + (collisionCount === 0 ? '' : collisionCount));
      const name = `${ownerName}-${hash}`;
      try {
        const update = await this.deps.client.create<ControllerRevision>(CONTROLLERREVISIONS, {
          metadata: {
            namespace,
            name,
            labels: { ...template?.metadata?.labels, [this.kind.hashLabel]: hash },
            ...(annotations ? { annotations: { ...annotations } } : {}),
            ownerReferences: [controllerRef(this.kind.resource, owner)],
          },
          data: structuredClone(dataOf(template)) as unknown as NonNullable<ControllerRevision['data']>,
          revision: number,
        });
        this.written.wrote(keyOf(owner), update);
        return { update, collisionCount };
      } catch (error) {
        if (!isAlreadyExists(error) || collisionCount - collisions >= MAX_COLLISIONS) throw error;
        const present = await this.deps.client.get<ControllerRevision>(CONTROLLERREVISIONS, namespace, name);
        if (!isOf(present, template) || !selects.matches(present.metadata.labels)) continue;
        const holder = controllerOf(present);
        if (
          !holder ||
          (holder.uid !== owner.metadata.uid && holder.kind === this.kind.resource.kind && holder.name === ownerName)
        ) {
          // Of an earlier owner of this name: about to be adopted, or collected.
          throw conflict(CONTROLLERREVISIONS, name, 'it belongs to an earlier owner of this name');
        }
        if (holder.uid !== owner.metadata.uid) continue;
        // Ours, from a create that the cache does not show yet.
        this.written.wrote(keyOf(owner), present);
        return { update: present, collisionCount };
      }
    }
  }

  /** Removes the oldest revisions that nothing uses, beyond the owner's limit. */
  async truncate(
    owner: TemplateOwner,
    all: readonly ControllerRevision[],
    inUse: (revision: ControllerRevision) => boolean,
  ): Promise<void> {
    const unused = all.filter((revision) => !inUse(revision));
    const surplus = unused.slice(0, Math.max(0, unused.length - (owner.spec?.revisionHistoryLimit ?? 10)));
    for (const { metadata } of surplus) {
      const { namespace = '', name = '', uid = '' } = metadata;
      try {
        await this.deps.client.delete(CONTROLLERREVISIONS, namespace, name, { preconditions: { uid } });
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
    }
  }
}
