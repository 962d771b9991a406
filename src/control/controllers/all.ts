/**
 * All controllers of the `controllers` role as one service. Each start makes new informers and controllers, so the service can
 * be started again after it was stopped, as the role comes and goes.
 */
import { ServiceGroup, type Service } from '../../base/lifecycle.js';
import type { KindLookup } from '../../api/cel/policy-type-check.js';
import { groupResourceOf, type ResourceRef } from '../../api/resource.js';
import { apiServiceAvailabilityController, type AggregatedServers } from './apiservices/availability.js';
import { apiServicesController } from './apiservices/controller.js';
import type { GroupVersion } from './apiservices/plan.js';
import { bootstrapController, type BootstrapOptions } from './bootstrap/controller.js';
import { bootstrapPolicyController } from './bootstrappolicy/controller.js';
import { clusterRoleAggregationController } from './clusterroleaggregation/controller.js';
import { certificateApproverController, type CertificateApproverOptions } from './certificates/approver.js';
import { certificateCleanerController, type CertificateCleanerOptions } from './certificates/cleaner.js';
import { certificateSignerController, type CertificateSignerOptions } from './certificates/signer.js';
import { cronJobController, type CronJobOptions } from './cronjob/controller.js';
import {
  customResourceCleanupController,
  type CustomResourceCleanupOptions,
} from './customresourcecleanup/controller.js';
import { daemonSetController, type DaemonSetOptions } from './daemonset/controller.js';
import { deploymentController, type DeploymentOptions } from './deployment/controller.js';
import { eventRecorders, type ControllerEnvironment, type SharedDeps } from './deps.js';
import { disruptionController, staleDisruptionController } from './disruption/controller.js';
import { endpointsController, type EndpointsOptions } from './endpoints/controller.js';
import { endpointSliceController, type EndpointSliceOptions } from './endpointslice/controller.js';
import { endpointsMirroringController } from './endpointslice/mirroring.js';
import { eventTtlController, type EventTtlOptions } from './eventttl/controller.js';
import { extensionAuthenticationController, type FrontProxyAuthority } from './extensionauthentication/controller.js';
import { flowControlController } from './flowcontrol/controller.js';
import { garbageCollector } from './garbagecollector/controller.js';
import { InformerSet } from './informer-set.js';
import { jobController, type JobOptions } from './job/controller.js';
import { orphanedJobPodsController } from './job/orphan-pods.js';
import { namespaceController, type NamespaceOptions } from './namespace/controller.js';
import { nodeLifecycleController, type NodeLifecycleOptions } from './nodelifecycle/controller.js';
import type { NodeLiveness } from './nodelifecycle/liveness.js';
import { taintEvictionController, type TaintEvictionOptions } from './nodelifecycle/taint-eviction.js';
import { podGcController, type PodGcOptions } from './podgc/controller.js';
import { replicaSetController, replicationController, type ReplicaSetOptions } from './replicaset/controller.js';
import { resourceQuotaController } from './resourcequota/controller.js';
import { serviceAllocationController } from './serviceallocation/controller.js';
import { serviceAccountController, type ServiceAccountOptions } from './serviceaccount/controller.js';
import { serviceAccountTokensController, type ServiceAccountTokensOptions } from './serviceaccounttokens/controller.js';
import { ttlAfterFinishedController } from './ttlafterfinished/controller.js';
import { statefulSetController, type StatefulSetOptions } from './statefulset/controller.js';
import { validatingAdmissionPolicyStatusController } from './validatingadmissionpolicystatus/controller.js';
import { claimProtectionController, volumeProtectionController } from './volumeprotection/controller.js';

export interface ControllersOptions
  extends
    BootstrapOptions,
    ServiceAccountOptions,
    ServiceAccountTokensOptions,
    CertificateSignerOptions,
    CertificateApproverOptions {
  readonly certificateCleaner?: CertificateCleanerOptions;
  readonly nodeLiveness: NodeLiveness;
  /**
   * Every resource that can be listed, watched and deleted, by discovery. Asked at each start for what the garbage
   * collector watches, and whenever a namespace is emptied.
   */
  deletableResources(): readonly ResourceRef[];
  /** Groups and versions that are served without definitions, to be shown as APIServices. */
  readonly groupVersions?: () => readonly GroupVersion[];
  /** Those of them that are custom resources, which come and go. None unless told. */
  readonly customResources?: () => readonly ResourceRef[];
  readonly customResourceCleanup?: CustomResourceCleanupOptions;
  /** What resources' objects look like, to check the types in admission policies; without it none are checked. */
  readonly kinds?: KindLookup;
  /** How other API servers are asked whether they are there; without it the condition of their APIServices is left alone. */
  readonly aggregatedServers?: AggregatedServers;
  /** Deletes what they keep in a namespace; without it nothing is. */
  readonly emptyRemote?: NamespaceOptions['emptyRemote'];
  /** By whom they know this cluster's peers; without it nothing is published. */
  readonly frontProxy?: FrontProxyAuthority;
  readonly replicaSet?: ReplicaSetOptions;
  readonly deployment?: DeploymentOptions;
  readonly job?: JobOptions;
  readonly cronJob?: CronJobOptions;
  readonly statefulSet?: StatefulSetOptions;
  readonly daemonSet?: DaemonSetOptions;
  readonly endpoints?: EndpointsOptions;
  readonly endpointSlice?: EndpointSliceOptions;
  readonly nodeLifecycle?: NodeLifecycleOptions;
  readonly taintEviction?: TaintEvictionOptions;
  readonly podGc?: PodGcOptions;
  readonly eventTtl?: EventTtlOptions;
}

export function createControllers(environment: ControllerEnvironment, options: ControllersOptions): Service {
  let running: ServiceGroup | undefined;
  return {
    name: 'controllers',
    async start() {
      if (running) throw new Error('the controllers are running already');
      running = assemble(environment, options);
      try {
        await running.start();
      } catch (error) {
        running = undefined;
        throw error;
      }
    },
    async stop() {
      const stopping = running;
      running = undefined;
      await stopping?.stop();
    },
  };
}

function builtIn(options: ControllersOptions): readonly ResourceRef[] {
  const custom = new Set(options.customResources?.().map(groupResourceOf));
  return options.deletableResources().filter((resource) => !custom.has(groupResourceOf(resource)));
}

function assemble(environment: ControllerEnvironment, options: ControllersOptions): ServiceGroup {
  const log = environment.log.child({ component: 'controllers' });
  const informers = new InformerSet({ ...environment, log });
  const deps: SharedDeps = { ...environment, log, informers, events: eventRecorders({ ...environment, log }) };
  const controllers: Service[] = [
    bootstrapController(deps, options),
    bootstrapPolicyController(deps),
    clusterRoleAggregationController(deps),
    serviceAccountController(deps, options),
    serviceAccountTokensController(deps, options),
    certificateApproverController(deps, options),
    certificateSignerController(deps, options),
    certificateCleanerController(deps, options.certificateCleaner),
    serviceAllocationController(deps),
    nodeLifecycleController(deps, options.nodeLiveness, options.nodeLifecycle),
    taintEvictionController(deps, options.nodeLiveness, options.taintEviction),
    replicaSetController(deps, options.replicaSet),
    replicationController(deps, options.replicaSet),
    deploymentController(deps, options.deployment),
    jobController(deps, options.job),
    orphanedJobPodsController(deps),
    cronJobController(deps, options.cronJob),
    ttlAfterFinishedController(deps),
    statefulSetController(deps, options.statefulSet),
    daemonSetController(deps, options.daemonSet),
    disruptionController(deps),
    staleDisruptionController(deps),
    endpointsController(deps, options.endpoints),
    endpointSliceController(deps, options.endpointSlice),
    endpointsMirroringController(deps),
    namespaceController(deps, {
      resources: () => options.deletableResources().filter(({ namespaced }) => namespaced),
      ...(options.emptyRemote ? { emptyRemote: options.emptyRemote } : {}),
    }),
    garbageCollector(deps, {
      resources: builtIn(options),
      ...(options.customResources ? { customResources: options.customResources } : {}),
    }),
    customResourceCleanupController(deps, options.customResourceCleanup),
    resourceQuotaController(deps, { resources: () => options.deletableResources() }),
    claimProtectionController(deps),
    volumeProtectionController(deps),
    podGcController(deps, options.podGc),
    eventTtlController(deps, options.eventTtl),
    flowControlController(deps),
    ...(options.groupVersions ? [apiServicesController(deps, options.groupVersions)] : []),
    ...(options.aggregatedServers ? [apiServiceAvailabilityController(deps, options.aggregatedServers)] : []),
    ...(options.frontProxy ? [extensionAuthenticationController(deps, options.caPem, options.frontProxy)] : []),
    ...(options.kinds ? [validatingAdmissionPolicyStatusController(deps, options.kinds)] : []),
  ];
  // Informers last to start: their first events find every handler in place. First to stop, so that nothing wakes any more.
  return new ServiceGroup('controllers', [...controllers, informers], log);
}
