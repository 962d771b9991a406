/**
 * Runs the probes of the containers that run here. One worker per probe, on the clock; at most one check of a probe at a
 * time. Results are level-triggered: whoever asks gets the newest, and `onChange` says when to ask again.
 *
 * Rules (Kubernetes, "Liveness, Readiness and Startup Probes"): nothing but the startup probe runs before it succeeded;
 * a container without readiness probe is ready when started; liveness and startup condemn a container once.
 */
import type { Cancel, Clock } from '../../base/clock.js';
import type { Container as ContainerSpec, Pod, Probe } from '../../api/types/core-v1.js';
import { checkGrpc, checkHttp, checkTcp, failure, httpTarget, portOf, type ProbeAnswer } from './checks.js';

export type ProbeKind = 'startup' | 'liveness' | 'readiness';

export interface ProbedContainer {
  readonly id: string;
  readonly startedAtMs: number;
  readonly spec: ContainerSpec;
  /** What was reported of this very container before this process started. */
  readonly before: { readonly started: boolean; readonly ready: boolean } | undefined;
}

export interface ProberDeps {
  readonly clock: Clock;
  /** Runs a command in a container; the answer after its exit code. */
  readonly exec: (containerId: string, command: readonly string[], timeoutMs: number) => Promise<ProbeAnswer>;
  readonly event: (pod: Pod, container: string, type: 'Warning', reason: string, message: string) => void;
  /** A result of this pod changed. */
  readonly onChange: (podUid: string) => void;
}

interface Verdict {
  readonly probe: 'liveness' | 'startup';
  readonly graceSeconds: number | undefined;
}

interface Entry {
  pod: Pod;
  podIp: string;
  readonly container: ProbedContainer;
  readonly workers: ProbeWorker[];
  started: boolean;
  ready: boolean;
  failed: Verdict | undefined;
}

const UNKNOWN_ATTEMPTS = 3;

export class Prober {
  private readonly entries = new Map<string, Entry>();

  constructor(private readonly deps: ProberDeps) {}

  started(id: string): boolean {
    return this.entries.get(id)?.started ?? false;
  }

  ready(id: string): boolean {
    const entry = this.entries.get(id);
    return entry !== undefined && entry.started && entry.ready;
  }

  failed(id: string): Verdict | undefined {
    return this.entries.get(id)?.failed;
  }

  /** The running containers of a pod: begins probing new ones and stops for those not named. */
  watch(pod: Pod, podIp: string, containers: readonly ProbedContainer[]): void {
    const ids = new Set(containers.map(({ id }) => id));
    for (const [id, entry] of this.entries) {
      if (entry.pod.metadata.uid === pod.metadata.uid && !ids.has(id)) this.drop(id);
    }
    for (const container of containers) {
      const present = this.entries.get(container.id);
      if (present) {
        present.pod = pod;
        present.podIp = podIp;
      } else this.begin(pod, podIp, container);
    }
  }

  /** Stops the probes of a pod: it is ending or gone. Readiness becomes false, the rest stays as it was. */
  forget(podUid: string): void {
    for (const [id, entry] of this.entries) if (entry.pod.metadata.uid === podUid) this.drop(id);
  }

  stop(): void {
    for (const id of this.entries.keys()) this.drop(id);
  }

  private begin(pod: Pod, podIp: string, container: ProbedContainer): void {
    const { startupProbe, readinessProbe, livenessProbe } = container.spec;
    const { before } = container;
    const entry: Entry = {
      pod,
      podIp,
      container,
      workers: [],
      started: startupProbe === undefined || before?.started === true,
      ready: readinessProbe === undefined || before?.ready === true,
      failed: undefined,
    };
    this.entries.set(container.id, entry);
    if (startupProbe && !entry.started) this.work(entry, 'startup', startupProbe);
    if (livenessProbe) this.work(entry, 'liveness', livenessProbe);
    if (readinessProbe) this.work(entry, 'readiness', readinessProbe);
  }

  private work(entry: Entry, kind: ProbeKind, probe: Probe): void {
    const worker = new ProbeWorker(this.deps.clock, probe, entry.container.startedAtMs, {
      due: () => kind === 'startup' || entry.started,
      check: () => this.check(entry, kind, probe),
      result: (passed) => this.settle(entry, kind, probe, passed),
    });
    entry.workers.push(worker);
    worker.start();
  }

  private settle(entry: Entry, kind: ProbeKind, probe: Probe, passed: boolean): void {
    if (kind === 'readiness') {
      if (entry.ready === passed) return;
      entry.ready = passed;
    } else if (!passed) {
      entry.failed = { probe: kind, graceSeconds: probe.terminationGracePeriodSeconds };
      for (const worker of entry.workers) worker.stop();
    } else if (kind === 'startup') {
      entry.started = true;
      entry.workers[0]?.stop();
      for (const worker of entry.workers.slice(1)) worker.hurry();
    } else return;
    this.deps.onChange(entry.pod.metadata.uid ?? '');
  }

  private async check(entry: Entry, kind: ProbeKind, probe: Probe): Promise<ProbeAnswer> {
    let answer: ProbeAnswer = failure('');
    for (let attempt = 0; attempt < UNKNOWN_ATTEMPTS; attempt++) {
      answer = await this.ask(entry, probe);
      if (answer.outcome !== 'unknown') break;
    }
    if (answer.outcome !== 'success' && this.entries.get(entry.container.id) === entry) {
      const name = `${kind.charAt(0).toUpperCase()}${kind.slice(1)}`;
      const how = answer.outcome === 'unknown' ? 'errored' : 'failed';
      const text = `${name} probe ${how}: ${answer.output}`;
      this.deps.event(entry.pod, entry.container.spec.name, 'Warning', 'Unhealthy', text);
    }
    return answer;
  }

  private async ask({ pod, podIp, container }: Entry, probe: Probe): Promise<ProbeAnswer> {
    const { clock } = this.deps;
    const timeoutMs = (probe.timeoutSeconds ?? 1) * 1000;
    const { exec, httpGet, tcpSocket, grpc } = probe;
    if (exec) return this.deps.exec(container.id, exec.command ?? [], timeoutMs);
    if (httpGet) {
      const target = httpTarget(httpGet, container.spec, pod, podIp);
      return target ? checkHttp(target, timeoutMs, clock) : unknownPort(httpGet.port);
    }
    if (tcpSocket) {
      const port = portOf(container.spec, tcpSocket.port);
      return port === undefined
        ? unknownPort(tcpSocket.port)
        : checkTcp(tcpSocket.host || podIp, port, timeoutMs, clock);
    }
    if (grpc) return checkGrpc(podIp, grpc.port, grpc.service ?? '', timeoutMs, clock);
    return { outcome: 'unknown', output: `missing probe handler for ${pod.metadata.name}:${container.spec.name}` };
  }

  private drop(id: string): void {
    for (const worker of this.entries.get(id)?.workers ?? []) worker.stop();
    this.entries.delete(id);
  }
}

const unknownPort = (port: string | number): ProbeAnswer => ({
  outcome: 'unknown',
  output: `strconv.Atoi: parsing "${port}": invalid syntax`,
});

interface WorkerTasks {
  due(): boolean;
  check(): Promise<ProbeAnswer>;
  /** A threshold was reached. */
  result(passed: boolean): void;
}

class ProbeWorker {
  private streak = 0;
  private last: boolean | undefined;
  private cancel: Cancel | undefined;
  private stopped = false;

  constructor(
    private readonly clock: Clock,
    private readonly probe: Probe,
    private readonly startedAtMs: number,
    private readonly tasks: WorkerTasks,
  ) {}

  start(): void {
    const delayMs = (this.probe.initialDelaySeconds ?? 0) * 1000 - (this.clock.nowMs() - this.startedAtMs);
    this.schedule(Math.max(0, delayMs));
  }

  /** What it waited for has happened: check now (not before the initial delay). */
  hurry(): void {
    if (this.stopped) return;
    this.cancel?.();
    this.start();
  }

  stop(): void {
    this.stopped = true;
    this.cancel?.();
  }

  private schedule(ms: number): void {
    if (this.stopped) return;
    this.cancel = this.clock.timer(ms, () => void this.tick());
  }

  private async tick(): Promise<void> {
    const beganMs = this.clock.monotonicMs();
    const periodMs = Math.max(1, this.probe.periodSeconds ?? 10) * 1000;
    if (this.tasks.due()) {
      const answer = await this.tasks.check().catch((): ProbeAnswer => ({ outcome: 'unknown', output: '' }));
      if (this.stopped) return;
      if (answer.outcome !== 'unknown') this.count(answer.outcome === 'success');
    }
    this.schedule(Math.max(0, periodMs - (this.clock.monotonicMs() - beganMs)));
  }

  private count(passed: boolean): void {
    this.streak = this.last === passed ? this.streak + 1 : 1;
    this.last = passed;
    const needed = passed ? (this.probe.successThreshold ?? 1) : (this.probe.failureThreshold ?? 3);
    if (this.streak >= needed) this.tasks.result(passed);
  }
}
