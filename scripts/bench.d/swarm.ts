/** Docker Swarm on the lab's hosts, all of them managers, driven through each engine's API. Services have no network. */
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { must } from '../../test/e2e/harness/command.js';
import type { Lab } from '../../test/e2e/harness/lab.js';
import { eventually } from '../../test/e2e/harness/wait.js';

/** Between two looks at the tasks, in milliseconds (there is no watch on them). */
const POLL_MS = 100;

export interface SwarmTask {
  readonly NodeID?: string;
  readonly DesiredState: string;
  readonly Status: { readonly State: string };
}

interface SwarmNode {
  readonly ID: string;
  readonly Description?: { readonly Hostname?: string };
  readonly ManagerStatus?: { readonly Leader?: boolean };
  readonly Status: { readonly State: string };
}

export class Swarm {
  private image = '';

  constructor(
    private readonly lab: Lab,
    private readonly hosts: readonly number[],
  ) {}

  /** One call of a host's engine; rejects unless the answer is 2xx. */
  engine<T>(host: number, method: string, path: string, body?: unknown, timeoutMs = 60_000): Promise<T> {
    const data = body === undefined ? undefined : JSON.stringify(body);
    const socketPath = this.lab.dockerHost(host).replace('unix://', '');
    const headers =
      data === undefined ? {} : { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(data) };
    return new Promise((resolve, reject) => {
      const signal = AbortSignal.timeout(timeoutMs);
      const sent = request({ socketPath, method, path, headers, signal }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        response.on('error', reject);
        response.on('end', () => {
          const code = response.statusCode ?? 0;
          if (code < 200 || code > 299) reject(new Error(`${method} ${path} on h${host}: ${code} ${text.trim()}`));
          else resolve((text === '' ? undefined : JSON.parse(text)) as T);
        });
      });
      sent.on('error', reject);
      sent.end(data);
    });
  }

  /** Makes the swarm; resolves when all nodes are ready managers. */
  async start(): Promise<void> {
    const [first = 1, ...others] = this.hosts;
    await this.shareImage(first, others);
    const listen = { ListenAddr: '0.0.0.0:2377' };
    await this.engine(first, 'POST', '/swarm/init', { ...listen, AdvertiseAddr: this.lab.address(first) });
    const { JoinTokens } = await this.engine<{ JoinTokens: { Manager: string } }>(first, 'GET', '/swarm');
    for (const host of others) {
      await this.engine(host, 'POST', '/swarm/join', {
        ...listen,
        AdvertiseAddr: this.lab.address(host),
        RemoteAddrs: [`${this.lab.address(first)}:2377`],
        JoinToken: JoinTokens.Manager,
      });
    }
    await this.whole(first);
  }

  /** Gives all hosts the first one's image under its id: one named by id is not looked for in a registry first. */
  private async shareImage(first: number, others: readonly number[]): Promise<void> {
    this.image = (await this.engine<{ Id: string }>(first, 'GET', '/images/busybox:skein/json')).Id;
    const from = this.lab.dockerHost(first);
    for (const host of others) {
      const to = this.lab.dockerHost(host);
      await must('sh', ['-c', `docker -H ${from} save ${this.image} | docker -H ${to} load`]);
    }
  }

  /** Waits until a host sees all nodes as ready managers. */
  async whole(at: number): Promise<void> {
    await eventually('the swarm is whole', 90_000, async () => {
      const nodes = await this.nodes(at);
      return (
        nodes.length === this.hosts.length &&
        nodes.every(({ Status, ManagerStatus }) => Status.State === 'ready' && ManagerStatus)
      );
    });
  }

  async stop(): Promise<void> {
    await Promise.all(this.hosts.map((host) => this.engine(host, 'POST', '/swarm/leave?force=1')));
  }

  nodes(at: number): Promise<SwarmNode[]> {
    return this.engine(at, 'GET', '/nodes');
  }

  /** The host of the leading manager. */
  async leader(at: number): Promise<number> {
    const node = (await this.nodes(at)).find(({ ManagerStatus }) => ManagerStatus?.Leader);
    return Number(node?.Description?.Hostname?.slice(1));
  }

  createService(at: number, name: string, replicas: number): Promise<unknown> {
    const command = ['sh', '-c', 'trap exit TERM; exec sleep 86400'];
    return this.engine(at, 'POST', '/services/create', {
      Name: name,
      TaskTemplate: { ContainerSpec: { Image: this.image, Command: command, StopGracePeriod: 0 } },
      Mode: { Replicated: { Replicas: replicas } },
    });
  }

  tasks(at: number, service: string): Promise<SwarmTask[]> {
    const filters = JSON.stringify({ service: [service], 'desired-state': ['running'] });
    return this.engine(at, 'GET', `/tasks?filters=${encodeURIComponent(filters)}`, undefined, 3_000);
  }

  /** Resolves with the monotonic time at which so many tasks (of those that count) were first seen to run. */
  async running(
    at: number,
    service: string,
    count: number,
    timeoutMs: number,
    counts: (task: SwarmTask) => boolean = () => true,
  ): Promise<number> {
    const endMs = performance.now() + timeoutMs;
    let seen = 0;
    while (performance.now() < endMs) {
      // Without a leader a manager refuses to tell.
      const tasks = await this.tasks(at, service).catch(() => []);
      seen = tasks.filter((task) => task.Status.State === 'running' && counts(task)).length;
      if (seen >= count) return performance.now();
      await sleep(POLL_MS);
    }
    throw new Error(`Swarm: ${seen} of ${count} tasks run after ${timeoutMs} ms`);
  }

  async removeService(at: number, name: string): Promise<void> {
    await this.engine(at, 'DELETE', `/services/${name}`);
    await eventually('containers of the service are gone', 60_000, async () => {
      const filters = encodeURIComponent(JSON.stringify({ label: [`com.docker.swarm.service.name=${name}`] }));
      const left = await Promise.all(
        this.hosts.map((host) => this.engine<unknown[]>(host, 'GET', `/containers/json?all=1&filters=${filters}`)),
      );
      return left.flat().length === 0;
    });
  }
}
