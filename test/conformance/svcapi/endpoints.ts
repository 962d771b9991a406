/** Endpoints of Services with pods: which there are, what becomes of them, and how soon. */
import assert from 'node:assert/strict';
import { podSpec } from '../api/fixtures.js';
import type { Context, Rows } from '../framework/context.js';
import { eventually } from '../framework/expect.js';
import type { Json } from '../framework/http.js';

const POD_READY_MS = 60_000;
const SERVICE_NAME = 'kubernetes.io/service-name';

const slices = (t: Context, namespace: string) => t.resource('discovery.k8s.io/v1', 'endpointslices', namespace);

/** Resolves with its address once it is ready. */
async function startPod(t: Context, namespace: string, name: string, labels: Json, ports: Json[]): Promise<string> {
  const pods = t.core('pods', namespace);
  const spec = podSpec();
  spec.containers[0].ports = ports;
  await pods.create({ metadata: { name, labels }, spec });
  return eventually(
    `${name} to be ready`,
    async () => {
      const { status } = await pods.get(name);
      const ready = (status.conditions ?? []).some((c: Json) => c.type === 'Ready' && c.status === 'True');
      return ready && (status.podIP as string);
    },
    POD_READY_MS,
  );
}

/** `address name:port` of each ready endpoint, sorted; an address with several ports occurs several times. */
type Reading = (service: string) => Promise<string[]>;

function ofSlices(t: Context, namespace: string): Reading {
  return async (service) => {
    const items = await slices(t, namespace).items(`${SERVICE_NAME}=${service}`);
    const found: string[] = items.flatMap(({ endpoints, ports }: Json) =>
      (endpoints ?? [])
        .filter(({ conditions }: Json) => conditions.ready !== false)
        .flatMap(({ addresses }: Json) =>
          (ports ?? []).map(({ name, port }: Json) => `${addresses[0]} ${name}:${port}`),
        ),
    );
    return found.toSorted();
  };
}

function ofEndpoints(t: Context, namespace: string): Reading {
  return async (service) => {
    const items = (await t.core('endpoints', namespace).items()).filter(({ metadata }) => metadata.name === service);
    const found: string[] = items.flatMap(({ subsets }: Json) =>
      (subsets ?? []).flatMap(({ addresses, ports }: Json) =>
        (addresses ?? []).flatMap(({ ip }: Json) => ports.map(({ name, port }: Json) => `${ip} ${name}:${port}`)),
      ),
    );
    return found.toSorted();
  };
}

/** A port by a name that means another number in each pod, and Services with one and with two ports. */
async function follows(t: Context, readingOf: (t: Context, namespace: string) => Reading): Promise<void> {
  t.needsControllers();
  const namespace = await t.namespace('svcapi');
  const reading = readingOf(t, namespace);
  const labels = { foo: 'bar' };
  const named = (example: number, other: number) => [
    { name: 'example-name', containerPort: example },
    { name: 'other-name', containerPort: other },
  ];
  const [first, second] = await Promise.all([
    startPod(t, namespace, 'pod1', { ...labels, shard: '1' }, named(3000, 3001)),
    startPod(t, namespace, 'pod2', { ...labels, shard: '2' }, named(3001, 3002)),
  ]);
  const services = t.core('services', namespace);
  const example = { name: 'example', port: 80, targetPort: 'example-name' };
  const other = { name: 'other', port: 9090, targetPort: 'other-name' };
  await services.create({
    metadata: { name: 'single' },
    spec: { selector: { ...labels, shard: '1' }, ports: [example] },
  });
  await services.create({ metadata: { name: 'double' }, spec: { selector: labels, ports: [example, other] } });
  const become = (service: string, expected: string[]) =>
    eventually(`${service} to have ${expected.join(', ') || 'nothing'}`, async () => {
      return JSON.stringify(await reading(service)) === JSON.stringify(expected.toSorted());
    });
  const ofSecond = [`${second} example:3001`, `${second} other:3002`];
  await become('single', [`${first} example:3000`]);
  await become('double', [`${first} example:3000`, `${first} other:3001`, ...ofSecond]);

  await t.core('pods', namespace).delete('pod1');
  await become('single', []);
  await become('double', ofSecond);
  await services.delete('double');
  await become('double', []);
}

/** Many Services of one pod at a time; upstream's thresholds. */
const SERVICES = 60;
const LANES = 10;
const MEDIAN_MS = 20_000;
const P90_MS = 50_000;

async function latency(t: Context): Promise<void> {
  t.needsControllers();
  const namespace = await t.namespace('svcapi');
  const labels = { app: 'latency' };
  await startPod(t, namespace, 'backend', labels, []);
  const watch = await slices(t, namespace).watch({ labelSelector: SERVICE_NAME });
  t.cleanup(() => Promise.resolve(watch.close()));
  const created = new Map<string, number>();
  const took = new Map<string, number>();
  const services = t.core('services', namespace);
  const names = Array.from({ length: SERVICES }, (_, i) => `latency-${i}`);
  const lane = async () => {
    for (let name = names.pop(); name !== undefined; name = names.pop()) {
      // From before the request: what takes long there is seen by who waits as well.
      created.set(name, performance.now());
      await services.create({ metadata: { name }, spec: { selector: labels, ports: [{ port: 80 }] } });
    }
  };
  const creating = Promise.all(Array.from({ length: LANES }, lane));
  while (took.size < SERVICES) {
    const { object } = await watch.until(
      'endpoints of the next Service',
      ({ object: slice }) => (slice.endpoints ?? []).some(({ conditions }: Json) => conditions.ready === true),
      P90_MS,
    );
    const name = object.metadata.labels[SERVICE_NAME] as string;
    if (!took.has(name)) took.set(name, performance.now() - (created.get(name) ?? Number.NaN));
  }
  await creating;
  const sorted = [...took.values()].toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.floor(share * SERVICES)] ?? Number.NaN;
  assert.ok(at(0.5) <= MEDIAN_MS, `the median is ${at(0.5)} ms`);
  assert.ok(at(0.9) <= P90_MS, `nine tenths take up to ${at(0.9)} ms`);
}

export const rows: Rows = {
  'eps-create': (t) => follows(t, ofSlices),
  'endpoints-create': (t) => follows(t, ofEndpoints),
  'svc-latency': latency,
};
