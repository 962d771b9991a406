/** The APIService objects of what this server serves itself (kube-aggregator's autoregistration). */
import type { APIService } from '../../../api/types/apiregistration-v1.js';

export interface GroupVersion {
  readonly group: string;
  readonly version: string;
}

/** Who keeps an APIService: "onstart" for built-in groups, "true" for those of CustomResourceDefinitions. */
export const AUTO_MANAGED = 'kube-aggregator.kubernetes.io/automanaged';

/** Upstream's order of groups in discovery (`groupPriorityMinimum`). */
const GROUP_PRIORITY: Readonly<Record<string, number>> = {
  '': 18_000,
  'apiregistration.k8s.io': 18_000,
  apps: 17_800,
  'events.k8s.io': 17_750,
  'authentication.k8s.io': 17_700,
  'authorization.k8s.io': 17_600,
  autoscaling: 17_500,
  batch: 17_400,
  'certificates.k8s.io': 17_300,
  'networking.k8s.io': 17_200,
  policy: 17_100,
  'rbac.authorization.k8s.io': 17_000,
  'storage.k8s.io': 16_800,
  'apiextensions.k8s.io': 16_700,
  'admissionregistration.k8s.io': 16_700,
  'scheduling.k8s.io': 16_600,
  'coordination.k8s.io': 16_500,
  'node.k8s.io': 16_300,
  'discovery.k8s.io': 16_200,
  'flowcontrol.apiserver.k8s.io': 16_100,
  'metrics.k8s.io': 100,
};
const OTHER_GROUP = 1_000;
const VERSION_PRIORITY: Readonly<Record<string, number>> = { '/v1': 1, 'autoscaling/v2': 30, 'events.k8s.io/v1': 5 };
const BUILT_IN_VERSION = 15;
const CUSTOM_VERSION = 100;

export const apiServiceName = ({ group, version }: GroupVersion): string => `${version}.${group}`;

export function localApiService({ group, version }: GroupVersion, custom: boolean): APIService {
  const versionPriority = custom ? CUSTOM_VERSION : (VERSION_PRIORITY[`${group}/${version}`] ?? BUILT_IN_VERSION);
  return {
    metadata: {
      name: apiServiceName({ group, version }),
      labels: { [AUTO_MANAGED]: custom ? 'true' : 'onstart' },
    },
    spec: {
      ...(group === '' ? {} : { group }),
      version,
      groupPriorityMinimum: (custom ? undefined : GROUP_PRIORITY[group]) ?? OTHER_GROUP,
      versionPriority,
    },
  };
}

export interface ApiServicePlan {
  readonly create: readonly APIService[];
  /** Names of those whose definitions are gone. */
  readonly remove: readonly string[];
}

/** What is missing, and what nothing serves any more. APIServices that users registered are theirs. */
export function planApiServices(
  builtIn: readonly GroupVersion[],
  custom: readonly GroupVersion[],
  present: readonly APIService[],
): ApiServicePlan {
  const wanted = new Map<string, APIService>();
  for (const each of custom) wanted.set(apiServiceName(each), localApiService(each, true));
  for (const each of builtIn) wanted.set(apiServiceName(each), localApiService(each, false));
  const names = new Set(present.map(({ metadata }) => metadata.name ?? ''));
  return {
    create: [...wanted].filter(([name]) => !names.has(name)).map(([, service]) => service),
    remove: present
      .filter(({ metadata }) => metadata.labels?.[AUTO_MANAGED] === 'true' && !wanted.has(metadata.name ?? ''))
      .map(({ metadata }) => metadata.name ?? ''),
  };
}
