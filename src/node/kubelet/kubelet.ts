/**
 * Runs the pods that are bound to this node.
 *
 * Level-triggered: the pod informer, runtime events, probe results and timers only queue a pod's uid; a worker then looks
 * at everything anew. One worker per pod at a time, `workers` pods at once. Stopping leaves all containers running; the
 * next start adopts them. What the runtime has of pods that the API does not know is ended, once the informer is synced
 * and `isCurrent` says that this peer's state can be believed.
 */
import type { Cancel, Clock } from '../../base/clock.js';
import type { Service } from '../../base/lifecycle.js';
import { errorText, type Logger } from '../../base/log.js';
import type { Random } from '../../base/random.js';
import { WorkQueue } from '../../base/work-queue.js';
import { PODS } from '../../api/resource.js';
import type { Node, Pod } from '../../api/types/core-v1.js';
import type { Client } from '../../client/client.js';
import { createEventRecorder, type EventRecorder, type EventType } from '../../client/event-recorder.js';
import { Informer } from '../../client/informer.js';
import type { ImageManager } from '../images/image-manager.js';
import { Prober } from '../probes/prober.js';
import type { Runtime } from '../runtime/runtime.js';
import { objectSource } from '../volumes/object-source.js';
import { PodVolumes, type PodFiles, type PodVolumesDeps } from '../volumes/pod-volumes.js';
import { ServiceAccountTokens } from '../volumes/service-account-tokens.js';
import { admit } from './admission.js';
import { NOTE, type BackoffRule } from './container-notes.js';
import type { NodeContext } from './container-starter.js';
import { execAnswer, runCommand } from './hooks.js';
import type { Observed } from './pod-model.js';
import type { Verdict } from './plan.js';
import { newPodState, PodWorker, type PodState } from './pod-worker.js';
import { learn } from './status-writer.js';

/** Two ways to see this node: what is at hand, and what the API has now. */
export interface NodeView {
  known(): Node | undefined;
  /** Not older than any pod that this kubelet has been given. Throws what the API answers, except that it is not there. */
  read(): Promise<Node | undefined>;
}

export interface KubeletDeps {
  readonly client: Client;
  readonly runtime: Runtime;
  readonly images: Pick<ImageManager, 'ensure'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** This node's object, for the node's own admission; undefined while it is not registered. */
  readonly node?: NodeView;
  /** False while this peer's copy of the cluster's state may lag behind what it ran before. True unless told. */
  readonly isCurrent?: () => boolean;
  /** Where pods' files are kept; on this machine's disk unless told. */
  readonly files?: (sources: PodVolumesDeps) => PodFiles;
}

export interface KubeletOptions {
  readonly context: NodeContext;
  /** The node's data directory; pods' files are below `pods`. */
  readonly root: string;
  /** Mount tmpfs for `emptyDir` with `medium: Memory`. */
  readonly tmpfs?: boolean;
  /** Pods worked on at the same time; 10 unless told. */
  readonly workers?: number;
  /** Each pod is looked at again after so many milliseconds, and its volumes refreshed; 60 000 unless told. */
  readonly resyncMs?: number;
  /** Orphans are looked for so often, in milliseconds; 60 000 unless told. */
  readonly sweepMs?: number;
  /** Back-off of crashing containers; 10 s to 5 min, forgotten after 10 min, unless told. */
  readonly backoff?: BackoffRule;
}

const RETRY = { baseMs: 500, maxMs: 30_000 } as const;

export class Kubelet implements Service {
  readonly name = 'kubelet';
  private readonly pods: Informer<Pod>;
  private readonly events: EventRecorder;
  private readonly queue: WorkQueue;
  private readonly prober: Prober;
  private readonly volumes: PodFiles;
  private readonly worker: PodWorker;
  private readonly states = new Map<string, PodState>();
  private readonly refreshedMs = new Map<string, number>();
  private readonly cancels: Cancel[] = [];
  private loops: Promise<void>[] = [];
  private stopped = false;

  constructor(
    private readonly deps: KubeletDeps,
    private readonly options: KubeletOptions,
  ) {
    const { client, clock, log, runtime } = deps;
    const { nodeName } = options.context;
    this.pods = new Informer<Pod>({ client, clock, log }, PODS, { fieldSelector: `spec.nodeName=${nodeName}` });
    this.events = createEventRecorder(deps, { component: 'kubelet', host: nodeName });
    this.queue = new WorkQueue(clock, RETRY);
    const again = (uid: string) => this.queue.add(uid);
    const event = (pod: Pod, type: EventType, reason: string, message: string, container?: string) =>
      this.event(pod, type, reason, message, container);
    this.prober = new Prober({
      clock,
      exec: (id, command, timeoutMs) => execAnswer(runCommand(runtime, clock, id, command, timeoutMs), timeoutMs),
      event: (pod, container, type, reason, message) => event(pod, type, reason, message, container),
      onChange: again,
    });
    const objects = objectSource(client);
    const sources = { objects, tokens: new ServiceAccountTokens(deps) };
    const onDisk = () => new PodVolumes(sources, { root: options.root, tmpfs: options.tmpfs ?? false });
    this.volumes = deps.files?.(sources) ?? onDisk();
    this.worker = new PodWorker(
      {
        runtime,
        client,
        clock,
        log,
        images: deps.images,
        prober: this.prober,
        volumes: this.volumes,
        objects,
        event,
        node: options.context,
        again,
      },
      options.backoff,
    );
  }

  /** Resolves when the pods of this node are known; work has begun then. */
  async start(): Promise<void> {
    this.pods.addHandler({
      onUpsert: (pod) => this.upsert(pod),
      onDelete: (pod) => this.gone(pod),
    });
    this.cancels.push(this.deps.runtime.onEvent(({ podUid }) => this.states.has(podUid) && this.queue.add(podUid)));
    const workers = this.options.workers ?? 10;
    this.loops = Array.from({ length: workers }, () => this.work());
    await this.pods.start();
    void this.pods.synced.then(() => this.sweepAndLog());
    this.cancels.push(this.deps.clock.interval(this.options.sweepMs ?? 60_000, () => void this.sweepAndLog()));
  }

  async stop(): Promise<void> {
    this.stopped = true;
    for (const cancel of this.cancels.splice(0)) cancel();
    this.prober.stop();
    this.queue.close();
    this.worker.stop();
    for (const state of this.states.values()) state.ending.abort(new Error('the kubelet stops'));
    await this.pods.stop();
    await Promise.all(this.loops);
  }

  /** The pods of this node as the API has them, newest status included. */
  list(): Pod[] {
    return [...this.states.values()].filter(({ removed }) => !removed).map(({ pod }) => pod);
  }

  /** A pod of this node with what the runtime last showed of it. */
  find(namespace: string, name: string): { readonly pod: Pod; readonly observed: Observed } | undefined {
    for (const { pod, observed, removed } of this.states.values()) {
      if (!removed && pod.metadata.name === name && pod.metadata.namespace === namespace) return { pod, observed };
    }
    return undefined;
  }

  private event(pod: Pod, type: EventType, reason: string, message: string, container?: string): void {
    const object = { ...pod, apiVersion: 'v1', kind: 'Pod' };
    const init = pod.spec?.initContainers?.some(({ name }) => name === container);
    const path = container === undefined ? undefined : `spec.${init ? 'initContainers' : 'containers'}{${container}}`;
    this.events.event(object, type, reason, message, path);
  }

  private upsert(pod: Pod): void {
    const { uid = '', name = '', namespace } = pod.metadata;
    for (const state of this.states.values()) {
      const same = state.pod.metadata.name === name && state.pod.metadata.namespace === namespace;
      if (same && state.uid !== uid && !state.removed) this.gone(state.pod);
    }
    const state = this.states.get(uid);
    if (!state) this.states.set(uid, newPodState(pod, false));
    else {
      // Our own status write may be newer than what the informer brings on its way.
      learn(state, pod);
      state.removed = false;
      if (pod.metadata.deletionTimestamp !== undefined) state.ending.abort(new Error('the pod is ending'));
    }
    this.queue.add(uid);
  }

  private gone(pod: Pod): void {
    const state = this.states.get(pod.metadata.uid ?? '');
    if (!state) return;
    state.removed = true;
    state.ending.abort(new Error('the pod is gone'));
    this.queue.add(state.uid);
  }

  private async work(): Promise<void> {
    for (let uid = await this.queue.take(); uid !== undefined; uid = await this.queue.take()) {
      try {
        await this.sync(uid);
        this.queue.forget(uid);
      } catch (error) {
        this.deps.log.warn('pod not synced, trying again', { uid, error: errorText(error) });
        this.queue.addRateLimited(uid);
      } finally {
        this.queue.done(uid);
      }
    }
  }

  private async sync(uid: string): Promise<void> {
    const state = this.states.get(uid);
    if (!state || this.stopped) return;
    await this.admitOnce(state);
    await this.refreshVolumes(state);
    const { requeueAfterMs, gone } = await this.worker.sync(state);
    if (gone) {
      this.prober.forget(uid);
      this.states.delete(uid);
      this.refreshedMs.delete(uid);
      return;
    }
    const resyncMs = this.options.resyncMs ?? 60_000;
    this.queue.addAfter(uid, Math.min(requeueAfterMs ?? Infinity, resyncMs));
  }

  private async admitOnce(state: PodState): Promise<void> {
    const known = this.judge(state, this.deps.node?.known());
    // A refusal is for ever. What the scheduler saw of the node, a label of a moment ago, the node at hand may not have yet.
    const verdict = known && this.deps.node ? this.judge(state, await this.deps.node.read()) : known;
    if (state.admitted || state.removed) return;
    state.admitted = true;
    state.verdict = verdict;
    if (verdict) this.event(state.pod, 'Warning', verdict.reason, verdict.message.replace('Pod was rejected: ', ''));
  }

  private judge(state: PodState, node: Node | undefined): Verdict | undefined {
    const { pod, admitted, removed } = state;
    // A pod that was already reported on by this node has been admitted.
    if (admitted || removed || pod.status?.startTime !== undefined || pod.metadata.deletionTimestamp !== undefined) {
      return undefined;
    }
    const others = [...this.states.values()]
      .filter((other) => other !== state && other.admitted && !other.removed && !other.verdict)
      .map((other) => other.pod);
    return admit(pod, others, node);
  }

  /** ConfigMaps, Secrets and downward API files follow their sources while the pod runs. */
  private async refreshVolumes(state: PodState): Promise<void> {
    const now = this.deps.clock.monotonicMs();
    const last = this.refreshedMs.get(state.uid);
    if (last === undefined) this.refreshedMs.set(state.uid, now);
    if (last === undefined || now - last < (this.options.resyncMs ?? 60_000)) return;
    this.refreshedMs.set(state.uid, now);
    const running = state.observed.containers.some((container) => container.state === 'running');
    if (!running || state.ending.signal.aborted) return;
    try {
      await this.worker.refreshVolumes(state);
    } catch (error) {
      this.event(state.pod, 'Warning', 'FailedMount', errorText(error));
    }
  }

  private async sweepAndLog(): Promise<void> {
    try {
      await this.sweep();
    } catch (error) {
      this.deps.log.warn('orphans not looked for', { error: errorText(error) });
    }
  }

  /** Takes what runs or lies around of unknown pods as pods that were removed. */
  private async sweep(): Promise<void> {
    if (this.stopped || !this.pods.hasSynced || this.deps.isCurrent?.() === false) return;
    const { sandboxes, containers } = await this.deps.runtime.list();
    const known = new Map<string, Pod>();
    for (const { uid, namespace, name } of sandboxes) known.set(uid, orphan(uid, namespace, name, 30));
    for (const { pod, annotations } of containers) {
      const grace = Number(annotations[NOTE.graceSeconds] ?? 30);
      known.set(pod.uid, orphan(pod.uid, pod.namespace, pod.name, Number.isFinite(grace) ? grace : 30));
    }
    for (const uid of await this.volumes.known()) if (!known.has(uid)) known.set(uid, orphan(uid, '', '', 0));
    for (const [uid, pod] of known) {
      if (this.states.has(uid)) continue;
      this.states.set(uid, newPodState(pod, true));
      this.queue.add(uid);
    }
  }
}

function orphan(uid: string, namespace: string, name: string, terminationGracePeriodSeconds: number): Pod {
  return { metadata: { uid, namespace, name }, spec: { containers: [], terminationGracePeriodSeconds } };
}
