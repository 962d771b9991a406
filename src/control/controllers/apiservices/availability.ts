/**
 * Keeps the `Available` condition of APIServices: looked at when the APIService, its Service or that one's endpoints change, and every
 * 30 s for those that name a Service, whose server is then asked whether it answers. In a split each part says what it sees
 * itself.
 */
import { rfc3339 } from '../../../base/clock.js';
import { APISERVICES, ENDPOINTSLICES, SERVICES } from '../../../api/resource.js';
import type { APIService } from '../../../api/types/apiregistration-v1.js';
import type { Service } from '../../../api/types/core-v1.js';
import type { EndpointSlice } from '../../../api/types/discovery-v1.js';
import { Controller, type ReconcileResult } from '../../../client/controller.js';
import type { SharedDeps } from '../deps.js';
import { SERVICE_NAME } from '../endpointslice/plan.js';
import { BY_NAMESPACE } from '../informer-set.js';
import { FAILED_CHECK, failedCheck, judge, PASSED, withAvailability } from './availability-plan.js';

export interface AggregatedServers {
  /** Whether a group is served by the cluster itself, whatever an APIService says. */
  isOwn(group: string): boolean;
  /** Asks the server of an APIService; resolves with what is wrong, undefined when nothing is. */
  check(service: APIService): Promise<string | undefined>;
}

/** kube-aggregator's. */
const RECHECK_MS = 30_000;
/** A server that does not answer although its endpoints are ready has mostly just begun. */
const RETRY_MS = 5_000;
const WORKERS = 5;

export function apiServiceAvailabilityController(deps: SharedDeps, servers: AggregatedServers): Controller {
  const { client, clock } = deps;
  const apis = deps.informers.of<APIService>(APISERVICES);
  const services = deps.informers.of<Service>(SERVICES);
  const slices = deps.informers.of<EndpointSlice>(ENDPOINTSLICES);
  const controller = new Controller(deps, {
    name: 'apiservice-availability',
    workers: WORKERS,
    waitFor: [apis, services, slices],
    reconcile,
  });
  /** APIServices by the Service that they name. */
  const byService = new Map<string, Set<string>>();
  const serviceOf = ({ spec }: APIService) =>
    spec?.service && `${spec.service.namespace ?? ''}/${spec.service.name ?? ''}`;
  const forget = (api: APIService | undefined) => {
    const key = api && serviceOf(api);
    const names = key && byService.get(key);
    if (!names) return;
    names.delete(api.metadata.name ?? '');
    if (names.size === 0) byService.delete(key);
  };
  apis.addHandler({
    onUpsert: (api, previous) => {
      forget(previous);
      const [key, name = ''] = [serviceOf(api), api.metadata.name];
      if (key) byService.set(key, (byService.get(key) ?? new Set()).add(name));
      controller.queue.add(name);
    },
    onDelete: forget,
  });
  const wake = (namespace = '', name = '') => {
    for (const api of byService.get(`${namespace}/${name}`) ?? []) controller.queue.add(api);
  };
  const onService = ({ metadata }: Service) => wake(metadata.namespace, metadata.name);
  services.addHandler({ onUpsert: onService, onDelete: onService });
  const onSlice = ({ metadata }: EndpointSlice) => wake(metadata.namespace, metadata.labels?.[SERVICE_NAME]);
  slices.addHandler({ onUpsert: onSlice, onDelete: onSlice });

  async function reconcile(name: string): Promise<ReconcileResult | void> {
    const api = apis.get('', name);
    if (!api) return undefined;
    const { namespace = '', name: serviceName = '' } = api.spec?.service ?? {};
    const backend = {
      service: services.get(namespace, serviceName),
      slices: slices
        .byIndex(BY_NAMESPACE, namespace)
        .filter(({ metadata }) => metadata.labels?.[SERVICE_NAME] === serviceName),
    };
    const found = judge(api, servers.isOwn(api.spec?.group ?? ''), backend) ?? (await ask(api));
    const conditions = withAvailability(api, found, rfc3339(clock.nowMs()));
    if (conditions)
      await client.updateStatus<APIService>(APISERVICES, { ...api, status: { ...api.status, conditions } });
    if (!api.spec?.service) return undefined;
    return { requeueAfterMs: found.reason === FAILED_CHECK ? RETRY_MS : RECHECK_MS };
  }

  async function ask(api: APIService) {
    const wrong = await servers.check(api);
    return wrong === undefined ? PASSED : failedCheck(wrong);
  }
  return controller;
}
