/**
 * The FlowSchemas and PriorityLevelConfigurations that every cluster has (Kubernetes' mandatory and suggested configuration,
 * https://kubernetes.io/docs/concepts/cluster-administration/flow-control/).
 */
import { ALL_AUTHENTICATED, ALL_UNAUTHENTICATED, group, serviceAccount, user } from './subjects.js';
import type {
  FlowSchema,
  PolicyRulesWithSubjects,
  PriorityLevelConfiguration,
  ResourcePolicyRule,
} from '../types/flowcontrol-v1.js';

type FlowSubject = PolicyRulesWithSubjects['subjects'][number];

/** Lets the server keep an object as it ought to be; users switch it off with "false". */
export const AUTO_UPDATE = 'apf.kubernetes.io/autoupdate-spec';

interface LevelRow {
  readonly shares: number;
  readonly lendablePercent: number;
  /** Absent: what finds no seat is rejected. */
  readonly queues?: number;
  readonly handSize?: number;
}

const QUEUE_LENGTH = 50;

const LEVELS: Readonly<Record<string, LevelRow>> = {
  'node-high': { shares: 40, lendablePercent: 25, queues: 64, handSize: 6 },
  system: { shares: 30, lendablePercent: 33, queues: 64, handSize: 6 },
  'leader-election': { shares: 10, lendablePercent: 0, queues: 16, handSize: 4 },
  'workload-high': { shares: 40, lendablePercent: 50, queues: 128, handSize: 6 },
  'workload-low': { shares: 100, lendablePercent: 90, queues: 128, handSize: 6 },
  'global-default': { shares: 20, lendablePercent: 50, queues: 128, handSize: 6 },
  'catch-all': { shares: 5, lendablePercent: 0 },
};

const annotations = { [AUTO_UPDATE]: 'true' };

function level(name: string, { shares, lendablePercent, queues, handSize }: LevelRow): PriorityLevelConfiguration {
  const limitResponse =
    queues === undefined || handSize === undefined
      ? { type: 'Reject' }
      : { type: 'Queue', queuing: { queues, handSize, queueLengthLimit: QUEUE_LENGTH } };
  return {
    metadata: { name, annotations },
    spec: { type: 'Limited', limited: { nominalConcurrencyShares: shares, lendablePercent, limitResponse } },
  };
}

const exempt: PriorityLevelConfiguration = {
  metadata: { name: 'exempt', annotations },
  spec: { type: 'Exempt', exempt: { nominalConcurrencyShares: 0, lendablePercent: 0 } },
};

export const DEFAULT_PRIORITY_LEVELS: readonly PriorityLevelConfiguration[] = Object.freeze([
  exempt,
  ...Object.entries(LEVELS).map(([name, row]) => level(name, row)),
]);

const anywhere = (
  verbs: readonly string[],
  apiGroups: readonly string[],
  resources: readonly string[],
): ResourcePolicyRule => ({
  verbs: [...verbs],
  apiGroups: [...apiGroups],
  resources: [...resources],
  clusterScope: true,
  namespaces: ['*'],
});
const ALL_RESOURCES = anywhere(['*'], ['*'], ['*']);
const ALL_PATHS = { verbs: ['*'], nonResourceURLs: ['*'] };
const LEASE_RULE: ResourcePolicyRule = {
  verbs: ['get', 'create', 'update'],
  apiGroups: ['coordination.k8s.io'],
  resources: ['leases'],
  namespaces: ['*'],
};

const everything = (subjects: FlowSubject[]): PolicyRulesWithSubjects[] => [
  { subjects, resourceRules: [ALL_RESOURCES], nonResourceRules: [ALL_PATHS] },
];

function flow(
  name: string,
  matchingPrecedence: number,
  priorityLevel: string,
  distinguisher: 'ByUser' | 'ByNamespace' | undefined,
  rules: PolicyRulesWithSubjects[],
): FlowSchema {
  return {
    metadata: { name, annotations },
    spec: {
      matchingPrecedence,
      priorityLevelConfiguration: { name: priorityLevel },
      ...(distinguisher === undefined ? {} : { distinguisherMethod: { type: distinguisher } }),
      rules,
    },
  };
}

const CONTROLLER_MANAGER = user('system:kube-controller-manager');
const SCHEDULER = user('system:kube-scheduler');
const NODES = group('system:nodes');

export const DEFAULT_FLOW_SCHEMAS: readonly FlowSchema[] = Object.freeze([
  flow('exempt', 1, 'exempt', undefined, everything([group('system:masters')])),
  flow('probes', 2, 'exempt', undefined, [
    {
      subjects: [ALL_UNAUTHENTICATED, ALL_AUTHENTICATED],
      nonResourceRules: [{ verbs: ['get'], nonResourceURLs: ['/healthz', '/readyz', '/livez'] }],
    },
  ]),
  flow('system-leader-election', 100, 'leader-election', 'ByUser', [
    {
      subjects: [CONTROLLER_MANAGER, SCHEDULER, serviceAccount('kube-system', '*')],
      resourceRules: [LEASE_RULE],
    },
  ]),
  flow('endpoint-controller', 150, 'workload-high', 'ByUser', [
    {
      subjects: [
        CONTROLLER_MANAGER,
        serviceAccount('kube-system', 'endpoint-controller'),
        serviceAccount('kube-system', 'endpointslicemirroring-controller'),
      ],
      resourceRules: [
        { verbs: ['get', 'create', 'update'], apiGroups: [''], resources: ['endpoints'], namespaces: ['*'] },
      ],
    },
  ]),
  flow('workload-leader-election', 200, 'leader-election', 'ByUser', [
    { subjects: [serviceAccount('kube-system', '*')], resourceRules: [LEASE_RULE] },
  ]),
  flow('system-node-high', 400, 'node-high', 'ByUser', [
    {
      subjects: [NODES],
      resourceRules: [
        { verbs: ['*'], apiGroups: [''], resources: ['nodes', 'nodes/status'], clusterScope: true, namespaces: ['*'] },
        { verbs: ['*'], apiGroups: ['coordination.k8s.io'], resources: ['leases'], namespaces: ['*'] },
      ],
    },
  ]),
  flow('system-nodes', 500, 'system', 'ByUser', everything([NODES])),
  flow('kube-controller-manager', 800, 'workload-high', 'ByNamespace', everything([CONTROLLER_MANAGER])),
  flow('kube-scheduler', 800, 'workload-high', 'ByNamespace', everything([SCHEDULER])),
  flow(
    'kube-system-service-accounts',
    900,
    'workload-high',
    'ByNamespace',
    everything([serviceAccount('kube-system', '*')]),
  ),
  flow('service-accounts', 9000, 'workload-low', 'ByUser', everything([group('system:serviceaccounts')])),
  flow('global-default', 9900, 'global-default', 'ByUser', everything([ALL_UNAUTHENTICATED, ALL_AUTHENTICATED])),
  flow('catch-all', 10_000, 'catch-all', 'ByUser', everything([ALL_UNAUTHENTICATED, ALL_AUTHENTICATED])),
]);

/** These two the server keeps whatever users do to them. */
export const isMandatory = (name: string): boolean => name === 'exempt' || name === 'catch-all';
