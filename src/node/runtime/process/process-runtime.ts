/**
 * {@link Runtime} without a container engine, for development and for tours without root: a container is a supervised
 * process in a session of its own that outlives the agent (see supervisor.ts); a sandbox is only a record.
 *
 * Images: none are kept. Every reference counts as present, and the pod must name a command that this machine has. A
 * reference may be registered with a directory, which then is the program's root (root only).
 *
 * Network: each pod gets an address of 127.64.0.0/10 of its own. Programs find it in `POD_IP` and `SKEIN_POD_IP` and
 * must listen there; Services reach them through the userspace proxy. Port forwarding dials that address.
 *
 * As root, a container has a mount namespace with an overlay over the machine's root and its volumes at their paths.
 * Without root there is no such thing: volumes are NOT mounted, `user` is not applied, and the program runs in a
 * private empty directory unless `workingDir` is given. In neither case are limits, capabilities, terminals, standard
 * input by attach, or host name applied: use the docker runtime for these.
 */
import { createHash } from 'node:crypto';
import { watch, type FSWatcher } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import type { Duplex, Readable } from 'node:stream';
import { basename } from 'node:path';
import type { Cancel, Clock } from '../../../base/clock.js';
import type { Logger } from '../../../base/log.js';
import type { Random } from '../../../base/random.js';
import { RuntimeError } from '../runtime.js';
import type {
  Container,
  ContainerConfig,
  ExecOptions,
  Image,
  LogChunk,
  LogOptions,
  Runtime,
  RuntimeEvent,
  Sandbox,
  SandboxConfig,
} from '../runtime.js';
import { dial } from '../tcp-dial.js';
import { inPrivateRoot } from './private-root.js';
import { viewOf } from './process-container.js';
import { runBeside } from './process-exec.js';
import { readProcessLog } from './process-log.js';
import { ProcessStore, type StoredContainer } from './process-store.js';
import {
  bootId,
  idsOf,
  isAlive,
  isSupervised,
  killGroup,
  signalProgram,
  startSupervisor,
  useOf,
} from './supervised-process.js';
import type { SupervisedState } from './supervisor.js';

export interface ProcessRuntimeOptions {
  /** Absolute path; everything the runtime knows is below it. */
  readonly stateDirectory: string;
  /** Directories that stand for images, by reference; only as root. */
  readonly imageDirectories?: Readonly<Record<string, string>>;
  /** Size in bytes of a log file before it is set aside; 10 MiB unless told. One old file is kept. */
  readonly maxLogBytes?: number;
  /** Whether to give containers private roots; whether this process is root unless told. */
  readonly privateRoots?: boolean;
}

export interface ProcessRuntimeDependencies {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

type Observed = { readonly sandboxes: readonly Sandbox[]; readonly containers: readonly Container[] };

/** How often a process that was asked to stop is looked at, in milliseconds; its supervisor's note comes sooner. */
const STOP_POLL_MS = 20;
/** How often supervisors that died without a note are looked for, in milliseconds. */
const CHECK_MS = 2_000;

export class ProcessRuntime implements Runtime {
  readonly name = 'process';
  private readonly store: ProcessStore;
  private readonly listeners = new Set<(event: RuntimeEvent) => void>();
  private readonly ended = new Map<string, SupervisedState>();
  private watcher: FSWatcher | undefined;
  private cancelCheck: Cancel | undefined;
  private boot = '';

  constructor(
    private readonly deps: ProcessRuntimeDependencies,
    private readonly options: ProcessRuntimeOptions,
  ) {
    this.store = new ProcessStore(options.stateDirectory);
  }

  version(): Promise<string> {
    return Promise.resolve(process.version.replace(/^v/, ''));
  }

  async start(): Promise<void> {
    await this.store.prepare();
    this.boot = await bootId();
    this.watcher ??= watch(this.store.stateDirectory, (_, name) => {
      if (name?.endsWith('.json')) void this.stateChanged(basename(name, '.json'));
    });
    this.watcher.unref();
    this.cancelCheck ??= this.deps.clock.interval(CHECK_MS, () => void this.list().catch(() => undefined));
  }

  stop(): Promise<void> {
    this.watcher?.close();
    this.watcher = undefined;
    this.cancelCheck?.();
    this.cancelCheck = undefined;
    return Promise.resolve();
  }

  onEvent(listener: (event: RuntimeEvent) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  async list(): Promise<Observed> {
    const [sandboxes, containers] = await Promise.all([this.store.sandboxes(), this.store.containers()]);
    return {
      sandboxes: sandboxes.map(({ sandbox, boot }) =>
        boot === this.boot ? sandbox : { ...sandbox, state: 'notready' },
      ),
      containers: await Promise.all(containers.map((stored) => this.view(stored))),
    };
  }

  async listPod(uid: string): Promise<Observed> {
    const all = await this.list();
    return {
      sandboxes: all.sandboxes.filter((sandbox) => sandbox.uid === uid),
      containers: all.containers.filter((container) => container.pod.uid === uid),
    };
  }

  async runSandbox(config: SandboxConfig): Promise<Sandbox> {
    const { namespace, name, uid, attempt, hostNetwork, annotations } = config;
    const sandbox: Sandbox = {
      namespace,
      name,
      uid,
      attempt,
      hostNetwork,
      annotations,
      id: this.newId(),
      state: 'ready',
      createdAtMs: this.deps.clock.nowMs(),
      pid: 0,
      ips: hostNetwork ? [] : [await this.freeAddress()],
    };
    await this.store.writeSandbox({ sandbox, boot: this.boot });
    this.emit(uid);
    return sandbox;
  }

  async stopSandbox(id: string): Promise<void> {
    const { sandboxes, containers } = await this.list();
    const sandbox = sandboxes.find((one) => one.id === id);
    if (!sandbox) return;
    const inside = containers.filter((container) => container.sandboxId === id && container.state === 'running');
    await Promise.all(inside.map((container) => this.stopContainer(container.id, 0)));
    await this.store.writeSandbox({ sandbox: { ...sandbox, state: 'notready' }, boot: this.boot });
    this.emit(sandbox.uid);
  }

  async removeSandbox(id: string): Promise<void> {
    await this.stopSandbox(id);
    await this.store.removeSandbox(id);
  }

  async createContainer(config: ContainerConfig): Promise<string> {
    if (!(await this.sandbox(config.sandboxId))) throw notFound('sandbox', config.sandboxId);
    const id = this.newId();
    await mkdir(this.store.rootPath(id), { recursive: true });
    await this.store.writeContainer({ id, createdAtMs: this.deps.clock.nowMs(), config });
    this.emit(config.pod.uid);
    return id;
  }

  async startContainer(id: string): Promise<void> {
    const { config } = await this.container(id);
    const argv = [...(config.command ?? []), ...(config.args ?? [])];
    let startError = 'the pod names no command, and the process runtime has no image to take one from';
    if (argv.length > 0) {
      await this.supervise(id, config, argv);
      const state = await this.store.state(id);
      startError = state ? state.startError : 'its supervisor ended at once';
    }
    if (startError === '') return;
    const now = this.deps.clock.nowMs();
    const failed = {
      supervisorPid: 0,
      pid: 0,
      pidStart: '',
      startedAtMs: now,
      finishedAtMs: now,
      exitCode: 128,
      startError,
    };
    await this.store.writeState(id, failed);
    throw new RuntimeError('ERR_RUN_CONTAINER', startError);
  }

  async stopContainer(id: string, graceSeconds: number): Promise<void> {
    const { clock } = this.deps;
    const state = await this.runningState(id);
    if (!state) return;
    signalProgram(state, 'SIGTERM');
    const killAtMs = clock.monotonicMs() + graceSeconds * 1000;
    while (await this.runningState(id)) {
      if (clock.monotonicMs() >= killAtMs) killGroup(state);
      await clock.sleep(STOP_POLL_MS);
    }
  }

  async removeContainer(id: string): Promise<void> {
    const stored = (await this.store.containers()).find((one) => one.id === id);
    if (!stored) return;
    await this.stopContainer(id, 0);
    await this.store.removeContainer(id);
    this.ended.delete(id);
    this.emit(stored.config.pod.uid);
  }

  async *logs(id: string, options: LogOptions): AsyncGenerator<LogChunk> {
    await this.container(id);
    const running = async () => (await this.runningState(id)) !== undefined;
    yield* readProcessLog(this.deps.clock, this.store.logPath(id), running, options);
  }

  /** Runs the command beside the container's program: same environment, directory and (as root) file system. */
  async exec(id: string, options: ExecOptions): Promise<number> {
    const { config } = await this.container(id);
    const state = await this.runningState(id);
    if (!state) throw new RuntimeError('ERR_EXEC', `container ${id} is not running`);
    const cwd = config.workingDir ?? '/';
    const enter = [
      'nsenter',
      `--mount=/proc/${state.pid}/ns/mnt`,
      `--root=/proc/${state.pid}/root`,
      `--wd=/proc/${state.pid}/root${cwd}`,
    ];
    const [program = '', ...rest] = this.hasPrivateRoot(config)
      ? [...enter, '--', ...options.command]
      : options.command;
    return runBeside(program, rest, options, {
      env: await this.environment(config),
      cwd: this.hasPrivateRoot(config) ? '/' : this.workingDirectory(id, config),
    });
  }

  /** Output from now on. The input is not connected. */
  async attach(id: string, options: Omit<ExecOptions, 'command'>): Promise<void> {
    const follow = { follow: true, tailLines: 0, sinceMs: undefined, timestamps: false, signal: options.signal };
    for await (const chunk of this.logs(id, follow)) {
      if (chunk.stream === 'stderr' && !options.tty) options.onStderr(chunk.data);
      else options.onStdout(chunk.data);
    }
  }

  async portForward(sandboxId: string, port: number): Promise<Duplex> {
    const sandbox = await this.sandbox(sandboxId);
    if (sandbox?.state !== 'ready') throw notFound('sandbox', sandboxId);
    return dial(this.deps.clock, sandbox.ips[0] ?? '127.0.0.1', port);
  }

  async stats(id: string): Promise<{ readonly cpuNanoseconds: number; readonly memoryBytes: number } | undefined> {
    const state = await this.runningState(id);
    return state && useOf(state.pid);
  }

  imageStatus(reference: string): Promise<Image | undefined> {
    const id = `sha256:${createHash('sha256').update(reference).digest('hex')}`;
    return Promise.resolve({ id, tags: [reference], digests: [], sizeBytes: 0, user: '' });
  }

  listImages(): Promise<readonly Image[]> {
    return Promise.resolve([]);
  }

  async pullImage(reference: string): Promise<Image> {
    const image = await this.imageStatus(reference);
    if (!image) throw new RuntimeError('ERR_IMAGE_PULL', `image "${reference}" is unknown`);
    return image;
  }

  removeImage(): Promise<void> {
    return Promise.resolve();
  }

  loadImage(archive: Readable): Promise<readonly string[]> {
    archive.resume();
    return Promise.reject(new RuntimeError('ERR_RUNTIME', 'the process runtime keeps no images'));
  }

  saveImage(reference: string): Promise<Readable> {
    return Promise.reject(new RuntimeError('ERR_IMAGE_MISSING', `the process runtime keeps no images: ${reference}`));
  }

  private async supervise(id: string, config: ContainerConfig, argv: readonly string[]): Promise<void> {
    const [uid, gid] = process.getuid?.() === 0 ? idsOf(config.user) : [];
    const isolated = this.hasPrivateRoot(config);
    const root = {
      lower: this.options.imageDirectories?.[config.image] ?? '/',
      work: this.store.rootPath(id),
      mounts: config.mounts,
      workingDir: config.workingDir ?? '/',
      uid,
      gid,
    };
    await startSupervisor(this.deps.clock, {
      argv: isolated ? inPrivateRoot(root, argv) : argv,
      env: await this.environment(config),
      cwd: isolated ? '/' : this.workingDirectory(id, config),
      uid: isolated ? undefined : uid,
      gid: isolated ? undefined : (gid ?? uid),
      openStdin: config.stdin,
      statePath: this.store.statePath(id),
      logPath: this.store.logPath(id),
      maxLogBytes: this.options.maxLogBytes ?? 10 << 20,
    });
  }

  /** Where there is nothing to mount and no image directory, the machine's own root serves as it is. */
  private hasPrivateRoot(config: ContainerConfig): boolean {
    if (!(this.options.privateRoots ?? process.getuid?.() === 0)) return false;
    return config.mounts.length > 0 || this.options.imageDirectories?.[config.image] !== undefined;
  }

  private workingDirectory(id: string, config: ContainerConfig): string {
    return config.workingDir ?? this.store.rootPath(id);
  }

  private async environment(config: ContainerConfig): Promise<Record<string, string>> {
    const ip = (await this.sandbox(config.sandboxId))?.ips[0] ?? '127.0.0.1';
    const path = process.env['PATH'] ?? '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
    const base = { PATH: path, HOME: '/', HOSTNAME: config.pod.name, POD_IP: ip, SKEIN_POD_IP: ip };
    return { ...base, ...Object.fromEntries(config.env) };
  }

  /** The state of a container that runs; a supervisor that was killed is noted as the end it is. */
  private async runningState(id: string): Promise<SupervisedState | undefined> {
    const state = this.ended.get(id) ?? (await this.store.state(id));
    if (!state) return undefined;
    if (state.finishedAtMs > 0) {
      this.ended.set(id, state);
      return undefined;
    }
    if (await isAlive(state)) return state;
    // The program ended: its supervisor writes the end at once, unless it was killed before it could.
    const alive = isSupervised(state);
    const latest = await this.store.state(id);
    if (alive || !latest || latest.finishedAtMs > 0) return alive ? latest : undefined;
    await this.store.writeState(id, { ...latest, finishedAtMs: this.deps.clock.nowMs(), exitCode: 137 });
    return undefined;
  }

  private async view(stored: StoredContainer): Promise<Container> {
    const running = await this.runningState(stored.id);
    const state = running ?? this.ended.get(stored.id) ?? (await this.store.state(stored.id));
    return viewOf(stored, state, running !== undefined);
  }

  private async stateChanged(id: string): Promise<void> {
    const stored = (await this.store.containers().catch(() => [])).find((one) => one.id === id);
    if (stored) this.emit(stored.config.pod.uid);
  }

  private async sandbox(id: string): Promise<Sandbox | undefined> {
    return (await this.store.sandboxes()).find((one) => one.sandbox.id === id)?.sandbox;
  }

  private async container(id: string): Promise<StoredContainer> {
    const stored = (await this.store.containers()).find((one) => one.id === id);
    if (!stored) throw notFound('container', id);
    return stored;
  }

  /** Random out of 4 million, so that agents on one machine that know nothing of each other do not collide either. */
  private async freeAddress(): Promise<string> {
    const used = new Set((await this.store.sandboxes()).flatMap(({ sandbox }) => sandbox.ips));
    for (;;) {
      const { random } = this.deps;
      const address = `127.${64 + random.int(64)}.${random.int(256)}.${1 + random.int(254)}`;
      if (!used.has(address)) return address;
    }
  }

  private newId(): string {
    return Buffer.from(this.deps.random.bytes(16)).toString('hex');
  }

  private emit(podUid: string): void {
    for (const listener of this.listeners) listener({ podUid });
  }
}

function notFound(what: string, id: string): RuntimeError {
  return new RuntimeError('ERR_NOT_FOUND', `No such ${what}: ${id}`);
}
