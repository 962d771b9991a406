/** Pods leave a node for a NoExecute taint, as far as they do not tolerate it. */
import assert from 'node:assert/strict';
import type { Context, Rows } from '../framework/context.js';
import { always, eventually } from '../framework/expect.js';
import type { Json } from '../framework/http.js';
import type { Resource } from '../framework/resource.js';
import { OwnNode } from './own-node.js';

const KEY = 'conformance.example.com/evict';

const tolerating = (tolerationSeconds: number) => [
  { key: KEY, operator: 'Equal', value: 'row', effect: 'NoExecute', tolerationSeconds },
];

const isGone = async (pods: Resource, name: string): Promise<boolean> =>
  !(await pods.items()).some(({ metadata }: Json) => metadata.name === name && !metadata.deletionTimestamp);

async function onOwnNode(t: Context, seconds: Readonly<Record<string, number | undefined>>) {
  t.needsControllers();
  const node = await OwnNode.open(t);
  const pods = t.core('pods', await t.namespace('evict'));
  for (const [name, limit] of Object.entries(seconds)) {
    const tolerations = limit === undefined ? [] : tolerating(limit);
    await pods.create(node.pod(name, { nodeName: node.name, tolerations }));
  }
  return { node, pods };
}

async function tolerationLimits(t: Context): Promise<void> {
  const { node, pods } = await onOwnNode(t, { intolerant: undefined, short: 3, long: 600 });
  // Until they are older than what they tolerate: it counts from the taint.
  await always('they stay', 4_000, async () => (await pods.items()).length === 3);
  const start = performance.now();
  await node.taint(KEY, true);
  await eventually('the pod without a toleration to be evicted', () => isGone(pods, 'intolerant'));
  await eventually('the pod with a short toleration to be evicted', () => isGone(pods, 'short'), 60_000);
  // Clocks of several machines may differ by a little, and timestamps are in seconds.
  assert.ok(performance.now() - start > 2_000, 'it was evicted before its time');
  assert.ok(!(await isGone(pods, 'long')), 'the pod with a long toleration was evicted');
}

async function taintRemoval(t: Context): Promise<void> {
  const { node, pods } = await onOwnNode(t, { intolerant: undefined, tolerant: 15 });
  const start = performance.now();
  await node.taint(KEY, true);
  await eventually('the taint to take effect', () => isGone(pods, 'intolerant'));
  await node.taint(KEY, false);
  const left = 15_000 - (performance.now() - start);
  assert.ok(left > 0, 'the taint was there for too long to say anything');
  await always('the pod stays', left + 3_000, async () => !(await isGone(pods, 'tolerant')));
}

export const rows: Rows = { 'taint-min-toleration': tolerationLimits, 'taint-removal': taintRemoval };
