/**
 * The scheduler: gives every pending pod a node. A pure core (`Placer` over `ClusterState`) and this thin loop around it.
 *
 * Guarantees: one pod at a time is decided, against a picture that includes all earlier decisions; bindings are written
 * concurrently and a failed one is undone and retried; a pod that fits nowhere says why in an Event and in its condition and is
 * tried again when something changed that may help; where ending pods of lower priority makes room for it, they are ended and the
 * room is kept (`Preemptor`). The API refuses to bind a pod twice, so two schedulers at once (during a takeover) do no harm
 * beyond wasted work.
 */
import type { Cancel, Clock } from '../../base/clock.js';
import { deferred, type Deferred } from '../../base/deferred.js';
import type { Service } from '../../base/lifecycle.js';
import { errorText, type Logger } from '../../base/log.js';
import type { Metrics } from '../../base/metrics.js';
import type { Random } from '../../base/random.js';
import { isNotFound } from '../../api/errors.js';
import type { KubeObject } from '../../api/object.js';
import type { Namespace, Node, Pod, Service as KubeService } from '../../api/types/core-v1.js';
import type { PodDisruptionBudget } from '../../api/types/policy-v1.js';
import { NAMESPACES, NODES, PODDISRUPTIONBUDGETS, PODS, SERVICES } from '../../api/resource.js';
import type { Client } from '../../client/client.js';
import { Informer } from '../../client/informer.js';
import { ClusterState } from './cluster-state.js';
import { DEFAULT_FILTERS } from './filters/default-filters.js';
import { reachable } from './filters/reachable.js';
import { PendingPods } from './pending-pods.js';
import { Placer } from './placement.js';
import type { PodInfo } from './pod-info.js';
import { Preemptor } from './preemptor.js';
import { Reporter } from './reporter.js';
import { DEFAULT_SCHEDULER_OPTIONS, type SchedulerOptions } from './scheduler-options.js';
import { DEFAULT_SCORES } from './scores/default-scores.js';
import { SchedulingQueue, type Entry } from './scheduling-queue.js';

export interface SchedulerDeps {
  readonly client: Client;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Breaks ties between equally good nodes. */
  readonly random: Random;
  /** Names of the nodes known to be dead right now; absent: only taints tell. */
  readonly unreachable?: () => ReadonlySet<string>;
}

const BY_NAMESPACE = { namespace: ({ metadata }: KubeObject) => [metadata.namespace ?? ''] };

/** A new instance for each term of office: stop it when the role is lost, make another when it is won again. */
export function createScheduler(deps: SchedulerDeps, options: SchedulerOptions = {}): Service {
  return new Scheduler(deps, { ...DEFAULT_SCHEDULER_OPTIONS, ...options });
}

class Scheduler implements Service {
  readonly name = 'scheduler';
  private readonly state = new ClusterState();
  private readonly queue: SchedulingQueue;
  private readonly placer: Placer;
  private readonly reporter: Reporter;
  private readonly preemptor: Preemptor;
  private readonly informers: {
    readonly pods: Informer<Pod>;
    readonly nodes: Informer<Node>;
    readonly services: Informer<KubeService>;
    readonly namespaces: Informer<Namespace>;
    readonly budgets: Informer<PodDisruptionBudget>;
  };
  private readonly bindings = new Set<Promise<void>>();
  private readonly abort = new AbortController();
  private running: Promise<void> | undefined;
  private wakeUp: Deferred<void> | undefined;
  private readonly attempts;
  private readonly decisionSeconds;
  private readonly pendingGauge;

  constructor(
    private readonly deps: SchedulerDeps,
    private readonly options: Required<SchedulerOptions>,
  ) {
    const { metrics } = deps;
    this.informers = {
      pods: new Informer<Pod>(deps, PODS),
      nodes: new Informer<Node>(deps, NODES),
      services: new Informer<KubeService>(deps, SERVICES, { indexes: BY_NAMESPACE }),
      namespaces: new Informer<Namespace>(deps, NAMESPACES),
      budgets: new Informer<PodDisruptionBudget>(deps, PODDISRUPTIONBUDGETS, { indexes: BY_NAMESPACE }),
    };
    const filters = deps.unreachable ? [reachable(deps.unreachable), ...DEFAULT_FILTERS] : DEFAULT_FILTERS;
    this.queue = new SchedulingQueue(deps.clock, filters, options);
    this.placer = new Placer({ state: this.state, serviceSelector: (pod) => this.serviceSelector(pod) }, deps.random, {
      filters,
      scores: DEFAULT_SCORES,
      percentageOfNodesToScore: options.percentageOfNodesToScore,
    });
    this.reporter = new Reporter(deps, {
      maxWrites: options.maxReportWrites,
      maxWaiting: options.maxReportsWaiting,
      maxRemembered: 10_000,
    });
    const { pods, budgets } = this.informers;
    this.preemptor = new Preemptor({
      ...deps,
      state: this.state,
      queue: this.queue,
      reporter: this.reporter,
      pods,
      budgets,
    });
    this.attempts = metrics.counter('skein_scheduler_attempts_total', 'Attempts to place a pod, by result', ['result']);
    this.decisionSeconds = metrics.histogram('skein_scheduler_decision_seconds', 'Time to choose a node for one pod', {
      buckets: [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05],
    });
    this.pendingGauge = metrics.gauge('skein_scheduler_pending_pods', 'Pods without a node, by queue', ['queue']);
  }

  /** Begins in the background, once its view of the cluster is complete. */
  async start(): Promise<void> {
    this.listen();
    for (const informer of Object.values(this.informers)) await informer.start();
    this.running ??= this.run(this.abort.signal);
  }

  async stop(): Promise<void> {
    this.abort.abort(new Error('scheduler stopped'));
    this.wake();
    await Promise.all(Object.values(this.informers).map((informer) => informer.stop()));
    await this.running;
    await Promise.all(this.bindings);
    await this.preemptor.stop();
    await this.reporter.stop();
  }

  private listen(): void {
    const { state, queue } = this;
    const pods = new PendingPods(state, queue, ({ metadata: { uid } }) => {
      this.reporter.forget(uid);
      this.preemptor.forget(uid);
    });
    const waking =
      <A extends unknown[]>(handle: (...args: A) => void) =>
      (...args: A) => {
        handle(...args);
        this.wake();
      };
    this.informers.namespaces.addHandler({
      onUpsert: waking(({ metadata }: Namespace) => {
        // Terms with a namespace selector may mean other pods now.
        if (state.setNamespace(metadata.name ?? '', metadata.labels ?? {})) queue.note('pod-placed');
      }),
      onDelete: ({ metadata }) => void state.setNamespace(metadata.name ?? '', undefined),
    });
    this.informers.nodes.addHandler({
      onUpsert: waking((node: Node) => {
        if (state.upsertNode(node)) queue.note('node-changed');
      }),
      onDelete: waking(({ metadata }: Node) => {
        state.removeNode(metadata.name ?? '');
        queue.note('node-changed');
      }),
    });
    this.informers.pods.addHandler({
      onUpsert: waking((pod: Pod, previous: Pod | undefined) => pods.upsert(pod, previous)),
      onDelete: waking((pod: Pod) => pods.remove(pod)),
    });
  }

  private async run(signal: AbortSignal): Promise<void> {
    const stopped = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
    await Promise.race([Promise.all(Object.values(this.informers).map(({ synced }) => synced)), stopped]);
    while (!signal.aborted) {
      this.queue.settle();
      const more = this.turn();
      this.pendingGauge.set(this.queue.size - this.queue.refusedCount, { queue: 'active' });
      this.pendingGauge.set(this.queue.refusedCount, { queue: 'unschedulable' });
      try {
        if (more) await this.deps.clock.sleep(0, signal);
        else await this.rest();
      } catch {
        return;
      }
    }
  }

  /** Decides as many pods as one turn of the event loop allows. True when there may be more to do at once. */
  private turn(): boolean {
    const { clock } = this.deps;
    const began = clock.monotonicMs();
    for (let decided = 0; decided < this.options.turnPods; decided++) {
      if (this.bindings.size >= this.options.maxBindings) return false;
      if (this.preemptor.size >= this.options.maxPreemptions) return false;
      const entry = this.queue.take();
      if (!entry) return false;
      this.decide(entry);
      if (clock.monotonicMs() - began >= this.options.turnMs) return true;
    }
    return true;
  }

  private decide(entry: Entry): void {
    const { clock } = this.deps;
    const { info } = entry;
    const began = clock.monotonicMs();
    const placement = this.placer.place(info);
    this.decisionSeconds.observe((clock.monotonicMs() - began) / 1000);
    if (placement.ok) {
      this.attempts.inc({ result: 'scheduled' });
      this.reporter.withdraw(info.pod.metadata.uid);
      this.state.assume(info, placement.node.name);
      const nominated = this.state.nominations.remove(info.key);
      if (nominated !== undefined && nominated !== placement.node.name) this.queue.note('pod-removed');
      this.queue.note('pod-placed');
      const binding = this.bind(entry, placement.node.name).finally(() => {
        this.bindings.delete(binding);
        this.wake();
      });
      this.bindings.add(binding);
      return;
    }
    this.attempts.inc({ result: 'unschedulable' });
    const { search } = placement;
    const whyNoRoom = this.preemptor.attempt(entry, search, () => this.wake());
    this.reporter.failed(info.pod, search.text(whyNoRoom), true);
    this.queue.refuse(entry, search.refusing);
  }

  private async bind(entry: Entry, nodeName: string): Promise<void> {
    const { pod, key } = entry.info;
    const { namespace = '', name = '', uid } = pod.metadata;
    const binding = {
      apiVersion: 'v1',
      kind: 'Binding',
      metadata: { namespace, name, ...(uid ? { uid } : {}) },
      target: { apiVersion: 'v1', kind: 'Node', name: nodeName },
    };
    try {
      await this.deps.client.createSubresource(PODS, namespace, name, 'binding', binding);
    } catch (error) {
      this.attempts.inc({ result: 'error' });
      // Unless the informer has confirmed it meanwhile: then the write did take place.
      if (this.state.isAssumed(key)) {
        this.state.removePod(key);
        this.queue.note('pod-removed');
      }
      const nominated = this.informers.pods.get(namespace, name)?.status?.nominatedNodeName;
      if (nominated && this.queue.get(key) === entry) this.state.nominations.set(entry.info, nominated);
      if (isNotFound(error) && !this.informers.pods.get(namespace, name)) this.queue.remove(key);
      else this.queue.retry(entry);
      if (this.abort.signal.aborted) return;
      this.deps.log.warn('binding failed', { pod: key, node: nodeName, error: errorText(error) });
      if (!isNotFound(error)) this.reporter.failed(pod, `binding rejected: ${errorText(error)}`, false);
      return;
    }
    if (this.queue.get(key) === entry) this.queue.remove(key);
    this.reporter.scheduled(pod, nodeName);
  }

  private serviceSelector(pod: PodInfo): Readonly<Record<string, string>> | undefined {
    let merged: Record<string, string> | undefined;
    for (const { spec } of this.informers.services.byIndex('namespace', pod.namespace)) {
      const selector = Object.entries(spec?.selector ?? {});
      if (selector.length === 0 || !selector.every(([key, value]) => pod.labels[key] === value)) continue;
      merged = { ...merged, ...spec?.selector };
    }
    return merged;
  }

  /** Sleeps until something happens or becomes due. */
  private async rest(): Promise<void> {
    const wakeUp = (this.wakeUp = deferred());
    const dueInMs = this.queue.nextDueInMs();
    let cancel: Cancel | undefined;
    // The queue may be full of due pods while all binding slots are taken: then a finished binding wakes us.
    if (dueInMs !== undefined) cancel = this.deps.clock.timer(Math.max(dueInMs, 1), () => wakeUp.resolve());
    if (this.abort.signal.aborted) wakeUp.resolve();
    await wakeUp.promise;
    cancel?.();
    this.wakeUp = undefined;
  }

  private wake(): void {
    this.wakeUp?.resolve();
  }
}
