/**
 * Programs that need a majority: candidates that elect a leader by a Lease, as client-go's leaderelection does, and writers
 * of a register that is marked `skein.dev/partition: majority`. Each goes through peers of any part of the cluster and notes
 * what it was told.
 */
import { uuid, type Random } from '../../src/base/random.js';
import type { KubeObject } from '../../src/api/object.js';
import type { ObjectKey } from '../../src/store/object-store.js';
import type { SimCluster, SimPeer } from '../../src/testing/sim-cluster.js';
import { configMap, entriesOf, keyOf, NAMESPACE, registerLog, requestOf } from './clients.js';

/** client-go's defaults (15 s, 10 s, 2 s), shortened alike. */
const LEASE_MS = 3_000;
const RENEW_MS = 2_000;
const RETRY_MS = 400;

const LEASE: ObjectKey = { group: 'coordination.k8s.io', resource: 'leases', namespace: NAMESPACE, name: 'leader' };
export const REGISTER = 'majority-register';

interface Lease extends KubeObject {
  spec?: { holderIdentity?: string; renewTime?: string; leaseTransitions?: number };
}

/** When a candidate believed itself the leader, in true time. */
export interface Term {
  readonly who: string;
  readonly fromMs: number;
  untilMs: number;
}

export interface Append {
  readonly n: number;
  readonly base: string;
  readonly peer: string;
  code: number;
  endMs: number;
}

type Part = Parameters<typeof requestOf>[1];

export class Electors {
  readonly terms: Term[] = [];
  readonly appends: Append[] = [];
  refused = 0;
  private running = 0;
  private stopped = false;

  constructor(
    private readonly cluster: SimCluster,
    private readonly random: Random,
  ) {}

  get idle(): boolean {
    return this.running === 0;
  }

  async prepare(peer: SimPeer): Promise<void> {
    const object = configMap(REGISTER, { log: '' });
    const marked = { ...object, metadata: { ...object.metadata, annotations: { 'skein.dev/partition': 'majority' } } };
    const code = await this.send(peer, { verb: 'create', resource: 'configmaps', name: '', object: marked }, 10_000);
    if (code !== 201) throw new Error(`the register was answered with ${code}`);
  }

  /** A candidate at each peer, and `writers` that go through any. */
  start(writers: number): void {
    for (const peer of this.cluster.peers) void this.run(() => this.campaign(peer));
    for (let i = 0; i < writers; i++) void this.run(() => this.write());
  }

  stop(): void {
    this.stopped = true;
  }

  private async run(body: () => Promise<void>): Promise<void> {
    this.running += 1;
    await body();
    this.running -= 1;
  }

  private get now(): number {
    return this.cluster.clock.monotonicMs();
  }

  /** The code of the answer; 0 when there was none in time. */
  private async send(peer: SimPeer, part: Part, limitMs: number): Promise<number> {
    const { life } = peer;
    if (!life) return 0;
    const id = uuid(this.random);
    const reply = await Promise.race([
      life.replica.write(id, requestOf(id, part)).catch(() => undefined),
      life.gone.then(() => undefined),
      this.cluster.clock.sleep(limitMs).then(() => undefined),
    ]);
    if (reply?.code === 503) this.refused += 1;
    return reply?.code ?? 0;
  }

  /** A consistent read; a failure is `null`. */
  private async read(peer: SimPeer, key: ObjectKey): Promise<KubeObject | undefined | null> {
    const { life } = peer;
    if (!life) return null;
    const { replica } = life;
    return Promise.race([
      replica.barrier().then(
        () => replica.get(key),
        () => null,
      ),
      life.gone.then(() => null),
      this.cluster.clock.sleep(RENEW_MS).then(() => null),
    ]);
  }

  private async campaign(peer: SimPeer): Promise<void> {
    const me = peer.id;
    const observed = { text: '', atMs: 0 };
    let term: Term | undefined;
    while (!this.stopped) {
      await this.cluster.clock.sleep(RETRY_MS * (0.8 + this.random.next() * 0.4));
      const startMs = this.now;
      if (term && startMs >= term.untilMs) term = undefined;
      const won = await this.acquire(peer, me, observed, term !== undefined);
      // It holds the Lease from when it asked; whoever thinks so for longer than `RENEW_MS` gives up.
      if (!won || this.now >= startMs + RENEW_MS) continue;
      if (term && this.now < term.untilMs) term.untilMs = startMs + RENEW_MS;
      else this.terms.push((term = { who: me, fromMs: this.now, untilMs: startMs + RENEW_MS }));
    }
  }

  private async acquire(
    peer: SimPeer,
    me: string,
    observed: { text: string; atMs: number },
    leading: boolean,
  ): Promise<boolean> {
    const present = await this.read(peer, LEASE);
    if (present === null) return false;
    const spec = {
      holderIdentity: me,
      leaseDurationSeconds: LEASE_MS / 1000,
      leaseTransitions: this.random.int(2 ** 30),
    };
    const part = { group: LEASE.group, resource: LEASE.resource, version: 'v1' };
    if (!present) {
      const object = {
        apiVersion: 'coordination.k8s.io/v1',
        kind: 'Lease',
        metadata: { name: LEASE.name, namespace: NAMESPACE },
        spec,
      };
      return (await this.send(peer, { ...part, verb: 'create', name: '', object }, RENEW_MS)) === 201;
    }
    const lease = present as Lease;
    const text = JSON.stringify(lease.spec);
    if (text !== observed.text) Object.assign(observed, { text, atMs: this.now });
    const free = this.now > observed.atMs + LEASE_MS;
    if (!free && !(lease.spec?.holderIdentity === me && leading)) return false;
    const object = { ...structuredClone(lease), spec };
    return (await this.send(peer, { ...part, verb: 'update', name: LEASE.name, object }, RENEW_MS)) === 200;
  }

  private async write(): Promise<void> {
    while (!this.stopped) {
      await this.cluster.clock.sleep(200 * (0.5 + this.random.next()));
      const up = this.cluster.up.filter(({ failed }) => !failed);
      const peer = up[this.random.int(up.length || 1)];
      const present = peer?.life?.replica.get(keyOf('configmaps', REGISTER));
      if (!peer || !present || this.stopped) continue;
      const base = registerLog(present);
      const n = this.appends.length + 1;
      const append: Append = { n, base, peer: peer.id, code: 0, endMs: Infinity };
      this.appends.push(append);
      const object = { ...structuredClone(present), data: { log: [...entriesOf(base), n].join(',') } };
      const part: Part = { verb: 'update', resource: 'configmaps', name: REGISTER, object };
      append.code = await this.send(peer, part, 10_000);
      append.endMs = this.now;
    }
  }

  /** What must hold whatever happened, one line of text for each failure. */
  problems(peer: SimPeer): string[] {
    const problems: string[] = [];
    const terms = this.terms.toSorted((a, b) => a.fromMs - b.fromMs);
    for (const [i, one] of terms.entries()) {
      const other = terms.slice(i + 1).find(({ who, fromMs }) => who !== one.who && fromMs < one.untilMs);
      if (!other) continue;
      const show = ({ who, fromMs, untilMs }: Term) => `${who} ${fromMs.toFixed(0)}-${untilMs.toFixed(0)} ms`;
      problems.push(`two leaders: ${show(one)} and ${show(other)}`);
    }
    const entries = entriesOf(registerLog(peer.replica.get(keyOf('configmaps', REGISTER))));
    for (const { n, base, code, peer: by, endMs } of this.appends) {
      const at = entries.indexOf(n);
      if (code === 200 && at < 0)
        problems.push(`lost: append ${n} by ${by} at ${endMs.toFixed(1)} ms: ${entries.join(',')}`);
      if (code === 503 && at >= 0) problems.push(`append ${n} by ${by} was refused, and is there`);
      if (at >= 0 && entries.slice(0, at).join(',') !== base) {
        problems.push(`append ${n} was based on ${base}, stands in ${entries.join(',')}`);
      }
    }
    return problems;
  }
}
