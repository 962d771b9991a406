/** Three hosts for a benchmark: skein's agents on them, or a peer's programs, one after the other. */
import { readFile } from 'node:fs/promises';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { parse } from 'yaml';
import { Cluster } from '../../test/e2e/harness/cluster.js';
import type { Context } from './bench.js';

export const HOSTS = [1, 2, 3] as const;

/** Hosts with a skein cluster on them, gone when the benchmark ends. */
export async function openCluster(context: Context): Promise<Cluster> {
  const cluster = new Cluster();
  // The agents' logs stay where SKEIN_E2E_LOGS says, otherwise they go too.
  context.defer(() => cluster.forgetLogs());
  context.defer(() => cluster.close());
  await cluster.open(HOSTS.length);
  return cluster;
}

/** Stops all agents; containers stay. */
export async function stopAgents({ agents }: Cluster): Promise<void> {
  await Promise.all(agents.map((agent) => agent.stop()));
}

/** Starts the agents that do not run, and waits for a whole cluster. */
export async function startAgents(cluster: Cluster): Promise<void> {
  await Promise.all(cluster.agents.filter(({ running }) => !running).map((agent) => agent.start()));
  await cluster.allReady(60_000);
}

/** Lets background work of a start or a clean-up end before something is measured. */
export const settle = (ms = 3_000): Promise<void> => sleep(ms);

/** What a TLS connection as the administrator needs. */
export async function credentials(kubeconfig: string): Promise<{ ca: Buffer; cert: Buffer; key: Buffer }> {
  const { clusters, users } = parse(await readFile(kubeconfig, 'utf8')) as {
    clusters: [{ cluster: Record<string, string> }];
    users: [{ user: Record<string, string> }];
  };
  const decode = (text: string | undefined) => Buffer.from(text ?? '', 'base64');
  return {
    ca: decode(clusters[0].cluster['certificate-authority-data']),
    cert: decode(users[0].user['client-certificate-data']),
    key: decode(users[0].user['client-key-data']),
  };
}

export interface WatchedPod {
  readonly metadata: { readonly name: string; readonly deletionTimestamp?: string };
  readonly spec: { readonly nodeName?: string };
  readonly status: { readonly phase?: string; readonly conditions?: readonly { type: string; status: string }[] };
}

/** The pods of a watch, kept current, and when a condition on them first held. */
export class PodWatch {
  private readonly pods = new Map<string, WatchedPod>();
  private waiting: { holds: (pods: readonly WatchedPod[]) => boolean; resolve: (atMs: number) => void }[] = [];
  private end: () => void = () => undefined;

  /** Watches pods with a label through one peer. Resolves when the watch has begun. */
  static async open(cluster: Cluster, host: number, labels: string): Promise<PodWatch> {
    const watch = new PodWatch();
    const agent = new HttpsAgent(await credentials(cluster.kubeconfig));
    const path = `/api/v1/pods?watch=1&resourceVersion=0&labelSelector=${encodeURIComponent(labels)}`;
    await new Promise<void>((resolve, reject) => {
      const sent = httpsRequest({ host: cluster.agent(host).address, port: 6443, path, agent }, (response) => {
        let rest = '';
        response.setEncoding('utf8').on('data', (chunk: string) => {
          const lines = (rest + chunk).split('\n');
          rest = lines.pop() ?? '';
          for (const line of lines) watch.apply(JSON.parse(line) as { type: string; object: WatchedPod });
        });
        response.on('error', () => undefined);
        resolve();
      });
      sent.on('error', reject);
      watch.end = () => sent.destroy();
      sent.end();
    });
    return watch;
  }

  private apply({ type, object }: { type: string; object: WatchedPod }): void {
    if (type === 'DELETED') this.pods.delete(object.metadata.name);
    else if (type === 'ADDED' || type === 'MODIFIED') this.pods.set(object.metadata.name, object);
    this.check();
  }

  private check(): void {
    const pods = [...this.pods.values()];
    const held = this.waiting.filter(({ holds }) => holds(pods));
    this.waiting = this.waiting.filter((one) => !held.includes(one));
    for (const { resolve } of held) resolve(performance.now());
  }

  /** Resolves with the monotonic time at which the condition first held; rejects after `timeoutMs`. */
  async until(what: string, timeoutMs: number, holds: (pods: readonly WatchedPod[]) => boolean): Promise<number> {
    const seen = new Promise<number>((resolve) => this.waiting.push({ holds, resolve }));
    this.check();
    const late = AbortSignal.timeout(timeoutMs);
    return Promise.race([
      seen,
      new Promise<never>((_resolve, reject) => {
        const state = () =>
          [...this.pods.values()].map(({ spec, status }) => `${spec.nodeName} ${status.phase}`).join(', ');
        late.addEventListener('abort', () => reject(new Error(`${what}: not within ${timeoutMs} ms: ${state()}`)));
      }),
    ]);
  }

  close(): void {
    this.end();
  }
}

export const isRunning = ({ metadata, status }: WatchedPod): boolean =>
  !metadata.deletionTimestamp && status.phase === 'Running';

export const isReady = (pod: WatchedPod): boolean =>
  isRunning(pod) && (pod.status.conditions ?? []).some(({ type, status }) => type === 'Ready' && status === 'True');

/** A Deployment of the lab's busybox image; `web`: each pod serves its name on port 8080 and is probed. */
export function deployment(name: string, replicas: number, web = false): object {
  const command = web ? 'hostname > /www/index.html; exec httpd -f -p 8080 -h /www' : 'exec sleep 86400';
  const probe = { httpGet: { path: '/', port: 8080 }, periodSeconds: 1 };
  const container = {
    name: 'main',
    image: 'busybox:skein',
    command: ['sh', '-c', `trap exit TERM; ${command}`],
    ...(web ? { ports: [{ containerPort: 8080 }], readinessProbe: probe } : {}),
  };
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name },
    spec: {
      replicas,
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name } },
        spec: { terminationGracePeriodSeconds: 0, containers: [container] },
      },
    },
  };
}

export const DEPLOYMENTS = '/apis/apps/v1/namespaces/default/deployments';

/** Removes a Deployment and waits until its pods are gone. */
export async function removeDeployment(cluster: Cluster, host: number, name: string): Promise<void> {
  const api = await cluster.api(host);
  await api.call('DELETE', `${DEPLOYMENTS}/${name}`);
  const watch = await PodWatch.open(cluster, host, `app=${name}`);
  try {
    await watch.until(`pods of ${name} are gone`, 60_000, (pods) => pods.length === 0);
  } finally {
    watch.close();
  }
}
