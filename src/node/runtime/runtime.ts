/**
 * What the kubelet needs of a container engine: shaped after the CRI, reduced to what one node needs. Implemented by
 * `docker` (Docker Engine, or Podman's compatible socket), `process` (plain supervised processes) and `fake`
 * (simulation, scale tests). One contract suite runs against all three.
 *
 * The runtime is the truth about what runs: everything the kubelet must remember about a container travels in its
 * labels and annotations, so a restarted agent adopts what it finds.
 */
import type { Duplex, Readable } from 'node:stream';

/** Identity of a pod on this node; stored as labels on all of its containers. */
export interface PodIdentity {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

export interface SandboxConfig extends PodIdentity {
  /** Increases when the sandbox of a pod has to be made anew. */
  readonly attempt: number;
  readonly hostname: string;
  /** Share the host's network instead of having one of its own. */
  readonly hostNetwork: boolean;
  readonly hostPid: boolean;
  readonly hostIpc: boolean;
  readonly shareProcessNamespace: boolean;
  readonly sysctls: Readonly<Record<string, string>>;
  readonly dns: {
    readonly servers: readonly string[];
    readonly searches: readonly string[];
    readonly options: readonly string[];
  };
  readonly annotations: Readonly<Record<string, string>>;
}

export type SandboxState = 'ready' | 'notready';

export interface Sandbox extends PodIdentity {
  readonly id: string;
  readonly attempt: number;
  readonly state: SandboxState;
  readonly createdAtMs: number;
  /** Process id of the sandbox on this host: its network namespace is `/proc/<pid>/ns/net`. 0 when not running. */
  readonly pid: number;
  /** The pod's addresses as given by {@link PodNetwork}; empty for host network. */
  readonly ips: readonly string[];
  readonly hostNetwork: boolean;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface Mount {
  readonly hostPath: string;
  readonly containerPath: string;
  readonly readOnly: boolean;
  readonly propagation: 'private' | 'rslave' | 'rshared';
}

export interface ContainerResources {
  /** CPU shares relative to others (cgroup v1 scale: 1024 is one core). */
  readonly cpuShares: number;
  /** CPU time in microseconds per `cpuPeriodUs`; 0 for no limit. */
  readonly cpuQuotaUs: number;
  readonly cpuPeriodUs: number;
  /** Bytes; 0 for no limit. */
  readonly memoryLimitBytes: number;
  /** -1000 to 1000, as the kernel takes it. */
  readonly oomScoreAdj: number;
}

export interface ContainerConfig {
  readonly pod: PodIdentity;
  readonly sandboxId: string;
  /** Id of the container whose processes this one sees and can signal; undefined: as the sandbox says. */
  readonly processesOf?: string | undefined;
  /** The container's name in the pod. */
  readonly name: string;
  /** Restart count: 0 for the first run. */
  readonly attempt: number;
  readonly imageId: string;
  /** The image as written in the pod. */
  readonly image: string;
  /** Replaces the image's entrypoint when given. */
  readonly command: readonly string[] | undefined;
  readonly args: readonly string[] | undefined;
  readonly workingDir: string | undefined;
  readonly env: readonly (readonly [name: string, value: string])[];
  readonly mounts: readonly Mount[];
  readonly resources: ContainerResources;
  readonly user: string | undefined;
  readonly groups: readonly number[];
  readonly privileged: boolean;
  readonly readOnlyRootfs: boolean;
  readonly addCapabilities: readonly string[];
  readonly dropCapabilities: readonly string[];
  readonly noNewPrivileges: boolean;
  readonly stdin: boolean;
  readonly stdinOnce: boolean;
  readonly tty: boolean;
  /** The signal that asks it to stop, `SIGTERM` unless the image says otherwise. */
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

export type ContainerState = 'created' | 'running' | 'exited' | 'unknown';

export interface Container {
  readonly id: string;
  readonly pod: PodIdentity;
  readonly sandboxId: string;
  readonly name: string;
  readonly attempt: number;
  readonly state: ContainerState;
  readonly image: string;
  readonly imageId: string;
  readonly createdAtMs: number;
  /** 0 before it started. */
  readonly startedAtMs: number;
  /** 0 before it finished. */
  readonly finishedAtMs: number;
  /** Meaningful when exited. */
  readonly exitCode: number;
  /** `Completed`, `Error`, `OOMKilled`, `ContainerCannotRun`, … */
  readonly reason: string;
  /** Human-readable detail of a failure, may be empty. */
  readonly message: string;
  readonly pid: number;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface Image {
  /** `sha256:…` */
  readonly id: string;
  readonly tags: readonly string[];
  readonly digests: readonly string[];
  readonly sizeBytes: number;
  /** The image's configured user, may be empty. */
  readonly user: string;
}

export interface LogOptions {
  readonly follow: boolean;
  readonly tailLines: number | undefined;
  /** Milliseconds since the epoch. */
  readonly sinceMs: number | undefined;
  readonly timestamps: boolean;
  readonly signal: AbortSignal;
}

/** One piece of a container's log: complete lines when the engine keeps lines. */
export interface LogChunk {
  readonly stream: 'stdout' | 'stderr';
  readonly data: Uint8Array;
}

export interface ExecOptions {
  readonly command: readonly string[];
  readonly tty: boolean;
  readonly stdin: Readable | undefined;
  readonly onStdout: (data: Uint8Array) => void;
  readonly onStderr: (data: Uint8Array) => void;
  /** Terminal sizes as they come. */
  readonly resize?: AsyncIterable<{ readonly columns: number; readonly rows: number }>;
  readonly signal: AbortSignal;
}

/** Something happened to this pod's containers: look again. Level-triggered, may be spurious. */
export interface RuntimeEvent {
  readonly podUid: string;
}

/** Gives a sandbox its place in the pod network; implemented by `node/network`, passed to the runtime. */
export interface PodNetwork {
  /** Connects the network namespace of process `pid` and returns the pod's addresses (IPv4 first). Idempotent. */
  attach(sandboxId: string, pid: number): Promise<readonly string[]>;
  /** Frees what {@link attach} took. Does nothing for an unknown sandbox. */
  detach(sandboxId: string): Promise<void>;
}

export interface Runtime {
  /** `docker`, `process`, `fake`, and what `kubectl get node -o wide` shows: `docker://20.10.24`. */
  readonly name: string;
  version(): Promise<string>;
  /** Throws {@link RuntimeError} `ERR_RUNTIME_UNREACHABLE` when the engine does not answer. */
  start(): Promise<void>;
  /** Leaves everything running. */
  stop(): Promise<void>;
  /** Calls `listener` after every change, until the returned function is called. */
  onEvent(listener: (event: RuntimeEvent) => void): () => void;

  /** Everything of ours on this node, also what no longer runs. One engine call whatever the number of pods. */
  list(): Promise<{ readonly sandboxes: readonly Sandbox[]; readonly containers: readonly Container[] }>;
  /** The same for one pod. */
  listPod(uid: string): Promise<{ readonly sandboxes: readonly Sandbox[]; readonly containers: readonly Container[] }>;

  /** Makes and starts the sandbox and attaches it to the network. A failure leaves nothing behind. */
  runSandbox(config: SandboxConfig): Promise<Sandbox>;
  stopSandbox(id: string): Promise<void>;
  removeSandbox(id: string): Promise<void>;

  createContainer(config: ContainerConfig): Promise<string>;
  startContainer(id: string): Promise<void>;
  /** Asks it to stop and kills it after `graceSeconds`. Resolves when it is gone. */
  stopContainer(id: string, graceSeconds: number): Promise<void>;
  removeContainer(id: string): Promise<void>;

  logs(id: string, options: LogOptions): AsyncIterable<LogChunk>;
  /** Resolves with the exit code. */
  exec(id: string, options: ExecOptions): Promise<number>;
  attach(id: string, options: Omit<ExecOptions, 'command'>): Promise<void>;
  /** A connection to a port inside the sandbox's network namespace. */
  portForward(sandboxId: string, port: number): Promise<Duplex>;
  /** CPU and memory use; undefined when it does not run. */
  stats(id: string): Promise<{ readonly cpuNanoseconds: number; readonly memoryBytes: number } | undefined>;

  imageStatus(reference: string): Promise<Image | undefined>;
  listImages(): Promise<readonly Image[]>;
  /** Pulls from a registry. Throws {@link RuntimeError} `ERR_IMAGE_PULL` with the engine's text. */
  pullImage(reference: string, auth?: { readonly username: string; readonly password: string }): Promise<Image>;
  removeImage(id: string): Promise<void>;
  /** Reads a `docker save` archive and returns the tags it brought. */
  loadImage(archive: Readable): Promise<readonly string[]>;
  /** Writes a `docker save` archive. */
  saveImage(reference: string): Promise<Readable>;
}

export type RuntimeErrorCode =
  | 'ERR_RUNTIME_UNREACHABLE'
  | 'ERR_IMAGE_PULL'
  | 'ERR_IMAGE_MISSING'
  | 'ERR_NOT_FOUND'
  | 'ERR_CREATE_CONTAINER'
  | 'ERR_RUN_CONTAINER'
  | 'ERR_SANDBOX'
  | 'ERR_EXEC'
  | 'ERR_RUNTIME';

export class RuntimeError extends Error {
  constructor(
    readonly code: RuntimeErrorCode,
    message: string,
    options?: { cause?: unknown },
  ) {
    super(message, options);
    this.name = 'RuntimeError';
  }
}
