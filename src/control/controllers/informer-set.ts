/**
 * One informer per resource, shared by all controllers of a process: each resource is listed and watched once however
 * many controllers look at it. Ask for informers before `start`; a set is used for one start only.
 */
import type { Clock } from '../../base/clock.js';
import type { Service } from '../../base/lifecycle.js';
import type { Logger } from '../../base/log.js';
import { controllerOf, type KubeObject } from '../../api/object.js';
import { groupResourceOf, type ResourceRef } from '../../api/resource.js';
import type { Pod } from '../../api/types/core-v1.js';
import type { Client } from '../../client/client.js';
import { Informer } from '../../client/informer.js';

/** Index: every object by its namespace. */
export const BY_NAMESPACE = 'namespace';
/** Index: objects by the uid of their controlling owner. */
export const BY_CONTROLLER = 'controller';
/** Index: objects by the uid of each of their owners. */
export const BY_OWNER = 'owner';
/** Index: objects without a controlling owner, by namespace. */
export const ORPHANS = 'orphans';
/** Index, pods only: by `spec.nodeName`. */
export const BY_NODE = 'node';

export class InformerSet implements Service {
  readonly name = 'controllers/informers';
  private readonly informers = new Map<string, Informer<KubeObject>>();
  private state: 'new' | 'started' | 'stopped' = 'new';

  constructor(private readonly deps: { readonly client: Client; readonly clock: Clock; readonly log: Logger }) {}

  /** The shared informer of a resource, with the indexes above. Throws once the set has been started. */
  of<T extends KubeObject>(resource: ResourceRef): Informer<T> {
    const key = groupResourceOf(resource);
    const present = this.informers.get(key);
    if (present) return present as Informer<KubeObject> as unknown as Informer<T>;
    if (this.state !== 'new') throw new Error(`informer of ${key} was asked for after the start`);
    const informer = new Informer<KubeObject>(this.deps, resource, {
      indexes: {
        [BY_NAMESPACE]: ({ metadata }) => (metadata.namespace ? [metadata.namespace] : []),
        [BY_CONTROLLER]: (object) => {
          const uid = controllerOf(object)?.uid;
          return uid === undefined ? [] : [uid];
        },
        [ORPHANS]: (object) => (object.metadata.namespace && !controllerOf(object) ? [object.metadata.namespace] : []),
        [BY_OWNER]: ({ metadata }) => (metadata.ownerReferences ?? []).map((owner) => owner.uid),
        ...(resource.kind === 'Pod' ? { [BY_NODE]: nodeOf } : {}),
      },
    });
    this.informers.set(key, informer);
    return informer as unknown as Informer<T>;
  }

  async start(): Promise<void> {
    this.state = 'started';
    await Promise.all([...this.informers.values()].map((informer) => informer.start()));
  }

  async stop(): Promise<void> {
    this.state = 'stopped';
    await Promise.all([...this.informers.values()].map((informer) => informer.stop()));
  }
}

function nodeOf(object: KubeObject): readonly string[] {
  const node = (object as Pod).spec?.nodeName;
  return node ? [node] : [];
}
