/**
 * Pods of higher priority end others. What is fought over is an extended resource that no other row asks for, so that on nodes
 * that all rows share nobody else is in danger.
 */
import assert from 'node:assert/strict';
import { podSpec } from '../api/fixtures.js';
import type { Context, Rows } from '../framework/context.js';
import { always, eventually } from '../framework/expect.js';
import type { Json } from '../framework/http.js';
import type { Resource } from '../framework/resource.js';
import { bound, schedulableNodes } from './scheduling.js';

/** Nodes that have so much of a resource of this row. */
async function contested(t: Context, amount: number, most = Infinity): Promise<{ resource: string; nodes: string[] }> {
  t.needsControllers();
  const resource = `conformance.example.com/${t.unique('fake')}`;
  const nodes = (await schedulableNodes(t)).slice(0, most).map(({ metadata }) => metadata.name as string);
  const announce = (node: string, value: string | null) => {
    const amounts = { [resource]: value };
    return t.core('nodes').patch(node, { status: { capacity: amounts, allocatable: amounts } }, 'merge', 'status');
  };
  for (const node of nodes) {
    t.cleanup(() => announce(node, null));
    await announce(node, String(amount));
  }
  return { resource, nodes };
}

async function priorityClass(t: Context, value: number): Promise<string> {
  const classes = t.resource('scheduling.k8s.io/v1', 'priorityclasses');
  const name = t.unique('preemption-priority');
  await classes.create({ metadata: { name }, value });
  t.cleanup(() => classes.delete(name));
  return name;
}

/** A spec that asks for so much, on the node if one is named. */
function asking(resource: string, amount: number, priorityClassName: string, node?: string): Json {
  const spec = podSpec();
  const amounts = { [resource]: String(amount) };
  spec.containers[0].resources = { requests: amounts, limits: amounts };
  return { ...spec, priorityClassName, ...(node && { nodeSelector: { 'kubernetes.io/hostname': node } }) };
}

const isGone = async (pods: Resource, name: string): Promise<boolean> =>
  !(await pods.items()).some(({ metadata }: Json) => metadata.name === name && !metadata.deletionTimestamp);

/** Every node is full but for one part in five; two fifths are wanted, and one pod is of lower priority than the others. */
async function takesTheLeast(t: Context, preemptorNamespace: string | undefined, className?: string): Promise<void> {
  const { resource, nodes } = await contested(t, 5);
  const [low, medium, high] = [await priorityClass(t, 1), await priorityClass(t, 100), await priorityClass(t, 1000)];
  const pods = t.core('pods', await t.namespace('preemption'));
  const holders = nodes.flatMap((node, i) => [`holder-${i}-0`, `holder-${i}-1`].map((name) => ({ node, name })));
  const [victim] = holders;
  assert.ok(victim, 'no node takes pods');
  for (const holder of holders) {
    const spec = asking(resource, 2, holder === victim ? low : medium, holder.node);
    await pods.create({ metadata: { name: holder.name }, spec });
  }
  for (const { name, node } of holders) assert.equal(await bound(pods, name), node);
  const preemptors = preemptorNamespace === undefined ? pods : t.core('pods', preemptorNamespace);
  const name = t.unique('preemptor');
  await preemptors.create({ metadata: { name }, spec: asking(resource, 2, className ?? high) });
  t.cleanup(() => preemptors.delete(name));
  assert.equal(await bound(preemptors, name), victim.node);
  assert.ok(await isGone(pods, victim.name), 'the pod of lowest priority is still there');
  for (const other of holders.slice(1)) {
    assert.equal((await pods.get(other.name)).metadata.deletionTimestamp, undefined, other.name);
  }
}

/** Of three ReplicaSets that leave 50 of 1000, the two of lowest priority make room for 500. */
async function path(t: Context): Promise<void> {
  const { resource, nodes } = await contested(t, 1000, 1);
  const [node] = nodes;
  assert.ok(node, 'no node takes pods');
  const namespace = await t.namespace('preemption-path');
  const pods = t.core('pods', namespace);
  const sets = t.resource('apps/v1', 'replicasets', namespace);
  const names = ['pod1', 'pod2', 'pod3'];
  for (const [i, amount] of [200, 300, 450].entries()) {
    const labels = { name: names[i] };
    const spec = asking(resource, amount, await priorityClass(t, i + 1), node);
    const template = { metadata: { labels }, spec };
    const replicas = { replicas: 1, selector: { matchLabels: labels }, template };
    await sets.create({ metadata: { name: `rs-${names[i]}` }, spec: replicas });
    await eventually(`${names[i]} to get its node`, async () =>
      (await pods.items(`name=${names[i]}`)).some((pod: Json) => pod.spec.nodeName === node),
    );
  }
  const seen = new Set<string>();
  const made = async () => {
    for (const { metadata } of await pods.items()) seen.add(`${metadata.labels?.name} ${metadata.uid}`);
    return names.map((name) => [...seen].filter((each) => each.startsWith(`${name} `)).length);
  };
  await made();
  await pods.create({ metadata: { name: 'pod4' }, spec: asking(resource, 500, await priorityClass(t, 4), node) });
  assert.equal(await bound(pods, 'pod4'), node);
  await eventually('the ReplicaSets to replace what was preempted', async () => String(await made()) === '2,2,1');
  await always('nothing else is preempted', 2_000, async () => String(await made()) === '2,2,1');
}

async function disruptionCondition(t: Context): Promise<void> {
  const { resource, nodes } = await contested(t, 1, 1);
  const [low, high] = [await priorityClass(t, 1), await priorityClass(t, 1000)];
  const pods = t.core('pods', await t.namespace('preemption-condition'));
  const finalizers = ['conformance.example.com/hold'];
  const release = () => pods.patch('victim', { metadata: { finalizers: null } });
  await pods.create({ metadata: { name: 'victim', finalizers }, spec: asking(resource, 1, low) });
  t.cleanup(release);
  assert.equal(await bound(pods, 'victim'), nodes[0]);
  await pods.create({ metadata: { name: 'preemptor' }, spec: asking(resource, 1, high) });
  const victim = await eventually('the victim to be deleted', async () => {
    const pod = await pods.get('victim');
    return pod.metadata.deletionTimestamp !== undefined && pod;
  });
  const condition = victim.status.conditions.find(({ type }: Json) => type === 'DisruptionTarget');
  assert.deepEqual([condition?.status, condition?.reason], ['True', 'PreemptionByScheduler']);
  assert.equal(condition.message, 'default-scheduler: preempting to accommodate a higher priority pod');
  await eventually('the preemptor to be nominated', async () =>
    nodes.includes((await pods.get('preemptor')).status.nominatedNodeName),
  );
  await release();
  assert.equal(await bound(pods, 'preemptor'), nodes[0]);
}

export const rows: Rows = {
  'preempt-basic': (t) => takesTheLeast(t, undefined),
  'preempt-critical': (t) => takesTheLeast(t, 'kube-system', 'system-cluster-critical'),
  'preempt-path': path,
  'preempt-condition': disruptionCondition,
};
