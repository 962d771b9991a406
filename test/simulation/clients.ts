/**
 * Clients of a simulated cluster: they write through random peers, through the real write path, and record what they were
 * told. Every write leaves a mark of its own, so that the end state tells which writes are in it.
 */
import type { KubeObject } from '../../src/api/object.js';
import { uuid, type Random } from '../../src/base/random.js';
import { SYSTEM_USER } from '../../src/control/apiserver/writes/executor.js';
import type { WriteRequest } from '../../src/control/apiserver/writes/write-request.js';
import { StoreUnavailable, type ObjectKey, type WriteReply } from '../../src/store/object-store.js';
import type { Life, SimCluster, SimPeer } from '../../src/testing/sim-cluster.js';

/** One operation as a client saw it. */
export interface Operation {
  readonly n: number;
  readonly kind: 'grow' | 'env' | 'label' | 'append' | 'create' | 'delete' | 'contest' | 'read' | 'vote';
  readonly name: string;
  readonly peer: string;
  readonly startMs: number;
  endMs: number;
  /** Its place in the order of all beginnings and ends, for in virtual time many things happen at once. Infinity: has no end. */
  readonly began: number;
  ended: number;
  /** HTTP code; 0 when the outcome is unknown (no answer, or an answer that says so). */
  code: number;
  uid: string;
  /** What a read saw. */
  seen: string;
  /** Of the objects that are written by `grow`, what the answer showed: their keys by their names. */
  grown: ReadonlyMap<string, readonly string[]>;
  /** The version of what was answered; 0 when the answer has none. */
  revision: number;
  /** The base of a compare-and-set. */
  base: string;
}

/** How often each kind of operation is done, against the others. */
export type Mix = Readonly<Record<Operation['kind'], number>>;

const USUAL: Mix = {
  grow: 18,
  vote: 7,
  env: 15,
  label: 10,
  append: 20,
  create: 10,
  delete: 7,
  contest: 5,
  read: 16,
};
const KINDS = Object.keys(USUAL) as readonly Operation['kind'][];

/**
 * Some kinds not at all, and some far more often than usual: a short history meets only what is done often in it, and what hides
 * behind other operations shows when they are left out (Groce et al., "Swarm testing", 2012).
 */
export function drawMix(random: Random): Mix {
  const mix: Record<Operation['kind'], number> = { ...USUAL };
  for (const kind of KINDS) mix[kind] *= [0, 1, 6][random.int(3)] ?? 1;
  return KINDS.some((kind) => mix[kind] > 0) ? mix : USUAL;
}

export const NAMESPACE = 'default';
export const GROW = ['grow-0', 'grow-1'];
export const REGISTERS = ['reg-0', 'reg-1'];
export const DEPLOYMENTS = ['web-0'];
/** Marked `skein.dev/partition: majority`. */
export const VOTED = 'voted-0';
const CHURN = ['churn-0', 'churn-1', 'churn-2'];
const CONTESTED_PODS = ['pod-0', 'pod-1'];

export const keyOf = (resource: string, name: string): ObjectKey => ({
  group: resource === 'deployments' ? 'apps' : '',
  resource,
  namespace: resource === 'namespaces' ? '' : NAMESPACE,
  name,
});

export const configMap = (name: string, data: Record<string, string> = {}) => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, namespace: NAMESPACE },
  data,
});

const deployment = (name: string) => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name, namespace: NAMESPACE },
  spec: {
    replicas: 1,
    selector: { matchLabels: { app: name } },
    template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: 'c', image: 'nginx' }] } },
  },
});

const pod = (name: string) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: NAMESPACE },
  spec: { containers: [{ name: 'c', image: 'nginx' }] },
});

/** What certainly was not done is answered with 503. */
const unavailable = (error: unknown): WriteReply | undefined =>
  error instanceof StoreUnavailable && error.refused ? { code: 503, body: undefined, warnings: [] } : undefined;

type RequestPart = Pick<WriteRequest, 'verb' | 'resource' | 'name'> & Partial<WriteRequest>;

export function requestOf(id: string, part: RequestPart): WriteRequest {
  return {
    id,
    group: part.resource === 'deployments' ? 'apps' : '',
    version: 'v1',
    subresource: '',
    namespace: part.resource === 'namespaces' ? '' : NAMESPACE,
    user: SYSTEM_USER,
    dryRun: false,
    fieldManager: 'client',
    fieldValidation: 'Strict',
    force: false,
    contentType: '',
    ...part,
  };
}

const logOf = (object: KubeObject | undefined): string =>
  (object as { data?: { log?: string } } | undefined)?.data?.log ?? '';

/** The operation numbers in a register, oldest first. */
export const entriesOf = (log: string): number[] => (log === '' ? [] : log.split(',').map(Number));
export const registerLog = logOf;

const keysOf = (object: KubeObject | undefined): string[] =>
  Object.keys((object as { data?: object } | undefined)?.data ?? {});

export class Clients {
  readonly operations: Operation[] = [];
  /** Called with each answer, by the process that gave it. */
  onAnswered: ((operation: Operation, life: Life) => void) | undefined;
  private moments = 0;
  private stopped = false;
  private running = 0;

  constructor(
    private readonly cluster: SimCluster,
    private readonly random: Random,
    private readonly pauseMs: number,
    private readonly staleReads = false,
    private readonly mix = USUAL,
  ) {}

  get idle(): boolean {
    return this.running === 0;
  }

  /** Makes the objects that the others write to. */
  async prepare(peer: SimPeer): Promise<void> {
    const create = async (resource: string, name: string, object: unknown) => {
      const id = uuid(this.random);
      const reply = await peer.replica.write(id, requestOf(id, { verb: 'create', resource, name: '', object }));
      if (reply.code !== 201) throw new Error(`could not create ${resource}/${name}: ${JSON.stringify(reply)}`);
    };
    await create('namespaces', NAMESPACE, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE } });
    for (const name of GROW) await create('configmaps', name, configMap(name));
    for (const name of REGISTERS) await create('configmaps', name, configMap(name, { log: '' }));
    for (const name of DEPLOYMENTS) await create('deployments', name, deployment(name));
    const voted = configMap(VOTED, { log: '' });
    const annotations = { 'skein.dev/partition': 'majority' };
    await create('configmaps', VOTED, { ...voted, metadata: { ...voted.metadata, annotations } });
    // Something to delete from the first moment on.
    await Promise.all(CHURN.map((name) => this.create(peer, 'create', 'configmaps', name)));
  }

  /** Starts `count` clients that write until {@link stop}. */
  start(count: number): void {
    for (let i = 0; i < count; i++) void this.loop();
  }

  stop(): void {
    this.stopped = true;
  }

  private async loop(): Promise<void> {
    this.running += 1;
    while (!this.stopped) {
      await this.cluster.clock.sleep(this.pauseMs * (0.5 + this.random.next()));
      const up = this.cluster.up.filter(({ failed }) => !failed);
      const peer = up[this.random.int(up.length || 1)];
      if (peer?.life && !this.stopped) await this.step(peer);
    }
    this.running -= 1;
  }

  private pick<T>(items: readonly T[]): T {
    return items[this.random.int(items.length)] as T;
  }

  private async step(peer: SimPeer): Promise<void> {
    let dice = this.random.next() * KINDS.reduce((sum, kind) => sum + this.mix[kind], 0);
    const kind = KINDS.find((one) => (dice -= this.mix[one]) < 0) ?? 'grow';
    switch (kind) {
      case 'grow':
        return this.grow(peer);
      case 'vote':
        return this.append(peer, VOTED, 'vote');
      case 'env':
        return this.env(peer);
      case 'label':
        return this.label(peer);
      case 'append':
        return this.append(peer, this.pick(REGISTERS));
      case 'create':
        return this.create(peer, 'create', 'configmaps', this.pick(CHURN));
      case 'delete':
        return this.remove(peer, this.pick(CHURN));
      case 'contest':
        return this.contest(peer);
      case 'read':
        return this.read(peer);
    }
  }

  private begin(kind: Operation['kind'], name: string, peer: SimPeer): Operation {
    const startMs = this.cluster.clock.monotonicMs();
    const n = this.operations.length + 1;
    const operation: Operation = {
      n,
      kind,
      name,
      peer: peer.id,
      startMs,
      endMs: Infinity,
      began: ++this.moments,
      ended: Infinity,
      code: 0,
      uid: '',
      seen: '',
      grown: new Map(),
      revision: 0,
      base: '',
    };
    this.operations.push(operation);
    return operation;
  }

  private end(operation: Operation, code: number, life: Life): void {
    operation.endMs = this.cluster.clock.monotonicMs();
    operation.ended = ++this.moments;
    operation.code = code;
    this.onAnswered?.(operation, life);
  }

  /** Sends one request and notes the answer. A peer that dies meanwhile, or has no sequencer, leaves the outcome open. */
  private async send(operation: Operation, peer: SimPeer, part: RequestPart): Promise<WriteReply | undefined> {
    const { life } = peer;
    if (!life) return undefined;
    const id = uuid(this.random);
    const reply = await Promise.race([
      life.replica.write(id, requestOf(id, part)).catch(unavailable),
      life.gone.then(() => undefined),
    ]);
    // It may have been done all the same, or will be.
    if (!reply || reply.code === 504) return undefined;
    const body = reply.body as KubeObject | undefined;
    if (reply.code < 300) operation.revision = Number(body?.metadata.resourceVersion ?? 0);
    if (operation.kind === 'grow' && reply.code < 300) operation.grown = new Map([[operation.name, keysOf(body)]]);
    this.end(operation, reply.code, life);
    if (reply.code >= 500 && reply.code !== 503) throw new Error(`operation ${operation.n}: ${JSON.stringify(reply)}`);
    if (reply.code < 300 && !body?.metadata) throw new Error(`operation ${operation.n}: an answer without body`);
    operation.uid = body?.metadata.uid ?? '';
    return reply;
  }

  /** A field of its own in a shared map: survives any split. */
  private async grow(peer: SimPeer): Promise<void> {
    const name = this.pick(GROW);
    const operation = this.begin('grow', name, peer);
    const object = { data: { [`k${operation.n}`]: 'v' } };
    await this.send(operation, peer, { verb: 'patch', resource: 'configmaps', name, patch: 'merge', object });
  }

  /** An annotation of its own on a Deployment's pod template. */
  private async env(peer: SimPeer): Promise<void> {
    const name = this.pick(DEPLOYMENTS);
    const operation = this.begin('env', name, peer);
    const env = [{ name: `E${operation.n}`, value: 'v' }];
    const object = { spec: { template: { spec: { containers: [{ name: 'c', env }] } } } };
    await this.send(operation, peer, { verb: 'patch', resource: 'deployments', name, patch: 'strategic', object });
  }

  private async label(peer: SimPeer): Promise<void> {
    const name = this.pick(DEPLOYMENTS);
    const operation = this.begin('label', name, peer);
    const object = { metadata: { labels: { [`l${operation.n}`]: 'v' } } };
    await this.send(operation, peer, { verb: 'patch', resource: 'deployments', name, patch: 'merge', object });
  }

  /** Compare-and-set: appends its number to what was read. */
  private async append(peer: SimPeer, name: string, kind: 'append' | 'vote' = 'append'): Promise<void> {
    const present = peer.life?.replica.get(keyOf('configmaps', name));
    if (!present) return;
    const operation = this.begin(kind, name, peer);
    operation.base = logOf(present);
    const log = [...entriesOf(operation.base), operation.n].join(',');
    const object = { ...structuredClone(present), data: { log } };
    await this.send(operation, peer, { verb: 'update', resource: 'configmaps', name, object });
  }

  private async create(peer: SimPeer, kind: 'create' | 'contest', resource: string, name: string): Promise<void> {
    const operation = this.begin(kind, name, peer);
    const object = resource === 'pods' ? pod(name) : configMap(name, { by: String(operation.n) });
    await this.send(operation, peer, { verb: 'create', resource, name: '', object });
  }

  private async remove(peer: SimPeer, name: string): Promise<void> {
    const operation = this.begin('delete', name, peer);
    const reply = await this.send(operation, peer, { verb: 'delete', resource: 'configmaps', name });
    const status = reply?.body as { details?: { uid?: string } } | undefined;
    operation.uid = status?.details?.uid ?? '';
  }

  /** The same name created through two peers at the same instant. */
  private async contest(peer: SimPeer): Promise<void> {
    const other = this.pick(this.cluster.up);
    const name = `${this.pick(CONTESTED_PODS)}-${this.operations.length}`;
    await Promise.all([this.create(peer, 'contest', 'pods', name), this.create(other, 'contest', 'pods', name)]);
  }

  /** A consistent read of a register, and of what grows. */
  private async read(peer: SimPeer): Promise<void> {
    const { life } = peer;
    if (!life) return;
    const name = this.pick(REGISTERS);
    const operation = this.begin('read', name, peer);
    const upToDate = this.staleReads ? Promise.resolve() : life.replica.barrier();
    const read = upToDate.then(
      () => life.replica.get(keyOf('configmaps', name)),
      () => undefined,
    );
    const object = await Promise.race([read, life.gone.then(() => undefined)]);
    if (!object) return;
    operation.grown = new Map(GROW.map((grown) => [grown, keysOf(life.replica.get(keyOf('configmaps', grown)))]));
    operation.revision = life.replica.revision;
    this.end(operation, 200, life);
    operation.seen = logOf(object);
  }
}
