/** Jobs. The commands are such as the fake runtime understands, too. */
import assert from 'node:assert/strict';
import type { Context, Rows, RowTest } from '../framework/context.js';
import { eventually, includes } from '../framework/expect.js';
import type { Json } from '../framework/http.js';
import type { Resource } from '../framework/resource.js';

const IMAGE = 'docker.io/library/busybox:1.36';
const ENDED_MS = 90_000;

export const shellPod = (script: string, restartPolicy = 'Never'): Json => ({
  terminationGracePeriodSeconds: 1,
  restartPolicy,
  containers: [{ name: 'c', image: IMAGE, command: ['/bin/sh', '-c', script] }],
});
const FOR_EVER = 'sleep infinity';

class Jobs {
  private constructor(
    readonly jobs: Resource,
    readonly pods: Resource,
  ) {}

  static async open(t: Context): Promise<Jobs> {
    t.needsControllers();
    const namespace = await t.namespace('job');
    return new Jobs(t.resource('batch/v1', 'jobs', namespace), t.core('pods', namespace));
  }

  create(name: string, script: string, spec: Json = {}, pod: Json = {}): Promise<Json> {
    const { restartPolicy, ...more } = pod;
    const template = { metadata: { labels: { job: name } }, spec: { ...shellPod(script, restartPolicy), ...more } };
    return this.jobs.create({ metadata: { name }, spec: { completions: 4, parallelism: 2, template, ...spec } });
  }

  podsOf(name: string): Promise<Json[]> {
    return this.pods.items(`job=${name}`);
  }

  async running(name: string, count: number): Promise<Json[]> {
    return eventually(`${count} running pods`, async () => {
      const pods = (await this.podsOf(name)).filter(({ status }) => status.phase === 'Running');
      return pods.length === count && pods;
    });
  }

  condition(name: string, type: string): Promise<Json> {
    return eventually(
      `${type} of ${name}`,
      async () => {
        const { status } = await this.jobs.get(name);
        const found = status.conditions?.find((one: Json) => one.type === type && one.status === 'True');
        return found && { ...status, condition: found };
      },
      ENDED_MS,
    );
  }
}

const indexed = (more: Json = {}): Json => ({ completionMode: 'Indexed', backoffLimit: 6, ...more });

const uniqueIndexes: RowTest = async (t) => {
  const jobs = await Jobs.open(t);
  await jobs.create('indexed', 'echo $JOB_COMPLETION_INDEX; exit 0', indexed());
  const { completedIndexes, succeeded } = await jobs.condition('indexed', 'Complete');
  assert.equal(completedIndexes, '0-3');
  assert.equal(succeeded, 4);
  const pods = await jobs.podsOf('indexed');
  const done = pods.filter(({ status }) => status.phase === 'Succeeded');
  const indexOf = ({ metadata }: Json) => String(metadata.annotations['batch.kubernetes.io/job-completion-index']);
  assert.deepEqual(done.map(indexOf).toSorted(), ['0', '1', '2', '3']);
  for (const pod of done) {
    const index = indexOf(pod);
    assert.equal(pod.spec.hostname, `indexed-${index}`);
    assert.equal(pod.metadata.labels['batch.kubernetes.io/job-completion-index'], index);
    const variable = pod.spec.containers[0].env.find(({ name }: Json) => name === 'JOB_COMPLETION_INDEX');
    assert.match(variable.valueFrom.fieldRef.fieldPath, /batch\.kubernetes\.io\/job-completion-index/);
  }
};

const adoption: RowTest = async (t) => {
  const jobs = await Jobs.open(t);
  const { metadata } = await jobs.create('adopt', FOR_EVER, { completions: 2 });
  const [pod] = await jobs.running('adopt', 2);
  const { name } = pod.metadata;
  await jobs.pods.update(name, (object) => delete object.metadata.ownerReferences);
  const ownerIs = (uid: string | undefined) => async () => {
    const live = await jobs.pods.get(name);
    return live.metadata.ownerReferences?.find((owner: Json) => owner.controller)?.uid === uid;
  };
  await eventually('the pod to be adopted again', ownerIs(metadata.uid));
  await jobs.pods.update(name, (object) => delete object.metadata.labels);
  await eventually('the pod to be released', ownerIs(undefined));
};

const deletion: RowTest = async (t) => {
  const jobs = await Jobs.open(t);
  await jobs.create('gone', FOR_EVER);
  await jobs.running('gone', 2);
  assert.equal((await jobs.jobs.get('gone')).status.active, 2);
  await jobs.jobs.delete('gone', { propagationPolicy: 'Foreground' });
  await eventually('the Job to go', async () => !(await jobs.jobs.exists('gone')), ENDED_MS);
  await eventually('its pods to go', async () => (await jobs.podsOf('gone')).length === 0);
};

const status: RowTest = async (t) => {
  const jobs = await Jobs.open(t);
  await jobs.create('status', FOR_EVER, { completions: 2 });
  await jobs.running('status', 2);
  const at = '2024-01-01T00:00:00Z';
  const condition = (type: string) => ({
    type,
    status: 'True',
    reason: 'E2E',
    message: 'by a test',
    lastProbeTime: at,
  });
  const patch = { metadata: { annotations: { patchedstatus: 'true' } }, status: { conditions: [condition('Custom')] } };
  const patched = await jobs.jobs.patch('status', patch, 'merge', 'status');
  includes(patched, { metadata: { annotations: { patchedstatus: 'true' } } });
  const updated = await jobs.jobs.update(
    'status',
    (object) => {
      object.status.conditions = [...(object.status.conditions ?? []), condition('Updated')];
    },
    'status',
  );
  const types = ({ status: { conditions } }: Json) => conditions.map(({ type }: Json) => type);
  assert.ok(types(updated).includes('Updated'));
  assert.ok(types(await jobs.jobs.get('status', 'status')).includes('Custom'));
};

const localRestart: RowTest = async (t) => {
  const jobs = await Jobs.open(t);
  const script = 'test -e /data/done && exit 0; touch /data/done; exit 1';
  const container = { ...shellPod(script).containers[0], volumeMounts: [{ name: 'data', mountPath: '/data' }] };
  const pod = { restartPolicy: 'OnFailure', containers: [container], volumes: [{ name: 'data', emptyDir: {} }] };
  await jobs.create('restart', script, { backoffLimit: 6 * 4 }, pod);
  const { succeeded } = await jobs.condition('restart', 'Complete');
  assert.equal(succeeded, 4);
  const done = (await jobs.podsOf('restart')).filter(({ status: { phase } }) => phase === 'Succeeded');
  assert.equal(done.length, 4);
  for (const one of done) assert.equal(one.status.containerStatuses[0].restartCount, 1);
};

const failOnExitCode: RowTest = async (t) => {
  const jobs = await Jobs.open(t);
  const rules = [{ action: 'FailJob', onExitCodes: { operator: 'In', values: [1] } }];
  await jobs.create('exit-code', 'exit 1', { backoffLimit: 5, podFailurePolicy: { rules } });
  const { condition, failed } = await jobs.condition('exit-code', 'Failed');
  assert.equal(condition.reason, 'PodFailurePolicy');
  assert.match(condition.message, /^Container c for pod .* failed with exit code 1 matching FailJob rule at index 0$/);
  assert.ok(failed <= 2, `${failed} pods failed`);
};

/** One pod waits until it is evicted; the one that replaces it finds a mark and ends. */
const disruption: RowTest = async (t) => {
  const jobs = await Jobs.open(t);
  const rules = [{ action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] }];
  const spec = indexed({ backoffLimit: 0, completions: 1, parallelism: 1, podFailurePolicy: { rules } });
  const path = `/tmp/${t.unique('conformance')}`;
  const script = 'test -e /data/mark && exit 0; touch /data/mark; sleep infinity';
  const container = { ...shellPod(script).containers[0], volumeMounts: [{ name: 'data', mountPath: '/data' }] };
  const nodeName = (await t.core('nodes').items())[0].metadata.name;
  const pod = {
    containers: [container],
    volumes: [{ name: 'data', hostPath: { path, type: 'DirectoryOrCreate' } }],
    nodeName,
  };
  await jobs.create('disrupted', script, spec, pod);
  const [first] = await jobs.running('disrupted', 1);
  const { name, namespace } = first.metadata;
  const body = { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name, namespace } };
  await t.api.call('POST', jobs.pods.path(name, 'eviction'), { body });
  const { failed = 0, succeeded } = await jobs.condition('disrupted', 'Complete');
  assert.deepEqual([failed, succeeded], [0, 1]);
};

const backoffPerIndex: RowTest = async (t) => {
  const jobs = await Jobs.open(t);
  await jobs.create('per-index', 'exit $(( JOB_COMPLETION_INDEX % 2 ))', {
    completionMode: 'Indexed',
    backoffLimitPerIndex: 1,
  });
  const end = await jobs.condition('per-index', 'Failed');
  assert.equal(end.condition.reason, 'FailedIndexes');
  includes(end, { completedIndexes: '0,2', failedIndexes: '1,3', succeeded: 2, failed: 4 });
};

const failIndex: RowTest = async (t) => {
  const jobs = await Jobs.open(t);
  const rules = [{ action: 'FailIndex', onExitCodes: { operator: 'In', values: [42] } }];
  const spec = {
    completionMode: 'Indexed',
    completions: 2,
    backoffLimitPerIndex: 1,
    podFailurePolicy: { rules },
  };
  // Index 0 exits with 42 (the index fails at once), index 1 with 43 (it is tried once more).
  await jobs.create('fail-index', 'exit $(( JOB_COMPLETION_INDEX + 42 ))', spec);
  const end = await jobs.condition('fail-index', 'Failed');
  includes(end, { failedIndexes: '0,1', failed: 3, condition: { reason: 'FailedIndexes' } });
};

const maxFailedIndexes: RowTest = async (t) => {
  const jobs = await Jobs.open(t);
  const spec = { completionMode: 'Indexed', parallelism: 1, backoffLimitPerIndex: 0, maxFailedIndexes: 0 };
  await jobs.create('max-failed', 'exit 1', spec);
  const end = await jobs.condition('max-failed', 'Failed');
  includes(end, { failedIndexes: '0', failed: 1, condition: { reason: 'MaxFailedIndexesExceeded' } });
};

const successPolicy =
  (rule: Json, script: string, expected: Json): RowTest =>
  async (t) => {
    const jobs = await Jobs.open(t);
    const spec = indexed({ parallelism: 4, successPolicy: { rules: [rule] } });
    await jobs.create('success', script, spec);
    const met = await jobs.condition('success', 'SuccessCriteriaMet');
    assert.equal(met.condition.reason, 'SuccessPolicy');
    const end = await jobs.condition('success', 'Complete');
    assert.equal(end.condition.reason, 'SuccessPolicy');
    includes(end, expected);
  };

/** Index 0 ends, the others go on for an hour each. */
const ONLY_FIRST = 'sleep $(( JOB_COMPLETION_INDEX * 3600 )); exit 0';

export const rows: Rows = {
  'job-adopt': adoption,
  'job-podfailure-disruption': disruption,
  'job-podfailure-exitcode': failOnExitCode,
  'job-status': status,
  'job-indexed': uniqueIndexes,
  'job-delete': deletion,
  'job-backoff-per-index': backoffPerIndex,
  'job-failindex': failIndex,
  'job-local-restart': localRestart,
  'job-max-failed-indexes': maxFailedIndexes,
  'job-success-all': successPolicy({ succeededIndexes: '0-3' }, 'exit 0', { completedIndexes: '0-3', succeeded: 4 }),
  'job-success-count': successPolicy({ succeededCount: 1 }, ONLY_FIRST, { completedIndexes: '0', succeeded: 1 }),
  'job-success-indexes': successPolicy({ succeededIndexes: '0' }, ONLY_FIRST, { completedIndexes: '0', succeeded: 1 }),
};
