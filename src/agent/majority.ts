/**
 * Keeps what must never exist twice to the part of the cluster that holds a majority of the registered peers: an executor in
 * front of the write path, which sees what a write would change and refuses the whole of it. Which objects those are says
 * `partitions.ts`; who is registered, and why no two parts hold a majority at once, `store/replication/peer-registry.ts`.
 */
import type { Counter, Metrics } from '../base/metrics.js';
import { ApiError } from '../api/errors.js';
import type { KubeObject } from '../api/object.js';
import type { KindPolicies, Partition } from '../store/kind-policy.js';
import type { ObjectKey, WriteExecutor, WriteReply, WriteTransaction } from '../store/object-store.js';
import { REGISTRY_OBJECT, type PeerRegistry, type Standing } from '../store/replication/peer-registry.js';
import { majorityState, withoutMajority, type MajorityState } from './majority-state.js';
import { removePeer, type PeerRemoval } from './peer-removal.js';

/** How soon a refused client may try again, in seconds. */
const RETRY_AFTER_SECONDS = 5;

export interface MajorityDeps {
  readonly policies: KindPolicies;
  readonly metrics: Metrics;
  /** Undefined unless this peer is the sequencer. */
  readonly standing: () => Standing | undefined;
}

/** What the guard looks at of a request. */
interface Request extends Partial<PeerRemoval> {
  readonly subresource?: string;
  readonly group?: string;
  readonly resource?: string;
  readonly namespace?: string;
  readonly name?: string;
  readonly dryRun?: boolean;
  /** Set on writes of control-plane roles. */
  readonly fence?: unknown;
}

const registryIn = (transaction: WriteTransaction) => transaction.get(REGISTRY_OBJECT) as PeerRegistry | undefined;

/** The executor behind the guard. */
export function majorityExecutor(executor: WriteExecutor, deps: MajorityDeps): WriteExecutor {
  const refusals = deps.metrics.counter(
    'skein_majority_refusals_total',
    'Writes refused because this part of the cluster holds no majority of the registered peers, by resource',
    ['resource'],
  );
  return (transaction, submitted): WriteReply => {
    const standing = deps.standing();
    if (!standing) return executor(transaction, submitted);
    const request = submitted as Request;
    if (request.removePeer) return removePeer(transaction, standing, request.removePeer);
    const guard = new Guard(transaction, request, deps.policies, standing, refusals);
    const reply = executor(guard, submitted);
    return guard.concluded(reply);
  };
}

class Guard implements WriteTransaction {
  readonly nowMs: number;
  private refusal: ApiError | undefined;
  /** Something was written that needs the majority. */
  private needed = false;
  private held = false;
  private wrote = false;
  private state: MajorityState | undefined;

  constructor(
    private readonly inner: WriteTransaction,
    private readonly request: Request,
    private readonly policies: KindPolicies,
    private readonly standing: Standing,
    private readonly refusals: Counter,
  ) {
    this.nowMs = inner.nowMs;
  }

  get(key: ObjectKey): KubeObject | undefined {
    return this.inner.get(key);
  }

  list(group: string, resource: string, namespace?: string): readonly KubeObject[] {
    return this.inner.list(group, resource, namespace);
  }

  put(key: ObjectKey, object: KubeObject): KubeObject {
    this.check(key, this.inner.get(key), object);
    return this.inner.put(key, object);
  }

  delete(key: ObjectKey): KubeObject | undefined {
    this.check(key, this.inner.get(key), undefined);
    return this.inner.delete(key);
  }

  concluded(reply: WriteReply): WriteReply {
    if (reply.code < 300 && !this.wrote) this.checkUnchanged();
    const { refusal } = this;
    if (refusal) return { code: refusal.code, body: refusal.toStatus(), warnings: reply.warnings };
    const warnings = this.held ? [...reply.warnings, this.heldText()] : reply.warnings;
    return this.needed ? { ...reply, warnings, majority: true } : { ...reply, warnings };
  }

  /** That nothing had to be changed is an answer about the newest state too: an elected leader rests on it. */
  private checkUnchanged(): void {
    const { group, resource, namespace = '', name, dryRun } = this.request;
    if (group === undefined || resource === undefined || !name || dryRun) return;
    const present = this.inner.get({ group, resource, namespace, name });
    if (!present) return;
    try {
      this.check({ group, resource, namespace, name }, present, present);
    } catch (error) {
      if (error !== this.refusal) throw error;
    }
  }

  private check(key: ObjectKey, before: KubeObject | undefined, after: KubeObject | undefined): void {
    this.wrote = true;
    if (this.request.subresource === 'status') return;
    const partition = this.strictest(key, before, after);
    if (partition === 'replicate') return;
    if (partition === 'majority') {
      this.needed = true;
      if (!this.majority.held) this.refuse(key, `${withoutMajority(this.majority)}: it may read this, not change it`);
      return;
    }
    if (this.majority.held) return;
    // Roles decide for the cluster; its user, and a node about its own pods, know what they do.
    if (this.request.fence !== undefined && key.group === '' && key.resource === 'pods') {
      this.refuse(key, `${withoutMajority(this.majority)}: such pods are left as they are`);
    }
    this.held = true;
  }

  /** The policy of what was and of what will be: neither an annotation nor its removal gets around the other. */
  private strictest(key: ObjectKey, before: KubeObject | undefined, after: KubeObject | undefined): Partition {
    const get = (other: ObjectKey) => this.inner.get(other);
    const of = (object: KubeObject | undefined) =>
      (object && this.policies.partitionOf?.(key, object, get)) ?? 'replicate';
    const one = of(before);
    const two = after === before ? one : of(after);
    if (one === 'majority' || two === 'majority') return 'majority';
    return one === 'hold' || two === 'hold' ? 'hold' : 'replicate';
  }

  private get majority(): MajorityState {
    return (this.state ??= majorityState(registryIn(this.inner), this.standing.voters));
  }

  private refuse({ resource, name }: ObjectKey, why: string): never {
    this.refusals.inc({ resource });
    this.refusal = new ApiError(503, 'ServiceUnavailable', `cannot write ${resource} "${name}": ${why}`, {
      retryAfterSeconds: RETRY_AFTER_SECONDS,
    });
    throw this.refusal;
  }

  private heldText(): string {
    return `${withoutMajority(this.majority)}: this is stored, but its pods are left as they are until it has one`;
  }
}
