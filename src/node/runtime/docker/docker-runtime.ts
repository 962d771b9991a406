/**
 * {@link Runtime} on the Docker Engine (API 1.41, Docker 20.10 and later).
 *
 * A sandbox is a container that only waits; it holds the pod's network, IPC and (when shared) process namespaces, and
 * the pod's other containers join them. It is made without a network, and {@link PodNetwork} gives it one; without a
 * PodNetwork it is on Docker's default bridge (single-node tests). Docker never restarts anything: the kubelet does.
 *
 * Guarantees: all state is in the engine (labels), so a restarted agent adopts what runs; a failed `runSandbox` leaves
 * nothing behind; every call but streams ends within its time limit. Safe for concurrent use, also per pod.
 */
import type { Duplex, Readable } from 'node:stream';
import type { Clock } from '../../../base/clock.js';
import { errorText, type Logger } from '../../../base/log.js';
import { RuntimeError } from '../runtime.js';
import type {
  Container,
  ContainerConfig,
  ExecOptions,
  Image,
  LogChunk,
  LogOptions,
  PodNetwork,
  Runtime,
  RuntimeEvent,
  Sandbox,
  SandboxConfig,
} from '../runtime.js';
import { EngineContainers } from './containers.js';
import { DockerEngine } from './engine.js';
import { EngineEvents } from './events.js';
import { DockerImages } from './images.js';
import { InspectionCache } from './inspection-cache.js';
import { containerName, DEFAULT_SCOPE, LABEL, podOf } from './labels.js';
import {
  containerOf,
  isSandbox,
  joinOf,
  sandboxOf,
  type InspectedContainer,
  type ListedContainer,
} from './observation.js';
import { lowestOomScore } from './oom-score.js';
import { PAUSE_IMAGE } from './pause-image.js';
import { connectToPod } from './port-forward.js';
import { ResolvConfFiles } from './resolv-conf.js';
import { SandboxNetwork } from './sandbox-network.js';
import {
  containerSpecification,
  sandboxSpecification,
  type ContainerSetting,
  type LogLimits,
} from './specification.js';
import { readStats } from './stats.js';
import { readLogs, runAttach, runExec } from './streams.js';

export interface DockerRuntimeOptions {
  /** `unix:///var/run/docker.sock` or `tcp://host:port`. */
  readonly dockerHost: string;
  /** Directory for the resolv.conf files of sandboxes; must be visible to the engine under the same path. */
  readonly stateDirectory: string;
  /** Longest wait for an answer of the engine in milliseconds, streams excepted; 30 000 unless told. */
  readonly callTimeoutMs?: number;
  /** Sets the containers of several agents on one engine apart; part of their names and labels. */
  readonly scope?: string;
  /** Limits of a container's log files; 10m and 5 unless told, the kubelet's own. */
  readonly log?: LogLimits;
}

export interface DockerRuntimeDependencies {
  readonly clock: Clock;
  readonly log: Logger;
  /** Absent: Docker's default bridge gives addresses. */
  readonly network?: PodNetwork;
}

type Observed = { readonly sandboxes: readonly Sandbox[]; readonly containers: readonly Container[] };

export class DockerRuntime implements Runtime {
  readonly name = 'docker';
  private readonly engine: DockerEngine;
  private readonly images: DockerImages;
  private readonly inspections: InspectionCache;
  private readonly network: SandboxNetwork;
  private readonly scope: string;
  private readonly listeners = new Set<(event: RuntimeEvent) => void>();
  private events: EngineEvents | undefined;
  private readonly containers: EngineContainers;
  private readonly resolvConfs: ResolvConfFiles;
  private architecture = '';
  private lowestOomScore = -1000;

  constructor(
    private readonly deps: DockerRuntimeDependencies,
    private readonly options: DockerRuntimeOptions,
  ) {
    this.engine = new DockerEngine(deps.clock, {
      host: options.dockerHost,
      ...(options.callTimeoutMs === undefined ? {} : { callTimeoutMs: options.callTimeoutMs }),
    });
    this.images = new DockerImages(this.engine);
    this.inspections = new InspectionCache(this.engine);
    this.network = new SandboxNetwork(deps.network);
    this.scope = options.scope ?? DEFAULT_SCOPE;
    this.containers = new EngineContainers(this.engine, this.inspections, this.scope);
    this.resolvConfs = new ResolvConfFiles(options.stateDirectory);
  }

  async version(): Promise<string> {
    return (await this.engine.json<{ Version: string }>('GET', '/version')).Version;
  }

  async start(): Promise<void> {
    this.architecture = (await this.engine.json<{ Arch: string }>('GET', '/version')).Arch;
    this.lowestOomScore = await lowestOomScore();
    await this.resolvConfs.prepare();
    await this.images.ensurePause(this.architecture);
    const { sandboxes } = await this.list();
    const files = sandboxes.map((one) => this.inspections.get(one.id)?.Config.Labels[LABEL.resolvConf] ?? '');
    await this.resolvConfs.sweep(new Set(files));
    this.events ??= new EngineEvents(
      this.engine,
      this.deps.clock,
      this.deps.log,
      this.scope,
      (podUid, containerId, ended) => {
        if (ended) this.inspections.expire(containerId);
        this.emit(podUid);
      },
      () => this.emitAll(),
    );
    this.events.start();
  }

  async stop(): Promise<void> {
    await this.events?.stop();
    this.events = undefined;
  }

  onEvent(listener: (event: RuntimeEvent) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  list(): Promise<Observed> {
    return this.observe([`${LABEL.scope}=${this.scope}`], true);
  }

  listPod(uid: string): Promise<Observed> {
    return this.observe([`${LABEL.scope}=${this.scope}`, `${LABEL.podUid}=${uid}`], false);
  }

  async runSandbox(config: SandboxConfig): Promise<Sandbox> {
    const mode = config.hostNetwork ? 'host' : this.network.managed ? 'none' : 'bridge';
    const resolvConfPath = await this.resolvConfs.write(config);
    const body = sandboxSpecification(config, { image: PAUSE_IMAGE, mode, resolvConfPath, ...this.setting() });
    const name = containerName(this.scope, 'POD', config, config.attempt);
    const id = await this.createSandbox(name, body, config.uid);
    try {
      await this.containers.start(id, 'ERR_SANDBOX');
      const seen = await this.inspections.refresh(id);
      if (!config.hostNetwork) await this.attachNetwork(id, seen.State.Pid);
      return sandboxOf(seen, this.network.of(id));
    } catch (error) {
      await this.removeSandbox(id).catch((cause: unknown) =>
        this.deps.log.warn('a failed sandbox stays behind', { sandbox: id, error: errorText(cause) }),
      );
      throw error;
    }
  }

  async stopSandbox(id: string): Promise<void> {
    await this.network.detach(id);
    await this.containers.kill(id);
  }

  async removeSandbox(id: string): Promise<void> {
    await this.network.detach(id);
    const labels = this.inspections.get(id)?.Config.Labels ?? {};
    await this.containers.remove(id);
    await this.resolvConfs.remove(labels[LABEL.resolvConf]);
  }

  async createContainer(config: ContainerConfig): Promise<string> {
    const join = joinOf(await this.inspections.known(config.sandboxId));
    const body = containerSpecification(config, join, this.setting());
    const name = containerName(this.scope, config.name, config.pod, config.attempt);
    return this.containers.create(name, body, config.pod.uid, 'ERR_CREATE_CONTAINER');
  }

  startContainer(id: string): Promise<void> {
    return this.containers.start(id, 'ERR_RUN_CONTAINER');
  }

  stopContainer(id: string, graceSeconds: number): Promise<void> {
    return this.containers.stop(id, graceSeconds);
  }

  removeContainer(id: string): Promise<void> {
    return this.containers.remove(id);
  }

  async *logs(id: string, options: LogOptions): AsyncGenerator<LogChunk> {
    const seen = await this.inspections.known(id);
    yield* readLogs(this.engine, id, seen.Config.Tty, options);
  }

  exec(id: string, options: ExecOptions): Promise<number> {
    return runExec(this.engine, this.deps.clock, id, options);
  }

  async attach(id: string, options: Omit<ExecOptions, 'command'>): Promise<void> {
    const seen = await this.inspections.known(id);
    await runAttach(this.engine, id, seen.Config.Tty, options);
  }

  async portForward(sandboxId: string, port: number): Promise<Duplex> {
    const sandbox = sandboxOf(await this.inspections.refresh(sandboxId), this.network.of(sandboxId));
    if (sandbox.state !== 'ready') throw new RuntimeError('ERR_NOT_FOUND', `sandbox ${sandboxId} is not running`);
    return connectToPod(this.deps.clock, sandbox, port);
  }

  stats(id: string): Promise<{ readonly cpuNanoseconds: number; readonly memoryBytes: number } | undefined> {
    return readStats(this.engine, id);
  }

  imageStatus(reference: string): Promise<Image | undefined> {
    return this.images.status(reference);
  }

  listImages(): Promise<readonly Image[]> {
    return this.images.list();
  }

  pullImage(reference: string, auth?: { readonly username: string; readonly password: string }): Promise<Image> {
    return this.images.pull(reference, auth);
  }

  removeImage(id: string): Promise<void> {
    return this.images.remove(id);
  }

  loadImage(archive: Readable): Promise<readonly string[]> {
    return this.images.load(archive);
  }

  saveImage(reference: string): Promise<Readable> {
    return this.images.save(reference);
  }

  private async observe(labels: readonly string[], complete: boolean): Promise<Observed> {
    const query = { all: true, filters: JSON.stringify({ label: labels }) };
    const listed = await this.engine.json<ListedContainer[]>('GET', '/containers/json', { query });
    const seen = await this.inspections.of(listed, complete);
    const sandboxes = seen.filter((one) => isSandbox(one.Config.Labels));
    await Promise.all(sandboxes.map((one) => this.learnAddresses(one)));
    return {
      sandboxes: sandboxes.map((one) => sandboxOf(one, this.network.of(one.Id))),
      containers: seen.filter((one) => !isSandbox(one.Config.Labels)).map(containerOf),
    };
  }

  /** Attaches a running sandbox that an earlier life of the agent made. A failure is tried again by the next list. */
  private async learnAddresses(seen: InspectedContainer): Promise<void> {
    const wanted = this.network.managed && seen.HostConfig.NetworkMode !== 'host' && seen.State.Status === 'running';
    if (!wanted || this.network.of(seen.Id)) return;
    try {
      await this.network.attach(seen.Id, seen.State.Pid);
    } catch (error) {
      this.deps.log.warn('sandbox has no network', { sandbox: seen.Id, error: errorText(error) });
    }
  }

  private async attachNetwork(id: string, pid: number): Promise<void> {
    try {
      await this.network.attach(id, pid);
    } catch (error) {
      throw new RuntimeError('ERR_SANDBOX', `failed to set up the pod network: ${errorText(error)}`, { cause: error });
    }
  }

  /** Creates the sandbox's container; an image clean-up by hand may have taken its image away. */
  private async createSandbox(name: string, body: object, podUid: string): Promise<string> {
    try {
      return await this.containers.create(name, body, podUid, 'ERR_SANDBOX');
    } catch (error) {
      if (!(error instanceof RuntimeError) || error.code !== 'ERR_IMAGE_MISSING') throw error;
      await this.images.ensurePause(this.architecture);
      return this.containers.create(name, body, podUid, 'ERR_SANDBOX');
    }
  }

  private setting(): ContainerSetting {
    const log = this.options.log ?? { maxSize: '10m', maxFiles: 5 };
    return { log, scope: this.scope, lowestOomScore: this.lowestOomScore };
  }

  private emit(podUid: string): void {
    for (const listener of this.listeners) listener({ podUid });
  }

  private emitAll(): void {
    const uids = new Set<string>();
    for (const seen of this.inspections.values()) uids.add(podOf(seen.Config.Labels).uid);
    for (const uid of uids) this.emit(uid);
  }
}
