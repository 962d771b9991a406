/**
 * Replicas of a large state for the benchmark `scale`: real replicas and LevelDB in one process, whose encoded messages are handed
 * over in memory; so what is measured is the store, not the transport.
 */
import { createKindPolicies } from '../../src/agent/kind-policies.js';
import type { KubeObject } from '../../src/api/object.js';
import { KindRegistry } from '../../src/api/schema/registry.js';
import { systemClock } from '../../src/base/clock.js';
import { silentLogger } from '../../src/base/log.js';
import { noMetrics } from '../../src/base/metrics.js';
import { seededRandom } from '../../src/base/random.js';
import { FORMATS } from '../../src/store/formats.js';
import { LevelDisk } from '../../src/store/level-disk.js';
import { START } from '../../src/store/log-entry.js';
import { keyString, type ObjectKey, type WriteExecutor } from '../../src/store/object-store.js';
import { afterPut, deepFreeze, type ObjectRecord } from '../../src/store/record.js';
import { FrameLog } from '../../src/store/replication/frame-log.js';
import { DEFAULT_REPLICA_OPTIONS, type PeerNetwork } from '../../src/store/replication/context.js';
import { Replica } from '../../src/store/replication/replica.js';
import { ReplicaStorage } from '../../src/store/replication/storage.js';
import { StampClock } from '../../src/store/stamp.js';

const policies = createKindPolicies(KindRegistry.load());

/** Of five objects four are Pods. */
const isPod = (number: number) => number % 5 !== 0;

export const keyOf = (number: number): ObjectKey => ({
  group: '',
  resource: isPod(number) ? 'pods' : 'configmaps',
  namespace: `team-${number % 100}`,
  name: `${isPod(number) ? 'web-5d8f9c7b6d' : 'settings'}-${number.toString(36).padStart(5, '0')}`,
});

/** About 3 KB of JSON: a running Pod as a Deployment makes it, or a ConfigMap. `note` is what a write changes. */
export function objectOf(number: number, note: string): KubeObject {
  const { namespace, name } = keyOf(number);
  const metadata = {
    name,
    namespace,
    uid: `00000000-0000-4000-8000-${number.toString(16).padStart(12, '0')}`,
    creationTimestamp: '2026-01-01T00:00:00Z',
    labels: { app: `app-${number % 100}`, 'pod-template-hash': '5d8f9c7b6d' },
    annotations: { 'example.com/note': note },
  };
  if (!isPod(number)) {
    const data = Object.fromEntries(
      Array.from({ length: 20 }, (_, i) => [`setting-${i}`, `value ${i} of ${number} ${'x'.repeat(100)}`]),
    );
    return { apiVersion: 'v1', kind: 'ConfigMap', metadata, data } as KubeObject;
  }
  const time = '2026-01-01T00:00:05Z';
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      ...metadata,
      ownerReferences: [{ apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'web', uid: 'web' }],
    },
    spec: {
      nodeName: `node-${number % 50}`,
      restartPolicy: 'Always',
      serviceAccountName: 'default',
      containers: [
        {
          name: 'main',
          image: 'registry.example/team/app:1.2.3',
          env: Array.from({ length: 20 }, (_, i) => ({ name: `SETTING_${i}`, value: `value ${i} of ${number}` })),
          resources: { requests: { cpu: '100m', memory: '128Mi' }, limits: { memory: '256Mi' } },
          ports: [{ containerPort: 8080, protocol: 'TCP' }],
          readinessProbe: { httpGet: { path: '/ready', port: 8080, scheme: 'HTTP' }, periodSeconds: 10 },
          volumeMounts: [{ name: 'token', mountPath: '/var/run/secrets/kubernetes.io/serviceaccount', readOnly: true }],
        },
      ],
      volumes: [{ name: 'token', projected: { sources: [{ serviceAccountToken: { path: 'token' } }] } }],
    },
    status: {
      phase: 'Running',
      podIP: `10.244.${number % 50}.${number % 250}`,
      conditions: ['Initialized', 'Ready', 'ContainersReady', 'PodScheduled'].map((type) => ({
        type,
        status: 'True',
        lastTransitionTime: time,
      })),
      containerStatuses: [
        { name: 'main', ready: true, restartCount: 0, state: { running: { startedAt: time } }, imageID: 'sha256:0123' },
      ],
    },
  } as unknown as KubeObject;
}

/** Records written in one batch while a store is filled. */
const SEED_BATCH = 2_000;

/** Fills a new store with so many objects, as after that many writes. */
export async function seed(directory: string, size: number): Promise<void> {
  const disk = new LevelDisk(directory);
  await disk.open();
  const storage = new ReplicaStorage(disk, false);
  await storage.load(new FrameLog(), () => undefined);
  const stamps = new StampClock('seed', () => 1_700_000_000_000);
  let records: ObjectRecord[] = [];
  for (let number = 0; number < size; number++) {
    const key = keyOf(number);
    const object = objectOf(number, 'first');
    const revision = number + 1;
    const value = deepFreeze({ ...object, metadata: { ...object.metadata, resourceVersion: String(revision) } });
    const policy = policies.policyOf(key.group, key.resource);
    records.push(afterPut(undefined, keyString(key), value, revision, stamps.next(), policy));
    if (records.length < SEED_BATCH && number + 1 < size) continue;
    const position = { ...START, revision };
    await storage.flush(records, [], position, position);
    records = [];
  }
  await disk.close();
}

/** The request of a write: the object with that note. */
export interface NoteRequest {
  readonly number: number;
  readonly note: string;
}

const execute: WriteExecutor = (transaction, request) => {
  const { number, note } = request as NoteRequest;
  const object = transaction.put(keyOf(number), objectOf(number, note));
  return { code: 200, body: object, warnings: [] };
};

/** Hands messages over between the peers of one process, in order, and counts those of synchronisations. */
export class Wire {
  /** Groups of peers that reach each other. */
  private groups: readonly (readonly string[])[] = [];
  private readonly handlers = new Map<string, (from: string, message: Uint8Array) => void>();
  private readonly listeners = new Set<() => void>();
  syncBytes = 0;
  largest = 0;

  /** Who reaches whom from now on. */
  arrange(...groups: (readonly string[])[]): void {
    this.groups = groups;
    for (const listener of this.listeners) listener();
  }

  forget(): void {
    this.syncBytes = 0;
    this.largest = 0;
  }

  network(self: string): PeerNetwork {
    const alive = () => [...(this.groups.find((group) => group.includes(self)) ?? [self])].toSorted();
    return {
      self,
      alive,
      nameOf: (peer) => peer,
      formatsOf: () => FORMATS,
      send: (to, message) => {
        if (!alive().includes(to)) return false;
        this.count(message);
        setImmediate(() => this.handlers.get(to)?.(self, message));
        return true;
      },
      onMessage: (handler) => {
        this.handlers.set(self, handler);
        return () => this.handlers.delete(self);
      },
      onChange: (listener) => {
        this.listeners.add(listener);
        return () => this.listeners.delete(listener);
      },
    };
  }

  private count(message: Uint8Array): void {
    // The kind is the first thing in a message; decoding all of them would be measured too.
    const isSync = Buffer.from(message.subarray(0, 24)).includes('sync-');
    if (!isSync) return;
    this.syncBytes += message.length;
    this.largest = Math.max(this.largest, message.length);
  }
}

export function createReplica(name: string, directory: string, network: PeerNetwork, mayFound: boolean): Replica {
  return new Replica(
    {
      clock: systemClock,
      random: seededRandom(name.charCodeAt(0)),
      log: silentLogger,
      metrics: noMetrics,
      disk: new LevelDisk(directory),
      network,
      policies,
      executor: execute,
    },
    {
      ...DEFAULT_REPLICA_OPTIONS,
      historyEvents: 10_000,
      logBytes: 64 << 20,
      logFrames: 100_000,
      replies: 10_000,
      tombstoneRetentionMs: 86_400_000,
      flushDelayMs: 100,
      fsync: true,
      mayFound,
    },
  );
}
