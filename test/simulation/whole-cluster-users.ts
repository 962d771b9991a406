/** What people and tools do to a cluster of whole agents, through any peer that answers, and what they were told of it. */
import {
  DEPLOYMENTS,
  JOBS,
  NAMESPACES,
  PODS,
  SERVICES,
  STATEFULSETS,
  type ResourceRef,
} from '../../src/api/resource.js';
import { isNotFound } from '../../src/api/errors.js';
import type { KubeObject } from '../../src/api/object.js';
import type { Pod } from '../../src/api/types/core-v1.js';
import type { Random } from '../../src/base/random.js';
import type { Client } from '../../src/client/client.js';
import type { WholeCluster } from '../../src/testing/sim-agent.js';
import type { SimPeer } from '../../src/testing/sim-cluster.js';

export const NAMESPACE = 'default';
export const DEPLOYED = ['web', 'api'] as const;
export const SETS = ['db', 'queue'] as const;

const container = (more: object = {}) => ({ name: 'c', image: 'app:1', ...more });
const labelled = (app: string) => ({ metadata: { labels: { app } } });
const selecting = (app: string) => ({ selector: { matchLabels: { app } } });

const object = (apiVersion: string, kind: string, name: string, spec: object, namespace = NAMESPACE) =>
  ({ apiVersion, kind, metadata: { name, namespace }, spec }) as unknown as KubeObject;

export const deployment = (name: string, replicas: number, namespace = NAMESPACE) =>
  object(
    'apps/v1',
    'Deployment',
    name,
    { replicas, ...selecting(name), template: { ...labelled(name), spec: { containers: [container()] } } },
    namespace,
  );

const statefulSet = (name: string, replicas: number, podManagementPolicy: string) =>
  object('apps/v1', 'StatefulSet', name, {
    replicas,
    serviceName: name,
    podManagementPolicy,
    ...selecting(name),
    template: { ...labelled(name), spec: { containers: [container()] } },
  });

const job = (name: string, completions: number, seconds: number) =>
  object('batch/v1', 'Job', name, {
    completions,
    parallelism: 2,
    backoffLimit: 50,
    template: {
      spec: { restartPolicy: 'Never', containers: [container({ command: ['sh', '-c', `sleep ${seconds}; exit 0`] })] },
    },
  });

const service = (name: string, spec: object = {}) =>
  object('v1', 'Service', name, { selector: { app: name }, ports: [{ port: 80 }], ...spec });

type Act = (users: Users, n: number) => Promise<void>;

/** The workloads there are from the beginning, then a stream of changes. What a user was told is remembered. */
export class Users {
  /** Wished replicas as last acknowledged, by resource and name; undefined while an outcome is unknown. */
  readonly wished = new Map<string, number | undefined>();
  /** Uids whose deletion was acknowledged. */
  readonly deleted = new Map<string, string>();
  readonly created: { readonly resource: ResourceRef; readonly name: string }[] = [];
  acknowledged = 0;
  failed = 0;
  private busy = 0;
  private stopped = false;

  constructor(
    private readonly cluster: WholeCluster,
    readonly random: Random,
  ) {}

  get idle(): boolean {
    return this.busy === 0;
  }

  async prepare(): Promise<void> {
    for (const [i, name] of DEPLOYED.entries()) {
      await this.create(DEPLOYMENTS, deployment(name, 4 - i));
      this.wished.set(`deployments/${name}`, 4 - i);
      await this.create(SERVICES, service(name, i === 0 ? { type: 'NodePort' } : {}));
    }
    for (const [i, name] of SETS.entries()) {
      await this.create(STATEFULSETS, statefulSet(name, 3, i === 0 ? 'OrderedReady' : 'Parallel'));
      this.wished.set(`statefulsets/${name}`, 3);
      await this.create(SERVICES, service(name, { clusterIP: 'None' }));
    }
    await this.create(JOBS, job('first', 4, 3));
  }

  /** Acts every now and then until {@link stop}; nobody waits for an answer longer than the API makes them. */
  start(users: number): void {
    for (let i = 0; i < users; i++) void this.live();
  }

  stop(): void {
    this.stopped = true;
  }

  private async live(): Promise<void> {
    this.busy++;
    const { clock } = this.cluster.sim;
    for (let n = 0; !this.stopped; n++) {
      await clock.sleep(500 + this.random.int(4_000));
      const act = ACTS[this.random.int(ACTS.length)] as Act;
      try {
        await act(this, this.random.int(1_000_000));
        this.acknowledged++;
      } catch {
        this.failed++;
      }
    }
    this.busy--;
  }

  /** The API of a peer that is up; of a process that dies meanwhile no answer comes, so that the user gives up. */
  private note(what: string): void {
    const { clock, options } = this.cluster.sim;
    options.onLog?.(clock.monotonicMs(), '*', 'user', what);
  }

  private async ask<T>(fn: (client: Client, peer: SimPeer) => Promise<T>): Promise<T> {
    const { up } = this.cluster.sim;
    const peer = up[this.random.int(up.length)];
    if (!peer?.life) throw new Error('nobody is there');
    const gone = peer.life.gone.then((): never => {
      throw new Error('the connection is gone');
    });
    return Promise.race([fn(this.cluster.clientOf(peer), peer), gone]);
  }

  create(resource: ResourceRef, value: KubeObject): Promise<KubeObject> {
    return this.ask((client) => client.create(resource, value));
  }

  async scale(resource: ResourceRef, name: string, replicas: number): Promise<void> {
    const key = `${resource.resource}/${name}`;
    this.wished.set(key, undefined);
    await this.ask((client) => client.patch(resource, NAMESPACE, name, 'merge', { spec: { replicas } }));
  }

  async rollOut(name: string, n: number): Promise<void> {
    const template = { spec: { containers: [container({ image: `app:${1 + (n % 2)}` })] } };
    await this.ask((client) => client.patch(DEPLOYMENTS, NAMESPACE, name, 'strategic', { spec: { template } }));
  }

  async delete(resource: ResourceRef, namespace: string, name: string): Promise<void> {
    await this.ask(async (client) => {
      const present = await client.get(resource, namespace, name);
      const uid = present.metadata.uid ?? '';
      await client.delete(resource, namespace, name, {
        preconditions: { uid },
        propagationPolicy: this.random.int(2) === 0 ? 'Background' : 'Foreground',
      });
      this.forget(uid, `${resource.resource}/${name}`);
    });
  }

  async deleteSomePod(n: number): Promise<void> {
    await this.ask(async (client, peer) => {
      const { items } = await client.list<Pod>(PODS, { namespace: NAMESPACE, resourceVersion: '0' });
      const pod = items[n % Math.max(1, items.length)];
      if (!pod) return;
      try {
        await client.delete(PODS, NAMESPACE, pod.metadata.name ?? '', {
          preconditions: { uid: pod.metadata.uid ?? '' },
        });
        // What another part says of a pod that it cannot reach is a guess, which gives way to what its own part has.
        const present = peer.replica.view?.members.includes(pod.spec?.nodeName ?? '');
        if (present) this.forget(pod.metadata.uid ?? '', `pods/${pod.metadata.name ?? ''}`);
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
    });
  }

  private forget(uid: string, what: string): void {
    this.deleted.set(uid, what);
    this.note(`deleted ${what} ${uid}`);
  }

  async createNamed(resource: ResourceRef, value: KubeObject): Promise<void> {
    await this.create(resource, value);
    this.created.push({ resource, name: value.metadata.name ?? '' });
  }

  async deleteSome(resource: ResourceRef): Promise<void> {
    const mine = this.created.filter((one) => one.resource === resource);
    const chosen = mine[this.random.int(mine.length)];
    if (!chosen) return;
    await this.delete(resource, resource === NAMESPACES ? '' : NAMESPACE, chosen.name);
    this.created.splice(this.created.indexOf(chosen), 1);
  }
}

const chosen = <T>(list: readonly T[], n: number): T => list[n % list.length] as T;

const ACTS: readonly Act[] = [
  (users, n) => users.scale(DEPLOYMENTS, chosen(DEPLOYED, n), 1 + (n % 6)),
  (users, n) => users.scale(DEPLOYMENTS, chosen(DEPLOYED, n), 2 + (n % 3)),
  (users, n) => users.scale(STATEFULSETS, chosen(SETS, n), 1 + (n % 4)),
  (users, n) => users.rollOut(chosen(DEPLOYED, n), n),
  (users, n) => users.deleteSomePod(n),
  (users, n) => users.deleteSomePod(n),
  (users, n) => users.createNamed(JOBS, job(`job-${n}`, 1 + (n % 4), 1 + (n % 5))),
  (users, n) => users.createNamed(SERVICES, service(`svc-${n}`, n % 2 === 0 ? { type: 'NodePort' } : {})),
  (users, n) => users.createNamed(DEPLOYMENTS, deployment(`app-${n}`, 1 + (n % 3))),
  async (users, n) => {
    const name = `space-${n}`;
    await users.createNamed(NAMESPACES, {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name },
    });
    await users.create(DEPLOYMENTS, deployment('inside', 2, name));
  },
  (users) => users.deleteSome(JOBS),
  (users) => users.deleteSome(SERVICES),
  (users) => users.deleteSome(DEPLOYMENTS),
  (users) => users.deleteSome(NAMESPACES),
];
