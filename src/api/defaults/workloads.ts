/** Defaults of the kinds that make pods (upstream: `apps/v1`, `batch/v1`, `core/v1`). In place. */
import type { DaemonSet, Deployment, ReplicaSet, StatefulSet } from '../types/apps-v1.js';
import type { CronJob, Job } from '../types/batch-v1.js';
import type { PodTemplate, ReplicationController } from '../types/core-v1.js';
import { defaultClaimSpec, defaultPodTemplate } from './pod.js';

const MAX_INT32 = 2147483647;

export function defaultDeployment(deployment: Deployment): void {
  const { spec } = deployment;
  deployment.status ??= {};
  if (spec === undefined) return;
  spec.replicas ??= 1;
  const strategy = (spec.strategy ??= {});
  strategy.type ??= 'RollingUpdate';
  if (strategy.type === 'RollingUpdate') {
    const rolling = (strategy.rollingUpdate ??= {});
    rolling.maxUnavailable ??= '25%';
    rolling.maxSurge ??= '25%';
  }
  spec.revisionHistoryLimit ??= 10;
  spec.progressDeadlineSeconds ??= 600;
  defaultPodTemplate(spec.template);
}

export function defaultReplicaSet(set: ReplicaSet): void {
  if (set.spec === undefined) return;
  set.spec.replicas ??= 1;
  defaultPodTemplate(set.spec.template);
}

export function defaultReplicationController(controller: ReplicationController): void {
  const { spec } = controller;
  if (spec === undefined) return;
  spec.replicas ??= 1;
  const labels = spec.template?.metadata?.labels;
  if (labels !== undefined) {
    if (Object.keys(spec.selector ?? {}).length === 0) spec.selector = { ...labels };
    if (Object.keys(controller.metadata?.labels ?? {}).length === 0) {
      (controller.metadata ??= {}).labels = { ...labels };
    }
  }
  defaultPodTemplate(spec.template);
}

export function defaultStatefulSet(set: StatefulSet): void {
  const { spec } = set;
  if (spec === undefined) return;
  spec.podManagementPolicy ??= 'OrderedReady';
  const strategy = (spec.updateStrategy ??= {});
  strategy.type ??= 'RollingUpdate';
  if (strategy.type === 'RollingUpdate') (strategy.rollingUpdate ??= {}).partition ??= 0;
  const retention = (spec.persistentVolumeClaimRetentionPolicy ??= {});
  retention.whenDeleted ??= 'Retain';
  retention.whenScaled ??= 'Retain';
  spec.replicas ??= 1;
  spec.revisionHistoryLimit ??= 10;
  for (const claim of spec.volumeClaimTemplates ?? []) {
    claim.apiVersion ??= 'v1';
    claim.kind ??= 'PersistentVolumeClaim';
    defaultClaimSpec(claim.spec);
    (claim.status ??= {}).phase ??= 'Pending';
  }
  defaultPodTemplate(spec.template);
}

export function defaultDaemonSet(set: DaemonSet): void {
  const { spec } = set;
  if (spec === undefined) return;
  const strategy = (spec.updateStrategy ??= {});
  strategy.type ??= 'RollingUpdate';
  if (strategy.type === 'RollingUpdate') {
    const rolling = (strategy.rollingUpdate ??= {});
    rolling.maxUnavailable ??= 1;
    rolling.maxSurge ??= 0;
  }
  spec.revisionHistoryLimit ??= 10;
  defaultPodTemplate(spec.template);
}

export function defaultJob(job: Job): void {
  const { spec } = job;
  if (spec === undefined) return;
  if (spec.completions === undefined && spec.parallelism === undefined) spec.completions = 1;
  spec.parallelism ??= 1;
  spec.backoffLimit ??= spec.backoffLimitPerIndex === undefined ? 6 : MAX_INT32;
  const labels = spec.template?.metadata?.labels;
  if (labels !== undefined && Object.keys(job.metadata?.labels ?? {}).length === 0) {
    (job.metadata ??= {}).labels = { ...labels };
  }
  spec.completionMode ??= 'NonIndexed';
  spec.suspend ??= false;
  spec.podReplacementPolicy ??= spec.podFailurePolicy === undefined ? 'TerminatingOrFailed' : 'Failed';
  for (const rule of spec.podFailurePolicy?.rules ?? []) {
    for (const pattern of rule.onPodConditions ?? []) pattern.status ??= 'True';
  }
  defaultPodTemplate(spec.template);
}

export function defaultCronJob(cronJob: CronJob): void {
  const { spec } = cronJob;
  if (spec === undefined) return;
  spec.concurrencyPolicy ??= 'Allow';
  spec.suspend ??= false;
  spec.successfulJobsHistoryLimit ??= 3;
  spec.failedJobsHistoryLimit ??= 1;
  defaultPodTemplate(spec.jobTemplate?.spec?.template);
}

export function defaultPodTemplateObject(template: PodTemplate): void {
  defaultPodTemplate(template.template);
}
