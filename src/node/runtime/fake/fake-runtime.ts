/**
 * {@link Runtime} without processes: scripted containers on the injected clock and randomness, for simulations and
 * tests of scale. Deterministic: the same seed and calls give the same ids, times and events.
 *
 * It fails when told to: see {@link FakeRuntime.fail} and `FakeProgram.startError`.
 * What it runs outlives `stop` and `start`, as with a real engine.
 */
import { text } from 'node:stream/consumers';
import { Readable, type Duplex } from 'node:stream';
import { abortReason, type Clock } from '../../../base/clock.js';
import type { Random } from '../../../base/random.js';
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
import { FakeContainer } from './fake-container.js';
import { restingProgram, type FakePrograms } from './program.js';

export interface FakeRuntimeOptions {
  readonly programs?: FakePrograms;
  /** Time of each operation in milliseconds, uniform between the two; 0 unless told. */
  readonly latencyMs?: Partial<Record<FakeOperation, readonly [from: number, to: number]>>;
  /** Images that are there from the beginning, by reference. */
  readonly images?: readonly string[];
  /** Images that a pull finds; every reference unless told. */
  readonly registry?: readonly string[];
}

export interface FakeRuntimeDependencies {
  readonly clock: Clock;
  readonly random: Random;
  readonly network?: PodNetwork;
}

export type FakeOperation =
  | 'list'
  | 'runSandbox'
  | 'stopSandbox'
  | 'removeSandbox'
  | 'createContainer'
  | 'startContainer'
  | 'stopContainer'
  | 'removeContainer'
  | 'exec'
  | 'pullImage'
  | 'loadImage';

const FIRST_PID = 1000;

export class FakeRuntime implements Runtime {
  readonly name = 'fake';
  private readonly sandboxes = new Map<string, Sandbox>();
  private readonly containers = new Map<string, FakeContainer>();
  private readonly images = new Map<string, Image>();
  private readonly listeners = new Set<(event: RuntimeEvent) => void>();
  private readonly failures = new Map<FakeOperation, Error[]>();
  private lastPid = FIRST_PID;
  private lastAddress = 0;

  constructor(
    private readonly deps: FakeRuntimeDependencies,
    private readonly options: FakeRuntimeOptions = {},
  ) {
    for (const reference of options.images ?? []) this.addImage(reference);
  }

  /** The next calls of the operation throw these errors, one each. */
  fail(operation: FakeOperation, ...errors: readonly Error[]): void {
    this.failures.set(operation, [...(this.failures.get(operation) ?? []), ...errors]);
  }

  /** Ends a container as from outside: a crash, the kernel's memory killer, a reboot. */
  crash(containerId: string, exitCode = 137, reason = 'Error'): void {
    this.containerOf(containerId).end(exitCode, reason);
  }

  /** Ends a sandbox and all in it, as when someone kills its process or the machine boots. */
  crashSandbox(sandboxId: string): void {
    const sandbox = this.sandboxes.get(sandboxId);
    if (!sandbox) throw notFound('sandbox', sandboxId);
    this.sandboxes.set(sandboxId, { ...sandbox, state: 'notready', pid: 0 });
    for (const container of this.inSandbox(sandboxId)) if (container.running) container.end(137);
    this.emit(sandbox.uid);
  }

  /** Lets a running container write a line. */
  write(containerId: string, stream: 'stdout' | 'stderr', line: string): void {
    this.containerOf(containerId).write(stream, line);
  }

  addImage(reference: string): Image {
    const id = `sha256:${Buffer.from(reference).toString('hex').padEnd(64, '0').slice(0, 64)}`;
    const image = { id, tags: [reference], digests: [], sizeBytes: 1_000_000, user: '' };
    this.images.set(reference, image);
    return image;
  }

  async version(): Promise<string> {
    return Promise.resolve('1.0');
  }

  async start(): Promise<void> {
    return Promise.resolve();
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }

  onEvent(listener: (event: RuntimeEvent) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  async list(): Promise<{ readonly sandboxes: readonly Sandbox[]; readonly containers: readonly Container[] }> {
    await this.begin('list');
    const containers = Array.from(this.containers.values(), (container) => container.status);
    return { sandboxes: [...this.sandboxes.values()], containers };
  }

  async listPod(
    uid: string,
  ): Promise<{ readonly sandboxes: readonly Sandbox[]; readonly containers: readonly Container[] }> {
    const all = await this.list();
    return {
      sandboxes: all.sandboxes.filter((sandbox) => sandbox.uid === uid),
      containers: all.containers.filter((container) => container.pod.uid === uid),
    };
  }

  async runSandbox(config: SandboxConfig): Promise<Sandbox> {
    await this.begin('runSandbox');
    const id = this.newId();
    const pid = ++this.lastPid;
    const ips = config.hostNetwork ? [] : await this.address(id, pid);
    const { namespace, name, uid, attempt, hostNetwork, annotations } = config;
    const createdAtMs = this.deps.clock.nowMs();
    const sandbox: Sandbox = {
      namespace,
      name,
      uid,
      attempt,
      hostNetwork,
      annotations,
      id,
      state: 'ready',
      createdAtMs,
      pid,
      ips,
    };
    this.sandboxes.set(id, sandbox);
    this.emit(uid);
    return sandbox;
  }

  async stopSandbox(id: string): Promise<void> {
    await this.begin('stopSandbox');
    await this.deps.network?.detach(id);
    if (this.sandboxes.get(id)?.state === 'ready') this.crashSandbox(id);
  }

  async removeSandbox(id: string): Promise<void> {
    await this.begin('removeSandbox');
    await this.deps.network?.detach(id);
    const sandbox = this.sandboxes.get(id);
    if (!sandbox) return;
    if (sandbox.state === 'ready') this.crashSandbox(id);
    this.sandboxes.delete(id);
    this.emit(sandbox.uid);
  }

  async createContainer(config: ContainerConfig): Promise<string> {
    await this.begin('createContainer');
    if (!this.sandboxes.has(config.sandboxId)) throw notFound('sandbox', config.sandboxId);
    if (!this.imageFor(config.image) && !this.imageFor(config.imageId)) {
      throw new RuntimeError('ERR_IMAGE_MISSING', `No such image: ${config.image}`);
    }
    const id = this.newId();
    const program = (this.options.programs ?? restingProgram)(config);
    const changed = () => this.emit(config.pod.uid);
    this.containers.set(id, new FakeContainer(config, program, id, this.deps.clock, changed));
    this.emit(config.pod.uid);
    return id;
  }

  async startContainer(id: string): Promise<void> {
    await this.begin('startContainer');
    const container = this.containerOf(id);
    if (container.running) return;
    const sandbox = this.sandboxes.get(container.config.sandboxId);
    const problem = sandbox?.state === 'ready' ? container.program.startError : 'the sandbox does not run';
    if (problem === undefined) {
      container.start(++this.lastPid);
      return;
    }
    container.failStart(problem);
    throw new RuntimeError('ERR_RUN_CONTAINER', problem);
  }

  async stopContainer(id: string, graceSeconds: number): Promise<void> {
    await this.begin('stopContainer');
    await this.containers.get(id)?.stop(graceSeconds);
  }

  async removeContainer(id: string): Promise<void> {
    await this.begin('removeContainer');
    const container = this.containers.get(id);
    if (!container) return;
    if (container.running) container.end(137);
    this.containers.delete(id);
    this.emit(container.config.pod.uid);
  }

  async *logs(id: string, options: LogOptions): AsyncGenerator<LogChunk> {
    yield* this.containerOf(id).logs(options);
  }

  async exec(id: string, options: ExecOptions): Promise<number> {
    await this.begin('exec');
    const container = this.containerOf(id);
    if (!container.running) throw new RuntimeError('ERR_EXEC', `container ${id} is not running`);
    if (options.signal.aborted) throw abortReason(options.signal);
    const input = options.stdin ? await text(options.stdin) : '';
    const missing = {
      exitCode: 127,
      stderr: `exec: "${options.command[0] ?? ''}": executable file not found in $PATH\n`,
    };
    const result: { exitCode: number; stdout?: string; stderr?: string } =
      container.program.exec?.(options.command, input) ?? missing;
    if (result.stdout) options.onStdout(Buffer.from(result.stdout));
    if (result.stderr) (options.tty ? options.onStdout : options.onStderr)(Buffer.from(result.stderr));
    return result.exitCode;
  }

  async attach(id: string, options: Omit<ExecOptions, 'command'>): Promise<void> {
    await this.begin('exec');
    const follow = { follow: true, tailLines: 0, sinceMs: undefined, timestamps: false, signal: options.signal };
    for await (const chunk of this.containerOf(id).logs(follow)) {
      if (chunk.stream === 'stderr' && !options.tty) options.onStderr(chunk.data);
      else options.onStdout(chunk.data);
    }
  }

  async portForward(sandboxId: string, port: number): Promise<Duplex> {
    if (this.sandboxes.get(sandboxId)?.state !== 'ready') throw notFound('sandbox', sandboxId);
    for (const container of this.inSandbox(sandboxId)) {
      const connection = container.running ? container.program.connect?.(port) : undefined;
      if (connection) return Promise.resolve(connection);
    }
    throw new RuntimeError(
      'ERR_RUNTIME',
      `failed to connect to localhost:${port} inside the sandbox: connection refused`,
    );
  }

  async stats(id: string): Promise<{ readonly cpuNanoseconds: number; readonly memoryBytes: number } | undefined> {
    const container = this.containers.get(id);
    if (!container?.running) return Promise.resolve(undefined);
    const seconds = (this.deps.clock.nowMs() - container.status.startedAtMs) / 1000;
    const cpuNanoseconds = Math.round(seconds * (container.program.cpuNanosecondsPerSecond ?? 0));
    return { cpuNanoseconds, memoryBytes: container.program.memoryBytes ?? 0 };
  }

  async imageStatus(reference: string): Promise<Image | undefined> {
    return Promise.resolve(this.imageFor(reference));
  }

  async listImages(): Promise<readonly Image[]> {
    return Promise.resolve([...this.images.values()]);
  }

  async pullImage(reference: string): Promise<Image> {
    await this.begin('pullImage');
    if (this.options.registry && !this.options.registry.includes(reference)) {
      throw new RuntimeError('ERR_IMAGE_PULL', `manifest for ${reference} not found: manifest unknown`);
    }
    return this.addImage(reference);
  }

  async removeImage(id: string): Promise<void> {
    for (const [reference, image] of this.images) {
      if (image.id === id || reference === id) this.images.delete(reference);
    }
    return Promise.resolve();
  }

  /** The fake's archive is the references, one a line. */
  async loadImage(archive: Readable): Promise<readonly string[]> {
    await this.begin('loadImage');
    const references = (await text(archive)).split('\n').filter((line) => line !== '');
    for (const reference of references) this.addImage(reference);
    return references;
  }

  async saveImage(reference: string): Promise<Readable> {
    const image = this.imageFor(reference);
    if (!image) throw new RuntimeError('ERR_IMAGE_MISSING', `No such image: ${reference}`);
    return Promise.resolve(Readable.from([`${image.tags.join('\n')}\n`]));
  }

  /** The latency of an operation, then the failure it was told to have. */
  private async begin(operation: FakeOperation): Promise<void> {
    const [from, to] = this.options.latencyMs?.[operation] ?? [0, 0];
    if (to > 0) await this.deps.clock.sleep(from + this.deps.random.next() * (to - from));
    const error = this.failures.get(operation)?.shift();
    if (error) throw error;
  }

  private async address(sandboxId: string, pid: number): Promise<readonly string[]> {
    if (this.deps.network) return this.deps.network.attach(sandboxId, pid);
    const number = ++this.lastAddress;
    return [`10.88.${(number >> 8) & 0xff}.${number & 0xff}`];
  }

  /** With and without Docker Hub's domain and the default tag: references are compared as short names. */
  private imageFor(reference: string): Image | undefined {
    for (const [name, image] of this.images) {
      if (image.id === reference || shortName(name) === shortName(reference)) return image;
    }
    return undefined;
  }

  private inSandbox(sandboxId: string): FakeContainer[] {
    return [...this.containers.values()].filter((container) => container.config.sandboxId === sandboxId);
  }

  private containerOf(id: string): FakeContainer {
    const container = this.containers.get(id);
    if (!container) throw notFound('container', id);
    return container;
  }

  private newId(): string {
    return Buffer.from(this.deps.random.bytes(32)).toString('hex');
  }

  private emit(podUid: string): void {
    for (const listener of this.listeners) listener({ podUid });
  }
}

function shortName(reference: string): string {
  const name = reference.replace(/^docker\.io\//, '').replace(/^library\//, '');
  return name.lastIndexOf(':') > name.lastIndexOf('/') || name.includes('@') ? name : `${name}:latest`;
}

function notFound(what: string, id: string): RuntimeError {
  return new RuntimeError('ERR_NOT_FOUND', `No such ${what}: ${id}`);
}
