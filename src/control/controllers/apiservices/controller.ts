/**
 * Shows every group and version that the peers serve as an APIService, as `kubectl get apiservices` expects it; those of
 * CustomResourceDefinitions come and go with them.
 */
import type { Service } from '../../../base/lifecycle.js';
import { isAlreadyExists, isNotFound } from '../../../api/errors.js';
import { asDefinition, DEFINITIONS, isTerminating } from '../../../api/customresources/status.js';
import type { KubeObject } from '../../../api/object.js';
import { APISERVICES } from '../../../api/resource.js';
import type { CustomResourceDefinition } from '../../../api/types/apiextensions-v1.js';
import type { APIService } from '../../../api/types/apiregistration-v1.js';
import { Controller } from '../../../client/controller.js';
import type { SharedDeps } from '../deps.js';
import { planApiServices, type GroupVersion } from './plan.js';

const KEY = 'all';

function servedBy(definition: CustomResourceDefinition): GroupVersion[] {
  if (isTerminating(definition)) return [];
  const { group, versions } = definition.spec;
  return versions.filter(({ served }) => served).map(({ name }) => ({ group, version: name }));
}

/** `builtIn`: what is served without definitions. */
export function apiServicesController(deps: SharedDeps, builtIn: () => readonly GroupVersion[]): Service {
  const { client } = deps;
  const services = deps.informers.of<APIService>(APISERVICES);
  const definitions = deps.informers.of<KubeObject>(DEFINITIONS);
  const controller = new Controller(deps, { name: 'apiservices', waitFor: [services, definitions], reconcile });
  // A cluster with none of them wakes nobody.
  controller.queue.add(KEY);
  const wake = () => controller.queue.add(KEY);
  services.addHandler({ onDelete: wake });
  definitions.addHandler({ onUpsert: wake, onDelete: wake });

  async function reconcile(): Promise<void> {
    const custom = definitions.list().flatMap((object) => servedBy(asDefinition(object)));
    const { create, remove } = planApiServices(builtIn(), custom, services.list());
    for (const service of create) {
      await unless(isAlreadyExists, client.create<APIService>(APISERVICES, service));
    }
    for (const name of remove) await unless(isNotFound, client.delete(APISERVICES, '', name));
  }
  return controller;
}

/** Lets one outcome pass that says that it is done already. */
async function unless(isDone: (error: unknown) => boolean, write: Promise<unknown>): Promise<void> {
  try {
    await write;
  } catch (error) {
    if (!isDone(error)) throw error;
  }
}
