/** The list of Kubernetes' conformance tests (rows.tsv), and which rows are known to fail. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export interface Row {
  readonly id: string;
  readonly area: string;
  /** As upstream calls it. */
  readonly testname: string;
  /** The release in which it became a conformance test. */
  readonly release: string;
  readonly paraphrase: string;
  readonly block: string;
  readonly image: string;
  readonly note: string;
  /** Whether Kubernetes 1.32's suite has it; the others are of later releases. */
  readonly in132: boolean;
}

const text = (name: string) => readFileSync(fileURLToPath(new URL(name, import.meta.url)), 'utf8');

const lines = (name: string) =>
  text(name)
    .split('\n')
    .filter((line) => line.trim() !== '' && !line.startsWith('#'));

/** In the order in which they are best made to pass. */
export const BLOCKS: Readonly<Record<string, string>> = {
  api: 'generic REST on built-in kinds, nothing has to run',
  node: 'one node: pods, status, restarts, probes, hooks, env, logs, exec',
  vol: 'emptyDir, configMap, secret, downwardAPI, projected, subPath',
  ctrl: 'ReplicaSet, Deployment, DaemonSet, StatefulSet, Job, CronJob, garbage collection, eviction',
  svcapi: 'the kubernetes Service, Endpoints, EndpointSlices, mirroring',
  net: 'Service addresses, NodePort, affinity, DNS, pod to pod, API proxy, hostPort',
  crd: 'CustomResourceDefinitions: schema, pruning, defaults, OpenAPI, strict validation',
  quota: 'ResourceQuota, LimitRange, RuntimeClass admission',
  nslife: 'namespace finalizers and teardown',
  hook: 'mutating and validating webhooks, conversion webhooks',
  sched: 'fit, node selector, hostPort, taints, preemption, at least two nodes',
  cel: 'ValidatingAdmissionPolicy, MutatingAdmissionPolicy, matchConditions',
  auth: 'service account tokens, root CA, OIDC documents, access reviews',
  nodex: 'ephemeral containers, in-place resize, image volumes',
  cert: 'ClusterTrustBundle and PodCertificate projections',
  agg: 'aggregated API servers',
};

export function readRows(): readonly Row[] {
  const [, ...rows] = lines('rows.tsv');
  return rows.map((line) => {
    const [
      id = '',
      area = '',
      testname = '',
      release = '',
      paraphrase = '',
      ,
      block = '',
      image = '',
      note = '',
      in132,
    ] = line.split('\t');
    return { id, area, testname, release, paraphrase, block, image, note, in132: in132 === 'yes' };
  });
}

/** Row ids with the reason why each fails. */
export function readKnownFailures(): ReadonlyMap<string, string> {
  return new Map(
    lines('known-failures.txt').map((line) => {
      const [id = '', ...reason] = line.split(/\s+/);
      return [id, reason.join(' ')] as const;
    }),
  );
}
