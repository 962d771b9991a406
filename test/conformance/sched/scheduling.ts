/** What the scheduler must have, and must refuse. */
import assert from 'node:assert/strict';
import { podSpec } from '../api/fixtures.js';
import type { Context, Rows } from '../framework/context.js';
import { always, eventually } from '../framework/expect.js';
import type { Json } from '../framework/http.js';
import type { Resource } from '../framework/resource.js';
import { OwnNode } from './own-node.js';

/** Resolves with the node that the scheduler chose. */
export const bound = (pods: Resource, name: string): Promise<string> =>
  eventually(`${name} to get a node`, async () => {
    const { spec, status } = await pods.get(name);
    const scheduled = (status.conditions ?? []).find(({ type }: Json) => type === 'PodScheduled');
    return scheduled?.status === 'True' && (spec.nodeName as string);
  });

/** It is told and stays so. */
async function unschedulable(t: Context, pods: Resource, name: string, why: RegExp): Promise<void> {
  const namespace = pods.namespace ?? '';
  await eventually(`the Event FailedScheduling of ${name}`, async () =>
    (await t.core('events', namespace).items()).some(
      ({ reason, involvedObject }: Json) => reason === 'FailedScheduling' && involvedObject.name === name,
    ),
  );
  await always(`${name} is not bound`, 2_000, async () => !(await pods.get(name)).spec.nodeName);
  const { status } = await pods.get(name);
  const condition = status.conditions.find(({ type }: Json) => type === 'PodScheduled');
  assert.deepEqual([condition.status, condition.reason], ['False', 'Unschedulable']);
  assert.match(condition.message, /^0\/\d+ nodes are available: /);
  assert.match(condition.message, why);
}

export async function schedulableNodes(t: Context): Promise<Json[]> {
  const nodes = await t.core('nodes').items();
  return nodes.filter(
    ({ spec, status }) =>
      !spec.unschedulable &&
      !(spec.taints ?? []).some(({ effect }: Json) => effect === 'NoSchedule' || effect === 'NoExecute') &&
      status.conditions.some(({ type, status: value }: Json) => type === 'Ready' && value === 'True'),
  );
}

async function selectorWithoutNode(t: Context): Promise<void> {
  t.needsControllers();
  const pods = t.core('pods', await t.namespace('sched'));
  const nodeSelector = { label: 'nonempty' };
  await pods.create({ metadata: { name: 'restricted-pod' }, spec: { ...podSpec(), nodeSelector } });
  await unschedulable(t, pods, 'restricted-pod', /didn't match Pod's node affinity\/selector/);
}

/** A label of this row alone on a node that takes pods. */
async function labelledNode(t: Context): Promise<{ node: string; nodeSelector: Record<string, string> }> {
  t.needsControllers();
  // Any of them: no row is to lean on the first.
  const nodes = await schedulableNodes(t);
  const node = nodes[Math.floor(Math.random() * nodes.length)]?.metadata.name as string;
  const key = `conformance.example.com/${t.unique('label')}`;
  const label = (value: string | null) => t.core('nodes').patch(node, { metadata: { labels: { [key]: value } } });
  t.cleanup(() => label(null));
  await label('42');
  return { node, nodeSelector: { [key]: '42' } };
}

async function selectorWithNode(t: Context): Promise<void> {
  const { node, nodeSelector } = await labelledNode(t);
  const pods = t.core('pods', await t.namespace('sched'));
  await pods.create({ metadata: { name: 'with-labels' }, spec: { ...podSpec(), nodeSelector } });
  assert.equal(await bound(pods, 'with-labels'), node);
}

/** The row's node is full, a pod waits, and gets the room that another leaves. */
async function resources(t: Context): Promise<void> {
  t.needsControllers();
  const node = await OwnNode.open(t);
  const pods = t.core('pods', await t.namespace('sched'));
  const taking = (name: string, cpu: string) => pods.create(node.pod(name, {}, { requests: { cpu }, limits: { cpu } }));
  await taking('filler', '700m');
  assert.equal(await bound(pods, 'filler'), node.name);
  await taking('additional', '500m');
  await unschedulable(t, pods, 'additional', /1 Insufficient cpu/);
  await taking('small', '300m');
  assert.equal(await bound(pods, 'small'), node.name);
  await pods.delete('filler');
  assert.equal(await bound(pods, 'additional'), node.name);
}

async function hostPorts(t: Context): Promise<void> {
  const { node, nodeSelector } = await labelledNode(t);
  const pods = t.core('pods', await t.namespace('sched'));
  const hostPort = 40_000 + Math.floor(Math.random() * 10_000);
  const taking = (name: string, fields: Json) => {
    const spec = { ...podSpec(), nodeSelector };
    spec.containers[0].ports = [{ containerPort: 80, hostPort, ...fields }];
    return pods.create({ metadata: { name }, spec });
  };
  await taking('anywhere', { hostIP: '0.0.0.0' });
  assert.equal(await bound(pods, 'anywhere'), node);
  await taking('of-one-address', { hostIP: '127.0.0.1' });
  await unschedulable(t, pods, 'of-one-address', /didn't have free ports for the requested pod ports/);
  await taking('other-protocol', { hostIP: '127.0.0.1', protocol: 'UDP' });
  assert.equal(await bound(pods, 'other-protocol'), node);
}

/** A pod of a new class; resolves with what it became. */
async function ofClass(t: Context, overhead?: Json): Promise<Json> {
  t.needsControllers();
  const classes = t.resource('node.k8s.io/v1', 'runtimeclasses');
  const name = t.unique('scheduled-class');
  await classes.create({ metadata: { name }, handler: 'runc', ...(overhead && { overhead: { podFixed: overhead } }) });
  t.cleanup(() => classes.delete(name));
  const pods = t.core('pods', await t.namespace('runtime-class'));
  await pods.create({ metadata: { name: 'of-class' }, spec: { ...podSpec(), runtimeClassName: name } });
  await bound(pods, 'of-class');
  return pods.get('of-class');
}

export const rows: Rows = {
  'sched-selector-nomatch': selectorWithoutNode,
  'sched-selector-match': selectorWithNode,
  'sched-resources': resources,
  'sched-hostport-conflict': hostPorts,
  'rtclass-schedule': async (t) => assert.equal((await ofClass(t)).spec.overhead, undefined),
  'rtclass-overhead': async (t) => {
    const overhead = { cpu: '10m', memory: '1Mi' };
    assert.deepEqual((await ofClass(t, overhead)).spec.overhead, overhead);
  },
  'arch-two-nodes': async (t) => {
    t.needsControllers();
    const nodes = await schedulableNodes(t);
    assert.ok(nodes.length >= 2, `${nodes.length} schedulable nodes`);
  },
};
