/**
 * How many pods the controllers of some pods are to keep, together: the `replicas` of each, or of the Deployment above it, or
 * of a custom resource that has the scale subresource. Reads caches only, but for custom resources.
 */
import { ApiError, isNotFound } from '../../../api/errors.js';
import { asDefinition, DEFINITIONS } from '../../../api/customresources/status.js';
import { scaleOf } from '../../../api/customresources/scale.js';
import { controllerOf, type KubeObject, type OwnerReference } from '../../../api/object.js';
import { DEPLOYMENTS, REPLICASETS, REPLICATION_CONTROLLERS, STATEFULSETS } from '../../../api/resource.js';
import type { Pod } from '../../../api/types/core-v1.js';
import type { Informer } from '../../../client/informer.js';
import type { SharedDeps } from '../deps.js';

export interface ExpectedScale {
  readonly scale: number;
  /** Pods that nothing controls: they count for nothing. */
  readonly unmanaged: readonly Pod[];
}

interface Found {
  readonly uid: string;
  readonly scale: number;
}

type Replicated = KubeObject & { readonly spec?: { readonly replicas?: number } };

const SCALED = [REPLICASETS, REPLICATION_CONTROLLERS, STATEFULSETS, DEPLOYMENTS];

/** `apps/v1` and `apps/v1beta1` are one group. */
const groupOf = (apiVersion: string) => (apiVersion.includes('/') ? (apiVersion.split('/')[0] ?? '') : '');

export class PodScales {
  private readonly controllers: ReadonlyMap<string, Informer<Replicated>>;
  private readonly definitions: Informer<KubeObject>;

  constructor(private readonly deps: SharedDeps) {
    this.controllers = new Map(
      SCALED.map((resource) => [`${resource.group}/${resource.kind}`, deps.informers.of<Replicated>(resource)]),
    );
    this.definitions = deps.informers.of<KubeObject>(DEFINITIONS);
  }

  get informers(): readonly { readonly synced: Promise<void> }[] {
    return [...this.controllers.values(), this.definitions];
  }

  /** Throws when the controller of a pod has no scale, or is not to be found. */
  async of(pods: readonly Pod[]): Promise<ExpectedScale> {
    const scales = new Map<string, number>();
    const seen = new Set<string>();
    const unmanaged: Pod[] = [];
    for (const pod of pods) {
      const owner = controllerOf(pod);
      if (!owner) {
        unmanaged.push(pod);
        continue;
      }
      if (seen.has(owner.uid)) continue;
      const found = await this.find(pod.metadata.namespace ?? '', owner as OwnerReference);
      if (!found) throw new ApiError(404, 'NotFound', `found no controllers for pod "${pod.metadata.name ?? ''}"`);
      seen.add(owner.uid);
      scales.set(found.uid, found.scale);
    }
    return { scale: [...scales.values()].reduce((sum, scale) => sum + scale, 0), unmanaged };
  }

  private async find(namespace: string, owner: OwnerReference): Promise<Found | undefined> {
    const informer = this.controllers.get(`${groupOf(owner.apiVersion)}/${owner.kind}`);
    if (!informer) return this.findCustom(namespace, owner);
    const object = informer.get(namespace, owner.name);
    if (!object || object.metadata.uid !== owner.uid) return undefined;
    const above = owner.kind === REPLICASETS.kind ? controllerOf(object) : undefined;
    if (above) {
      const found = await this.find(namespace, above as OwnerReference);
      if (found) return found;
    }
    return { uid: owner.uid, scale: object.spec?.replicas ?? 1 };
  }

  private async findCustom(namespace: string, owner: OwnerReference): Promise<Found | undefined> {
    const group = groupOf(owner.apiVersion);
    const version = owner.apiVersion.slice(owner.apiVersion.indexOf('/') + 1);
    const definition = this.definitions
      .list()
      .map(asDefinition)
      .find(({ spec }) => spec.group === group && spec.names.kind === owner.kind);
    const paths = definition?.spec.versions.find(({ name }) => name === version)?.subresources?.scale;
    if (!definition || !paths) {
      const plural = definition?.spec.names.plural ?? `${owner.kind.toLowerCase()}s`;
      throw new ApiError(
        500,
        'InternalError',
        `${plural}${group ? `.${group}` : ''} does not implement the scale subresource`,
      );
    }
    const { plural: resource, kind } = definition.spec.names;
    const namespaced = definition.spec.scope === 'Namespaced';
    try {
      const ref = { group, version, resource, kind, namespaced };
      const object = await this.deps.client.get<KubeObject>(ref, namespaced ? namespace : '', owner.name);
      if (object.metadata.uid !== owner.uid) return undefined;
      return { uid: owner.uid, scale: scaleOf(object, paths).spec?.replicas ?? 0 };
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }
}
