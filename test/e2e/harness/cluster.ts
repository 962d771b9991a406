/**
 * A cluster of agents on real hosts, for one suite: {@link useCluster} brings it up once and tears it down whatever
 * happens; after each failed test the ends of the agents' logs are printed.
 */
import assert from 'node:assert/strict';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Agent } from './agent.js';
import { Api, type Json } from './api.js';
import type { Result } from './command.js';
import { kubectl, type KubectlOptions } from './kubectl.js';
import { Lab, noHostsReason, ROOT } from './lab.js';
import { eventually } from './wait.js';
import { dump, loudlySkipped } from './report.js';

export class Cluster {
  readonly lab = new Lab();
  readonly agents: Agent[] = [];
  readonly logDir = process.env['SKEIN_E2E_LOGS'] ?? join(tmpdir(), `skein-e2e-${process.pid}`);
  private readonly apis = new Map<string, Api>();

  /** Starts the hosts without agents. */
  async openHosts(count: number): Promise<void> {
    await mkdir(this.logDir, { recursive: true });
    await this.lab.up(count);
    for (let host = 1; host <= count; host++) {
      this.agents.push(new Agent(this.lab, host, join(this.logDir, `h${host}.log`)));
    }
  }

  /** Starts hosts and agents; the first founds, the others join. Resolves when all nodes are ready. */
  async open(count: number): Promise<void> {
    await this.openHosts(count);
    await this.startAgents();
  }

  /** The first agent founds, the others join. Resolves when all nodes are ready. */
  async startAgents(timeoutMs = 30_000): Promise<void> {
    const [first, ...others] = this.agents as [Agent, ...Agent[]];
    await first.start();
    await this.ready(1, timeoutMs);
    const token = others.length > 0 ? await first.createToken() : '';
    await Promise.all(others.map((agent) => agent.start('--join', token)));
    await this.allReady(timeoutMs);
  }

  async close(): Promise<void> {
    for (const api of this.apis.values()) api.close();
    this.apis.clear();
    await Promise.all(this.agents.map((agent) => agent.kill()));
    await this.lab.down();
  }

  /** Removes the logs; they stay where a test failed. */
  async forgetLogs(): Promise<void> {
    if (!process.env['SKEIN_E2E_LOGS']) await rm(this.logDir, { recursive: true, force: true });
  }

  agent(host: number): Agent {
    const agent = this.agents[host - 1];
    assert(agent, `there is no agent ${host}`);
    return agent;
  }

  /** Any agent's kubeconfig serves for all peers. */
  get kubeconfig(): string {
    return this.agent(1).kubeconfig;
  }

  async api(host: number): Promise<Api> {
    const { address } = this.agent(host);
    const present = this.apis.get(address);
    if (present) return present;
    const api = await Api.open(this.kubeconfig, address);
    this.apis.set(address, api);
    return api;
  }

  kubectl(host: number, args: readonly string[], options: KubectlOptions = {}): Promise<Result> {
    return kubectl(this.kubeconfig, this.agent(host).address, args, options);
  }

  /** Runs kubectl; rejects unless it ends with 0. */
  async kubectlMust(host: number, args: readonly string[], options: KubectlOptions = {}): Promise<string> {
    const { code, stdout, stderr } = await this.kubectl(host, args, options);
    assert.equal(code, 0, `kubectl ${args.join(' ')} ended with ${code}: ${stderr}${stdout}`);
    return stdout;
  }

  /** Applies an example of `config/examples`. */
  async applyExample(host: number, name: string, ...flags: string[]): Promise<string> {
    return this.kubectlMust(host, ['apply', '-f', join(ROOT, 'config/examples', name), ...flags]);
  }

  example(name: string): Promise<string> {
    return readFile(join(ROOT, 'config/examples', name), 'utf8');
  }

  /** Waits until a peer serves and its node is Ready. */
  async ready(host: number, timeoutMs = 30_000): Promise<void> {
    const agent = this.agent(host);
    await eventually(`peer ${agent.name} is ready`, timeoutMs, async () => {
      assert(agent.running, `the agent ended:\n${await agent.logTail(5)}`);
      const api = await this.api(host);
      return (await this.nodeIsReady(api, agent.name)) || undefined;
    });
  }

  async nodeIsReady(api: Api, name: string): Promise<boolean> {
    const node = await api.get(`/api/v1/nodes/${name}`);
    const ready = node.status.conditions?.find(({ type }: Json) => type === 'Ready');
    return ready?.status === 'True' && !node.spec.taints?.length;
  }

  /** Waits until every running agent serves, and sees the nodes of all running agents as ready and the same revision. */
  async allReady(timeoutMs = 30_000): Promise<void> {
    const running = this.agents.filter((agent) => agent.running);
    await eventually('all peers are ready', timeoutMs, async () => {
      for (const agent of this.agents.filter((one) => running.includes(one))) {
        assert(agent.running, `the agent of ${agent.name} ended:\n${await agent.logTail(5)}`);
        const api = await this.api(agent.host);
        for (const other of running) if (!(await this.nodeIsReady(api, other.name))) return undefined;
        // Served by the peers of one component: the same holder of the api role everywhere.
        const { view } = await api.get('/skein/v1/status');
        if (view === null || view.members.length !== running.length) return undefined;
      }
      return true;
    });
  }

  /** Everything as at the start: cables in, agents up, nothing in the namespaces of earlier tests. */
  async restore(): Promise<void> {
    await this.lab.join();
    for (const agent of this.agents) {
      await this.lab.heal(agent.host);
      if (!agent.running) await agent.start();
    }
    try {
      await this.allReady(60_000);
    } catch (error) {
      dump(await this.describe());
      throw error;
    }
  }

  /** The host whose agent holds a role, as the Lease says. */
  async holder(role: 'api' | 'scheduler' | 'controllers', at: number): Promise<number> {
    const api = await this.api(at);
    const { spec } = await api.get(`/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/skein-${role}`);
    const agent = this.agents.find(({ name }) => name === spec.holderIdentity);
    assert(agent, `the holder of ${role} is ${spec.holderIdentity}`);
    return agent.host;
  }

  async createNamespace(name: string, at: number): Promise<void> {
    await (
      await this.api(at)
    ).call('POST', '/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
  }

  /** Running and ready pods with a label, optionally on given nodes. */
  async readyPods(at: number, namespace: string, labels: string, nodes?: readonly string[]): Promise<Json[]> {
    const pods = await (await this.api(at)).list(`/api/v1/namespaces/${namespace}/pods?labelSelector=${labels}`);
    return pods.filter(
      ({ metadata, spec, status }) =>
        !metadata.deletionTimestamp &&
        (!nodes || nodes.includes(spec.nodeName)) &&
        status.conditions?.some(({ type, status: value }: Json) => type === 'Ready' && value === 'True'),
    );
  }

  /** Waits until a Deployment's rollout is complete, as `kubectl rollout status` judges. */
  async rolledOut(at: number, namespace: string, name: string, timeoutMs: number): Promise<number> {
    const { tookMs } = await eventually(`deployment ${name} is rolled out`, timeoutMs, async () => {
      const { metadata, spec, status } = await (
        await this.api(at)
      ).get(`/apis/apps/v1/namespaces/${namespace}/deployments/${name}`);
      return (
        status.observedGeneration === metadata.generation &&
        status.updatedReplicas === spec.replicas &&
        status.replicas === spec.replicas &&
        status.availableReplicas === spec.replicas
      );
    });
    return tookMs;
  }

  /** For the report of a failed test. */
  async describe(): Promise<string> {
    const parts: string[] = [];
    for (const agent of this.agents) {
      parts.push(
        `--- ${agent.name} (${agent.running ? 'runs' : 'down'}), end of ${agent.logFile}:`,
        await agent.logTail(),
      );
      parts.push(`--- status of ${agent.name}: ${await this.statusText(agent.host)}`);
    }
    return parts.join('\n');
  }

  private async statusText(host: number): Promise<string> {
    try {
      const api = await this.api(host);
      return (await api.send('GET', '/skein/v1/status', undefined, { timeoutMs: 1_000 })).text;
    } catch (error) {
      return (error as Error).message;
    }
  }
}

/** Declares set-up and tear-down of a cluster for the enclosing suite; skipped, loudly, where there can be no hosts. */
export function useCluster(count: number, { agents = true }: { agents?: boolean } = {}): Cluster {
  const cluster = new Cluster();
  let failed = false;
  before('hosts and agents are up', async function () {
    this.timeout(180_000);
    const reason = noHostsReason();
    if (reason !== undefined) {
      loudlySkipped(reason);
      this.skip();
    }
    try {
      await (agents ? cluster.open(count) : cluster.openHosts(count));
    } catch (error) {
      failed = true;
      dump(await cluster.describe());
      throw error;
    }
  });
  afterEach('show the logs of a failure', async function () {
    this.timeout(10_000);
    if (this.currentTest?.state !== 'failed') return;
    failed = true;
    dump(await cluster.describe());
  });
  after('hosts and agents are gone', async function () {
    this.timeout(120_000);
    if (noHostsReason() !== undefined) return;
    await cluster.close();
    if (!failed) await cluster.forgetLogs();
  });
  return cluster;
}
