/** Makes sandboxes and containers; what goes wrong becomes a {@link Failure} with a time for the next try and an event. */
import { readFile } from 'node:fs/promises';
import { backoffMs } from '../../base/backoff.js';
import type { Clock } from '../../base/clock.js';
import { errorText, type Logger } from '../../base/log.js';
import { SECRETS } from '../../api/resource.js';
import type { EphemeralContainer, Pod } from '../../api/types/core-v1.js';
import type { EventType } from '../../client/event-recorder.js';
import type { ImageManager } from '../images/image-manager.js';
import type { Image, Runtime } from '../runtime/runtime.js';
import type { DownwardFacts } from '../volumes/downward.js';
import type { ObjectSource } from '../volumes/object-source.js';
import { VolumeError } from '../volumes/payloads.js';
import type { MountedVolume, PodFiles } from '../volumes/pod-volumes.js';
import { containerConfig } from './container-config.js';
import { ContainerConfigError } from './environment.js';
import { runHook } from './hooks.js';
import type { Action } from './plan.js';
import { identityOf, instancesOf, newestSandbox } from './pod-model.js';
import { dnsOf, domainOf, hostnameOf, hostsFile, type ClusterDns, type DnsSettings } from './pod-network-files.js';
import type { PodState } from './pod-worker.js';
import { registryAuth } from './registry-auth.js';
import { podIps } from './status.js';

/** What a pod must be told of the machine and the cluster. */
export interface NodeContext {
  readonly nodeName: string;
  /** IPv4 first. */
  readonly hostIps: readonly string[];
  readonly clusterDns: ClusterDns;
  /** The machine's own resolver settings. */
  readonly hostDns: DnsSettings;
  readonly memoryCapacityBytes: number;
  readonly allocatable: Readonly<Record<string, string | number>>;
}

export interface StarterDeps {
  readonly runtime: Runtime;
  readonly images: Pick<ImageManager, 'ensure'>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly volumes: PodFiles;
  readonly objects: ObjectSource;
  readonly event: (pod: Pod, type: EventType, reason: string, message: string, container?: string) => void;
  readonly node: NodeContext;
  readonly again: (uid: string) => void;
}

type Start = Extract<Action, { type: 'start' }>;

/** Between tries of what failed for reasons other than the image: 1 s doubling to 30 s. */
const RETRY = { baseMs: 1_000, maxMs: 30_000 };
/** What a volume waits for, as the certificate of a new namespace, is often there a moment later. */
const MOUNT_RETRY = { baseMs: 200, maxMs: 30_000 };

export class ContainerStarter {
  private readonly starting = new Set<string>();
  private readonly tries = new WeakMap<PodState, Map<string, number>>();

  constructor(private readonly deps: StarterDeps) {}

  /** True while the postStart hook of the container runs: it is not started yet. */
  isStarting(containerId: string): boolean {
    return this.starting.has(containerId);
  }

  async runSandbox(state: PodState, attempt: number): Promise<void> {
    const { pod } = state;
    const { runtime, node } = this.deps;
    if (attempt > 0 && newestSandbox(state.observed)) {
      const text = 'Pod sandbox changed, it will be killed and re-created.';
      this.deps.event(pod, 'Normal', 'SandboxChanged', text);
    }
    try {
      await this.deps.volumes.mount(pod, this.facts(state));
    } catch (error) {
      this.failed(
        state,
        '',
        'FailedMount',
        errorText(error instanceof VolumeError ? error.message : error),
        MOUNT_RETRY,
      );
      this.deps.event(pod, 'Warning', 'FailedMount', error instanceof Error ? error.message : String(error));
      return;
    }
    try {
      await runtime.runSandbox({
        ...identityOf(pod),
        attempt,
        hostname: hostnameOf(pod, node.nodeName),
        hostNetwork: pod.spec?.hostNetwork ?? false,
        hostPid: pod.spec?.hostPID ?? false,
        hostIpc: pod.spec?.hostIPC ?? false,
        shareProcessNamespace: pod.spec?.shareProcessNamespace ?? false,
        sysctls: Object.fromEntries((pod.spec?.securityContext?.sysctls ?? []).map(({ name, value }) => [name, value])),
        dns: dnsOf(pod, node.clusterDns, node.hostDns),
        annotations: {},
      });
      this.worked(state, '');
    } catch (error) {
      const text = `Failed to create pod sandbox: rpc error: code = Unknown desc = ${errorText(error)}`;
      this.failed(state, '', 'FailedCreatePodSandBox', text);
      this.deps.event(pod, 'Warning', 'FailedCreatePodSandBox', text);
    }
  }

  async start(state: PodState, start: Start): Promise<void> {
    const { spec } = start;
    const image = await this.image(state, start);
    if (!image || state.ending.signal.aborted) return;
    let id: string;
    try {
      id = await this.create(state, start, image);
    } catch (error) {
      const config = error instanceof ContainerConfigError || error instanceof VolumeError;
      const reason = config ? 'CreateContainerConfigError' : 'CreateContainerError';
      this.failed(state, spec.name, reason, errorText(error));
      this.deps.event(state.pod, 'Warning', 'Failed', `Error: ${errorText(error)}`, spec.name);
      return;
    }
    this.deps.event(state.pod, 'Normal', 'Created', `Created container: ${spec.name}`, spec.name);
    try {
      if (spec.lifecycle?.postStart) this.starting.add(id);
      await this.deps.runtime.startContainer(id);
      this.worked(state, spec.name);
      this.deps.event(state.pod, 'Normal', 'Started', `Started container ${spec.name}`, spec.name);
    } catch (error) {
      this.starting.delete(id);
      this.failed(state, spec.name, 'RunContainerError', errorText(error));
      this.deps.event(state.pod, 'Warning', 'Failed', `Error: ${errorText(error)}`, spec.name);
      return;
    }
    await this.postStart(state, start, id);
  }

  /** The volumes again: what came from API objects may have changed. Failures are tried again with the next refresh. */
  async refresh(state: PodState): Promise<ReadonlyMap<string, MountedVolume>> {
    return this.deps.volumes.mount(state.pod, this.facts(state));
  }

  private facts(state: PodState): DownwardFacts {
    const { nodeName, hostIps, allocatable } = this.deps.node;
    const { pod, observed } = state;
    return { nodeName, hostIps, allocatable, podIps: podIps({ pod, observed, hostIps }) };
  }

  private async image(state: PodState, { spec }: Start): Promise<Image | undefined> {
    const { pod } = state;
    const reference = spec.image ?? '';
    const latest = !reference.includes('@') && /^[^:]*$|:latest$/.test(reference.split('/').at(-1) ?? '');
    const auth = await this.credentials(pod, reference);
    const ensured = this.deps.images.ensure({
      reference,
      policy: spec.imagePullPolicy ?? (latest ? 'Always' : 'IfNotPresent'),
      owner: state.uid,
      ...(auth === undefined ? {} : { auth }),
      event: (type, reason, message) => this.deps.event(pod, type, reason, message, spec.name),
    });
    const result = await unlessEnded(ensured, state.ending.signal);
    if (!result) return undefined;
    if (result.ok) return result.image;
    const { reason, message, retryAfterMs } = result;
    this.deps.event(pod, 'Warning', 'Failed', `Error: ${reason}`, spec.name);
    // ErrImagePull is shown for a moment, then the back-off that follows it: both are asked of the image manager.
    const soon = reason === 'ErrImagePull' || retryAfterMs === 0 ? RETRY.baseMs * 5 : retryAfterMs;
    state.failures.set(spec.name, { reason, message, retryAtMs: this.deps.clock.nowMs() + soon });
    return undefined;
  }

  private async credentials(pod: Pod, reference: string) {
    for (const { name } of pod.spec?.imagePullSecrets ?? []) {
      if (name === undefined) continue;
      try {
        const secret = await this.deps.objects.secret(pod.metadata.namespace ?? 'default', name);
        const auth = secret && registryAuth(secret, reference);
        if (auth) return auth;
      } catch (error) {
        this.deps.log.debug('pull secret not read', { resource: SECRETS.resource, name, error: errorText(error) });
      }
    }
    return undefined;
  }

  private async create(state: PodState, start: Start, image: Image): Promise<string> {
    const { pod } = state;
    const volumes = await this.refresh(state);
    const processesOf = this.targetOf(state, start);
    return this.deps.runtime.createContainer({
      ...(await containerConfig({
        pod,
        start,
        image,
        volumes,
        objects: this.deps.objects,
        facts: this.facts(state),
        files: this.deps.volumes,
        hostsPath: await this.hosts(state),
        memoryCapacityBytes: this.deps.node.memoryCapacityBytes,
      })),
      processesOf,
    });
  }

  /** The container that an ephemeral one was added to look at (`kubectl debug --target`). */
  private targetOf(state: PodState, { spec }: Start): string | undefined {
    const { targetContainerName } = spec as EphemeralContainer;
    if (!targetContainerName) return undefined;
    const [target] = instancesOf(state.observed, targetContainerName);
    if (!target) throw new ContainerConfigError(`unable to find target container ${targetContainerName}`);
    return target.id;
  }

  private async hosts(state: PodState): Promise<string> {
    const { pod } = state;
    const { nodeName, clusterDns } = this.deps.node;
    const nodeHosts = pod.spec?.hostNetwork ? await readFile('/etc/hosts', 'utf8').catch(() => '') : '';
    const hostname = hostnameOf(pod, nodeName);
    const ips = newestSandbox(state.observed)?.ips ?? [];
    const text = hostsFile(pod, ips, hostname, domainOf(pod, clusterDns.domain), nodeHosts);
    return this.deps.volumes.write(state.uid, 'etc-hosts', text, 0o644);
  }

  private async postStart(state: PodState, { spec }: Start, id: string): Promise<void> {
    const handler = spec.lifecycle?.postStart;
    if (!handler) return;
    const hook = runHook(handler, {
      runtime: this.deps.runtime,
      clock: this.deps.clock,
      pod: state.pod,
      spec,
      containerId: id,
      podIp: newestSandbox(state.observed)?.ips[0] ?? this.deps.node.hostIps[0] ?? '',
      timeoutMs: undefined,
    });
    const failure = await unlessEnded(hook, state.ending.signal);
    this.starting.delete(id);
    if (failure === undefined) return;
    this.deps.event(state.pod, 'Warning', 'FailedPostStartHook', 'PostStartHook failed', spec.name);
    this.deps.log.debug('postStart hook failed', { container: spec.name, error: failure });
    state.condemned.set(id, 'FailedPostStartHook');
  }

  private failed(state: PodState, name: string, reason: string, message: string, retry = RETRY): void {
    const tries = this.tries.get(state) ?? new Map<string, number>();
    this.tries.set(state, tries);
    const count = (tries.get(name) ?? 0) + 1;
    tries.set(name, count);
    state.failures.set(name, { reason, message, retryAtMs: this.deps.clock.nowMs() + backoffMs(count, retry) });
  }

  private worked(state: PodState, name: string): void {
    state.failures.delete(name);
    this.tries.get(state)?.delete(name);
  }
}

/** The work's result, or undefined as soon as the pod ends. */
function unlessEnded<T>(work: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  if (signal.aborted) return Promise.resolve(undefined);
  return new Promise((resolve, reject) => {
    const stop = () => resolve(undefined);
    signal.addEventListener('abort', stop, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}
