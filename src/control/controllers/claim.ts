/**
 * Adoption and release, as upstream's ControllerRefManager: a controller keeps what it controls and selects, releases what
 * it controls but no longer selects, and adopts selected orphans. Patches carry uid and resourceVersion, so a decision
 * made on a stale cache fails as a conflict and is tried again.
 */
import { isInvalid, isNotFound } from '../../api/errors.js';
import { controllerOf, type KubeObject, type OwnerReference } from '../../api/object.js';
import { apiVersionOf, type ResourceRef } from '../../api/resource.js';
import type { Client } from '../../client/client.js';

export interface ClaimOptions<T extends KubeObject> {
  readonly client: Client;
  /** The resource of the candidates. */
  readonly resource: ResourceRef;
  readonly ownerResource: ResourceRef;
  readonly owner: KubeObject;
  readonly candidates: readonly T[];
  selects(candidate: T): boolean;
  /** Whether an orphan may be adopted; finished pods are not. */
  adoptable(candidate: T): boolean;
  /** Put on what is adopted, and taken off what is released. */
  readonly finalizer?: string;
}

/** A controlling owner reference to `owner`. */
export function controllerRef(resource: ResourceRef, owner: KubeObject): OwnerReference {
  return {
    apiVersion: apiVersionOf(resource),
    kind: resource.kind,
    name: owner.metadata.name ?? '',
    uid: owner.metadata.uid ?? '',
    controller: true,
    blockOwnerDeletion: true,
  };
}

/** The candidates that belong to the owner, after adopting and releasing. */
export async function claim<T extends KubeObject>(options: ClaimOptions<T>): Promise<T[]> {
  const { owner, candidates } = options;
  const claimed: T[] = [];
  let mayAdopt: boolean | undefined;
  for (const candidate of candidates) {
    const controller = controllerOf(candidate);
    if (controller) {
      if (controller.uid !== owner.metadata.uid) continue;
      if (options.selects(candidate)) claimed.push(candidate);
      else if (!owner.metadata.deletionTimestamp) await release(options, candidate);
      continue;
    }
    if (owner.metadata.deletionTimestamp || candidate.metadata.deletionTimestamp) continue;
    if (!options.selects(candidate) || !options.adoptable(candidate)) continue;
    mayAdopt ??= await isStillThere(options);
    if (!mayAdopt) continue;
    const adopted = await adopt(options, candidate);
    if (adopted) claimed.push(adopted);
  }
  return claimed;
}

/** A cache may still show an owner that was deleted, or replaced under the same name: look at the real one. */
async function isStillThere<T extends KubeObject>({ client, ownerResource, owner }: ClaimOptions<T>): Promise<boolean> {
  try {
    const live = await client.get(ownerResource, owner.metadata.namespace ?? '', owner.metadata.name ?? '');
    return live.metadata.uid === owner.metadata.uid && !live.metadata.deletionTimestamp;
  } catch (error) {
    if (isNotFound(error)) return false;
    throw error;
  }
}

async function adopt<T extends KubeObject>(options: ClaimOptions<T>, candidate: T): Promise<T | undefined> {
  const owners = candidate.metadata.ownerReferences ?? [];
  const { finalizer, ownerResource, owner } = options;
  const present = candidate.metadata.finalizers ?? [];
  const finalizers = finalizer === undefined || present.includes(finalizer) ? undefined : [...present, finalizer];
  return patchOwners(options, candidate, [...owners, controllerRef(ownerResource, owner)], finalizers);
}

async function release<T extends KubeObject>(options: ClaimOptions<T>, candidate: T): Promise<void> {
  const owners = candidate.metadata.ownerReferences ?? [];
  await patchOwners(
    options,
    candidate,
    owners.filter(({ uid }) => uid !== options.owner.metadata.uid),
    options.finalizer === undefined
      ? undefined
      : (candidate.metadata.finalizers ?? []).filter((finalizer) => finalizer !== options.finalizer),
  );
}

async function patchOwners<T extends KubeObject>(
  { client, resource }: ClaimOptions<T>,
  { metadata }: T,
  ownerReferences: readonly OwnerReference[],
  finalizers: readonly string[] | undefined,
): Promise<T | undefined> {
  try {
    return await client.patch<T>(resource, metadata.namespace ?? '', metadata.name ?? '', 'merge', {
      metadata: {
        uid: metadata.uid,
        resourceVersion: metadata.resourceVersion,
        ownerReferences: ownerReferences.length > 0 ? ownerReferences : null,
        ...(finalizers ? { finalizers: finalizers.length > 0 ? finalizers : null } : {}),
      },
    });
  } catch (error) {
    // Gone, or replaced by another of the same name: nothing of ours is left to claim.
    if (isNotFound(error) || isInvalid(error)) return undefined;
    throw error;
  }
}
