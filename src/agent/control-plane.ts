/** The control-plane roles of this peer, run while the view gives them to it, and what shows and reports them. */
import { ServiceGroup, type Service } from '../base/lifecycle.js';
import { errorText } from '../base/log.js';
import { groupResourceOf, NODES, type ResourceRef } from '../api/resource.js';
import type { KindRegistry } from '../api/schema/registry.js';
import type { Node } from '../api/types/core-v1.js';
import { createEventRecorder } from '../client/event-recorder.js';
import { Informer } from '../client/informer.js';
import type { FrontProxyAuthority } from '../control/controllers/extensionauthentication/controller.js';
import { createControllers } from '../control/controllers/index.js';
import { createPodCidrAllocator } from '../control/controllers/nodeipam/pod-cidr-allocator.js';
import { createScheduler } from '../control/scheduler/scheduler.js';
import type { ClusterCa } from '../security/ca/authority.js';
import type { NodeIdentity } from '../security/ca/identity-store.js';
import type { Api } from './api.js';
import type { ComponentBase } from './base.js';
import type { AgentConfig } from './config.js';
import { createMergeReporter } from './honesty.js';
import { dnsIp, kubernetesIp } from './identity.js';
import { createApiEndpoints, createNodeLiveness, deadNodes } from './liveness.js';
import type { Meeting } from './mesh.js';
import { MajorityConditions } from './majority-conditions.js';
import { RoleLeases } from './role-leases.js';
import { RoleRunner, type RoleFactory } from './roles.js';
import type { Store } from './store.js';

/** After a start: how long a node that nobody has heard of may take to appear before its pods are replaced, in milliseconds. */
const UNKNOWN_GRACE_MS = 15_000;

/** What the roles must be told of the cluster, and what signs for it. */
export interface Authority {
  readonly identity: Pick<NodeIdentity, 'clusterCidr' | 'serviceCidr' | 'caCertPem'>;
  readonly ca: Pick<ClusterCa, 'signRequest'>;
}

export type ControlPlaneSettings = Pick<AgentConfig, 'eventTtlMinutes'>;

type RoleApi = Pick<Api, 'client' | 'clientFor' | 'serviceAccounts' | 'authorizer' | 'aggregation'> & {
  readonly frontProxy: FrontProxyAuthority;
};

/** In the order to start them. `onFailure` is told when the store's disk fails. */
export function createControlPlane(
  base: ComponentBase,
  settings: ControlPlaneSettings,
  authority: Authority,
  mesh: Meeting,
  { replica, writes }: Store,
  api: RoleApi,
  registry: KindRegistry,
  onFailure: (error: unknown) => void,
): Service[] {
  const { clock, log, metrics } = base;
  const { transport, membership } = mesh;
  const factories = roleFactories(base, settings, authority, mesh, api, registry);
  const roles = new RoleRunner(clock, transport.self.id, factories, log);
  const place = {
    isSequencer: () => replica.currentMode === 'leading',
    nameOf: (peer: string) => membership.members().find(({ id }) => id === peer)?.name,
  };
  const leases = new RoleLeases({ ...base, client: api.client }, place);
  const minority = new MajorityConditions({ ...base, client: api.client, replica }, place);
  const events = createEventRecorder({ ...base, client: api.client }, { component: 'skein' });
  let unsubscribe: () => void = () => undefined;
  const listeners: Service = {
    name: 'view-listeners',
    start: () => {
      unsubscribe = replica.subscribe({
        onView: (view) => {
          // Another sequencer may have given out addresses that are not applied here yet.
          writes.reset();
          roles.onView(view);
          leases.onView(view);
          minority.onChange();
        },
        onMerge: createMergeReporter({ reader: replica, metrics, events }),
        onFailure: (error) => onFailure(new Error(`the disk failed: ${errorText(error)}`, { cause: error })),
      });
      return Promise.resolve();
    },
    stop: () => {
      unsubscribe();
      return Promise.resolve();
    },
  };
  return [roles, leases.controller, minority, listeners];
}

function roleFactories(
  base: ComponentBase,
  settings: ControlPlaneSettings,
  { identity, ca }: Authority,
  { membership }: Meeting,
  api: RoleApi,
  registry: KindRegistry,
): Record<string, RoleFactory> {
  const { clusterCidr, serviceCidr } = identity;
  const unreachable = deadNodes(membership);
  return {
    scheduler: (epoch) => createScheduler({ ...base, client: api.clientFor('scheduler', epoch), unreachable }),
    controllers: (epoch) => {
      const environment = { ...base, client: api.clientFor('controllers', epoch) };
      const nodes = new Informer<Node>(environment, NODES);
      const controllers = createControllers(environment, {
        nodeLiveness: createNodeLiveness(membership),
        apiEndpoints: createApiEndpoints(membership),
        kubernetesIp: kubernetesIp(serviceCidr),
        dnsIp: dnsIp(serviceCidr),
        caPem: identity.caCertPem,
        signSecretToken: (account, secretName) => api.serviceAccounts.issuer.issueForSecret(account, secretName),
        signCertificate: (csrPem, order) => ca.signRequest(csrPem, order),
        mayRequest: (user, subresource) =>
          api.authorizer.authorize({
            user,
            verb: 'create',
            group: 'certificates.k8s.io',
            version: '*',
            resource: 'certificatesigningrequests',
            subresource,
            namespace: '',
            name: '',
          }).decision === 'allow',
        kinds: (group, version, resource) => registry.find(group, version, resource),
        deletableResources: () => deletable(registry),
        customResources: () => customResources(registry),
        groupVersions: () => builtInVersions(registry),
        aggregatedServers: {
          isOwn: (group) => registry.isBuiltInGroup(group),
          check: (service) => api.aggregation.check(service),
        },
        emptyRemote: (namespace) => api.aggregation.namespaces.empty(namespace),
        frontProxy: api.frontProxy,
        nodeLifecycle: { unknownGraceMs: UNKNOWN_GRACE_MS },
        taintEviction: { unknownGraceMs: UNKNOWN_GRACE_MS },
        eventTtl: { ttlMs: settings.eventTtlMinutes * 60_000 },
      });
      const recorder = createEventRecorder(environment, { component: 'node-ipam' });
      const allocator = createPodCidrAllocator({ ...environment, nodes, events: recorder }, { clusterCidr });
      return new ServiceGroup('controllers', [controllers, allocator, nodes], base.log);
    },
  };
}

/** Everything that can be listed, watched and deleted, each once: as it is stored. */
function deletable(registry: KindRegistry): ResourceRef[] {
  const needed = ['list', 'watch', 'delete'];
  const builtIn = registry
    .all()
    .filter(({ verbs, custom, view }) => !custom && view === undefined && needed.every((verb) => verbs.includes(verb)));
  return [...builtIn, ...customResources(registry)];
}

/** Whatever versions of it are served, a custom resource is looked at as it is stored. */
function customResources(registry: KindRegistry): ResourceRef[] {
  const stored = new Map<string, ResourceRef>();
  for (const { custom, view } of registry.all()) {
    if (custom && view !== undefined) stored.set(groupResourceOf(view.storage), view.storage);
  }
  return [...stored.values()];
}

/** Groups and versions of kinds that no definition made. */
function builtInVersions(registry: KindRegistry): { group: string; version: string }[] {
  const known = new Map(
    registry
      .all()
      .filter(({ custom }) => !custom)
      .map(({ group, version }) => [`${group}/${version}`, { group, version }]),
  );
  return [...known.values()];
}
