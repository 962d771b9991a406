/** Pure: what a sandbox or a container of ours is in the words of `POST /containers/create` (API 1.41). */
import type { ContainerConfig, Mount, SandboxConfig } from '../runtime.js';
import { containerLabels, sandboxLabels } from './labels.js';

export interface LogLimits {
  /** Size of one log file before it is rotated, as Docker writes it; the kubelet's default is `10m`. */
  readonly maxSize: string;
  /** Rotated files kept; the kubelet's default is 5. */
  readonly maxFiles: number;
}

/** How the containers of a pod join what its sandbox has. */
export interface SandboxJoin {
  readonly id: string;
  readonly hostPid: boolean;
  readonly hostIpc: boolean;
  readonly sharePid: boolean;
  /** File that becomes `/etc/resolv.conf`. */
  readonly resolvConfPath: string | undefined;
}

/** Upstream's default for pods that ask for nothing is no seccomp filter (`Unconfined`), other than Docker's. */
const SECCOMP = 'seccomp=unconfined';

/** The sandbox's own out-of-memory score: the kernel takes everything else first (the kubelet's `PodInfraOOMAdj`). */
const SANDBOX_OOM_SCORE = -998;

export interface SandboxSetting {
  readonly image: string;
  readonly mode: 'none' | 'host' | 'bridge';
  readonly scope: string;
  readonly resolvConfPath: string | undefined;
  /** Scores below it are raised to it. */
  readonly lowestOomScore: number;
}

export interface ContainerSetting {
  readonly log: LogLimits;
  readonly scope: string;
  readonly lowestOomScore: number;
}

export function sandboxSpecification(config: SandboxConfig, setting: SandboxSetting): object {
  return {
    Image: setting.image,
    Hostname: config.hostname,
    Entrypoint: ['/pause'],
    Labels: sandboxLabels(config, setting.scope, setting.resolvConfPath),
    HostConfig: {
      NetworkMode: setting.mode,
      IpcMode: config.hostIpc ? 'host' : 'shareable',
      PidMode: config.hostPid ? 'host' : '',
      Sysctls: config.sysctls,
      OomScoreAdj: Math.max(SANDBOX_OOM_SCORE, setting.lowestOomScore),
      CpuShares: 2,
      ReadonlyRootfs: true,
      SecurityOpt: ['no-new-privileges', SECCOMP],
      LogConfig: { Type: 'none' },
      RestartPolicy: { Name: 'no' },
    },
  };
}

export function containerSpecification(config: ContainerConfig, join: SandboxJoin, setting: ContainerSetting): object {
  const { resources } = config;
  return {
    Image: config.imageId || config.image,
    // An entrypoint of ours makes Docker drop the image's arguments, as Kubernetes wants it.
    ...(config.command === undefined ? {} : { Entrypoint: config.command }),
    ...(config.args === undefined ? {} : { Cmd: config.args }),
    ...(config.workingDir === undefined ? {} : { WorkingDir: config.workingDir }),
    ...(config.user === undefined ? {} : { User: config.user }),
    Env: config.env.map(([name, value]) => `${name}=${value}`),
    Labels: containerLabels(config, setting.scope),
    OpenStdin: config.stdin,
    StdinOnce: config.stdinOnce,
    Tty: config.tty,
    // Probes are the kubelet's; a health check of the image would only cost.
    Healthcheck: { Test: ['NONE'] },
    HostConfig: {
      NetworkMode: `container:${join.id}`,
      IpcMode: join.hostIpc ? 'host' : `container:${join.id}`,
      PidMode: pidMode(config, join),
      Mounts: mounts(config.mounts, join.resolvConfPath),
      CpuShares: resources.cpuShares,
      CpuQuota: resources.cpuQuotaUs,
      CpuPeriod: resources.cpuQuotaUs > 0 ? resources.cpuPeriodUs : 0,
      Memory: resources.memoryLimitBytes,
      // No swap beyond the limit.
      MemorySwap: resources.memoryLimitBytes,
      OomScoreAdj: Math.max(resources.oomScoreAdj, setting.lowestOomScore),
      Privileged: config.privileged,
      ReadonlyRootfs: config.readOnlyRootfs,
      CapAdd: config.addCapabilities.map(capability),
      CapDrop: config.dropCapabilities.map(capability),
      GroupAdd: config.groups.map(String),
      SecurityOpt: config.noNewPrivileges ? ['no-new-privileges', SECCOMP] : [SECCOMP],
      LogConfig: {
        Type: 'json-file',
        Config: { 'max-size': setting.log.maxSize, 'max-file': String(setting.log.maxFiles) },
      },
      RestartPolicy: { Name: 'no' },
    },
  };
}

function pidMode({ processesOf }: ContainerConfig, join: SandboxJoin): string {
  if (processesOf !== undefined) return `container:${processesOf}`;
  if (join.hostPid) return 'host';
  return join.sharePid ? `container:${join.id}` : '';
}

function capability(name: string): string {
  return name.toUpperCase().replace(/^CAP_/, '');
}

function mounts(wanted: readonly Mount[], resolvConfPath: string | undefined): object[] {
  const all = wanted.map((mount) => ({
    Type: 'bind',
    Source: mount.hostPath,
    Target: mount.containerPath,
    ReadOnly: mount.readOnly,
    // Private is Docker's own choice, except for what its data lie in (such as `/`), where it refuses the word.
    ...(mount.propagation === 'private' ? {} : { BindOptions: { Propagation: mount.propagation } }),
  }));
  if (resolvConfPath !== undefined && !wanted.some((mount) => mount.containerPath === '/etc/resolv.conf')) {
    const Target = '/etc/resolv.conf';
    all.push({
      Type: 'bind',
      Source: resolvConfPath,
      Target,
      ReadOnly: false,
    });
  }
  return all;
}

/** The text of a sandbox's `/etc/resolv.conf` (resolv.conf(5)); empty when nothing is asked for. */
export function resolvConf(dns: SandboxConfig['dns']): string {
  const lines: string[] = [];
  if (dns.searches.length > 0) lines.push(`search ${dns.searches.join(' ')}`);
  for (const server of dns.servers) lines.push(`nameserver ${server}`);
  if (dns.options.length > 0) lines.push(`options ${dns.options.join(' ')}`);
  return lines.length === 0 ? '' : `${lines.join('\n')}\n`;
}
