/** Whether an APIService can be served: kube-aggregator's checks in its order, with its reasons and texts. */
import type { APIService, APIServiceCondition } from '../../../api/types/apiregistration-v1.js';
import type { Service } from '../../../api/types/core-v1.js';
import type { EndpointSlice } from '../../../api/types/discovery-v1.js';

export interface Availability {
  readonly status: 'True' | 'False';
  readonly reason: string;
  readonly message: string;
}

export interface Backend {
  readonly service: Service | undefined;
  /** Of the Service. */
  readonly slices: readonly EndpointSlice[];
}

const AVAILABLE = 'Available';
const DEFAULT_PORT = 443;

export const PASSED: Availability = { status: 'True', reason: 'Passed', message: 'all checks passed' };
const LOCAL: Availability = {
  status: 'True',
  reason: 'Local',
  message: 'Local APIServices are always available',
};
const OWN: Availability = { ...LOCAL, message: 'This group is served by the cluster itself, its service is not asked' };

const unavailable = (reason: string, message: string): Availability => ({ status: 'False', reason, message });
export const FAILED_CHECK = 'FailedDiscoveryCheck';
export const failedCheck = (message: string): Availability => unavailable(FAILED_CHECK, message);

/** Undefined: nothing speaks against it, and the server is to be asked. `isOwn`: the group cannot be handed over. */
export function judge({ spec }: APIService, isOwn: boolean, { service, slices }: Backend): Availability | undefined {
  if (!spec?.service) return LOCAL;
  if (isOwn) return OWN;
  const { namespace = '', name = '', port = DEFAULT_PORT } = spec.service;
  const place = `service/${name} in ${JSON.stringify(namespace)}`;
  if (!service) return unavailable('ServiceNotFound', `${place} is not present`);
  // Only these have ports and endpoints that can be looked at.
  if ((service.spec?.type ?? 'ClusterIP') !== 'ClusterIP') return undefined;
  const wanted = service.spec?.ports?.find((candidate) => candidate.port === port);
  if (!wanted) return unavailable('ServicePortError', `${place} is not listening on port ${port}`);
  if (slices.length === 0) return unavailable('EndpointsNotFound', `cannot find endpoints for ${place}`);
  const portName = wanted.name ?? '';
  const isReached = slices.some(
    ({ ports, endpoints }) =>
      ports?.some((candidate) => (candidate.name ?? '') === portName) &&
      endpoints?.some(({ conditions, addresses }) => conditions?.ready !== false && addresses.length > 0),
  );
  if (isReached) return undefined;
  return unavailable(
    'MissingEndpoints',
    `endpoints for ${place} have no addresses with port name ${JSON.stringify(portName)}`,
  );
}

/** The conditions with this one among them; undefined when it says so already. */
export function withAvailability(
  { status }: APIService,
  found: Availability,
  now: string,
): APIServiceCondition[] | undefined {
  const conditions = status?.conditions ?? [];
  const present = conditions.find(({ type }) => type === AVAILABLE);
  if (present?.status === found.status && present.reason === found.reason && present.message === found.message) {
    return undefined;
  }
  // A time of change is that of the status, not of its explanation.
  const since = present?.status === found.status ? present.lastTransitionTime : undefined;
  const condition = { type: AVAILABLE, ...found, lastTransitionTime: since ?? now };
  return present ? conditions.map((each) => (each === present ? condition : each)) : [...conditions, condition];
}
