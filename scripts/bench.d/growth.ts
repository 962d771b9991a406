/** What one object costs after ever more writes: size of its record, time of a write, memory. All must stay as they are. */
import { createKindPolicies } from '../../src/agent/kind-policies.js';
import type { KubeObject } from '../../src/api/object.js';
import { KindRegistry } from '../../src/api/schema/registry.js';
import { freezeObject } from '../../src/store/frozen-object.js';
import { afterPut, decodeRecord, encodeRecord, type ObjectRecord } from '../../src/store/record.js';
import { StampClock } from '../../src/store/stamp.js';
import { median, round, type Bench, type Context, type Figure } from './bench.js';

const KEY = 'apps/deployments/default/web';
const MARKS = [100, 2_000, 20_000];
/** Writes timed before each mark: several rounds from one squashing to the next. */
const TIMED = 90;
const OBJECTS = 1_000;

/** Each write changes another part of what people and controllers change of a Deployment. */
function deployment(revision: number): KubeObject {
  const container = {
    name: 'main',
    image: `registry.example/team/app:1.2.${revision - (revision % 3)}`,
    env: Array.from({ length: 10 }, (_, i) => ({ name: `SETTING_${i}`, value: `value ${i}` })),
    resources: { requests: { cpu: '100m', memory: '128Mi' } },
    ports: [{ containerPort: 8080 }],
  };
  const labels = { app: 'web' };
  return freezeObject({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: {
      name: 'web',
      namespace: 'default',
      uid: 'web',
      resourceVersion: String(revision),
      labels,
      annotations: { [`example.com/note-${revision % 5}`]: `${revision}` },
    },
    spec: {
      replicas: revision % 7,
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [container] } },
    },
  } as KubeObject);
}

function heapMiB(): number {
  globalThis.gc?.();
  const { heapUsed, external } = process.memoryUsage();
  return (heapUsed + external) / 2 ** 20;
}

function run(context: Context): Promise<Figure[]> {
  const policy = createKindPolicies(KindRegistry.load()).policyOf('apps', 'deployments');
  const stamps = new StampClock('bench', () => 1_700_000_000_000);
  const figures: Figure[] = [];
  let record: ObjectRecord | undefined;
  let times: number[] = [];
  for (let revision = 1; revision <= Math.max(...MARKS); revision++) {
    const value = deployment(revision);
    const stamp = stamps.next();
    const beganMs = performance.now();
    record = afterPut(record, KEY, value, revision, stamp, policy);
    times.push(performance.now() - beganMs);
    if (!MARKS.includes(revision)) continue;
    const encoded = encodeRecord(record);
    const timed = times.slice(-TIMED);
    times = [];
    const mean = timed.reduce((sum, ms) => sum + ms, 0) / timed.length;
    const what = `after ${revision.toLocaleString('en-US')} writes to one Deployment`;
    const document = `${record.document?.length ?? 0} of them the document`;
    figures.push(
      { what: `record ${what}`, unit: 'bytes', better: 'lower', skein: encoded.length, note: document },
      {
        what: `a write ${what}`,
        unit: 'ms',
        better: 'lower',
        skein: round(mean, 3),
        note: `mean of ${TIMED}; median ${round(median(timed) ?? 0, 3)}`,
      },
    );
    context.log(`${what}: ${encoded.length} bytes, ${round(mean, 3)} ms a write`);
  }
  const bytes = encodeRecord(record as ObjectRecord);
  const before = heapMiB();
  const held = Array.from({ length: OBJECTS }, () => decodeRecord(bytes));
  const memory = heapMiB() - before;
  const note = `${held.length} after ${Math.max(...MARKS).toLocaleString('en-US')} writes each`;
  figures.push({
    what: `memory of ${OBJECTS} such objects`,
    unit: 'MiB',
    better: 'lower',
    skein: round(memory, 1),
    note,
  });
  return Promise.resolve(figures);
}

export const growth: Bench = {
  name: 'growth',
  about: 'size, memory and cost of a write of one object after up to 20,000 writes',
  hosts: false,
  limitSeconds: 240,
  run,
};
