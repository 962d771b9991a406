/** From a container's spec to what the runtime is asked to create. */
import { join } from 'node:path';
import type { Pod, VolumeMount } from '../../api/types/core-v1.js';
import type { DownwardFacts } from '../volumes/downward.js';
import type { ObjectSource } from '../volumes/object-source.js';
import { resolveSubPath, type MountedVolume, type PodFiles } from '../volumes/pod-volumes.js';
import type { ContainerConfig, Image, Mount } from '../runtime/runtime.js';
import { NOTE, specHash } from './container-notes.js';
import { containerResources } from './container-resources.js';
import { ContainerConfigError, environmentOf, expand, type Environment } from './environment.js';
import type { Action } from './plan.js';
import { identityOf, podText } from './pod-model.js';

export interface ConfigContext {
  readonly pod: Pod;
  readonly start: Extract<Action, { type: 'start' }>;
  readonly image: Image;
  readonly volumes: ReadonlyMap<string, MountedVolume>;
  readonly objects: ObjectSource;
  readonly facts: DownwardFacts;
  readonly files: Pick<PodFiles, 'write'>;
  /** The managed `/etc/hosts`; absent for none. */
  readonly hostsPath: string | undefined;
  readonly memoryCapacityBytes: number;
}

/** Throws {@link ContainerConfigError} (the pod's mistake) or a volume error. */
export async function containerConfig(context: ConfigContext): Promise<ContainerConfig> {
  const { pod, start, image } = context;
  const { spec } = start;
  const security = { ...pod.spec?.securityContext, ...spec.securityContext };
  const own = spec.securityContext ?? {};
  verifyNonRoot(context);
  const env = await environmentOf(pod, spec, context.objects, context.facts);
  const lookup = (name: string) => env.find(([key]) => key === name)?.[1];
  const message = await messageFile(context);
  const fsGroup = pod.spec?.securityContext?.fsGroup;
  const groups = pod.spec?.securityContext?.supplementalGroups ?? [];
  const user =
    security.runAsUser === undefined
      ? undefined
      : `${security.runAsUser}${security.runAsGroup === undefined ? '' : `:${security.runAsGroup}`}`;
  return {
    pod: identityOf(pod),
    sandboxId: start.sandboxId,
    name: spec.name,
    attempt: start.attempt,
    imageId: image.id,
    image: spec.image ?? '',
    command: nonEmpty(spec.command)?.map((word) => expand(word, lookup)),
    args: nonEmpty(spec.args)?.map((word) => expand(word, lookup)),
    workingDir: spec.workingDir || undefined,
    env,
    mounts: [...(await mountsOf(context, env)), message.mount],
    resources: containerResources(pod, spec, context.memoryCapacityBytes),
    user,
    groups: fsGroup === undefined ? groups : [...new Set([...groups, fsGroup])],
    privileged: own.privileged ?? false,
    readOnlyRootfs: own.readOnlyRootFilesystem ?? false,
    addCapabilities: own.capabilities?.add ?? [],
    dropCapabilities: own.capabilities?.drop ?? [],
    noNewPrivileges: own.allowPrivilegeEscalation === false,
    stdin: spec.stdin ?? false,
    stdinOnce: spec.stdinOnce ?? false,
    tty: spec.tty ?? false,
    labels: {},
    annotations: {
      [NOTE.specHash]: specHash(spec),
      [NOTE.backoffMs]: String(start.backoffMs),
      [NOTE.messagePath]: message.mount.hostPath,
      [NOTE.messagePolicy]: spec.terminationMessagePolicy ?? 'File',
      [NOTE.graceSeconds]: String(pod.spec?.terminationGracePeriodSeconds ?? 30),
      ...(spec.lifecycle?.preStop ? { [NOTE.preStop]: JSON.stringify(spec.lifecycle.preStop) } : {}),
    },
  };
}

const nonEmpty = (words: readonly string[] | undefined) => (words && words.length > 0 ? words : undefined);

function verifyNonRoot({ pod, start: { spec }, image }: ConfigContext): void {
  const security = { ...pod.spec?.securityContext, ...spec.securityContext };
  if (security.runAsNonRoot !== true) return;
  const where = `(pod: "${podText(identityOf(pod))}", container: ${spec.name})`;
  if (security.runAsUser !== undefined) {
    if (security.runAsUser !== 0) return;
    throw new ContainerConfigError(`container's runAsUser breaks non-root policy ${where}`);
  }
  const [user = ''] = image.user.split(':');
  if (user === '' || user === '0') {
    throw new ContainerConfigError(`container has runAsNonRoot and image will run as root ${where}`);
  }
  if (!/^\d+$/.test(user)) {
    const text = `container has runAsNonRoot and image has non-numeric user (${user}), cannot verify user is non-root`;
    throw new ContainerConfigError(`${text} ${where}`);
  }
}

/** The file that the container writes its last words to, one for each attempt. */
async function messageFile({ pod, start, files }: ConfigContext): Promise<{ mount: Mount }> {
  const file = join('containers', start.spec.name, String(start.attempt));
  const hostPath = await files.write(pod.metadata.uid ?? '', file, '', 0o666);
  const containerPath = start.spec.terminationMessagePath ?? '/dev/termination-log';
  return { mount: { hostPath, containerPath, readOnly: false, propagation: 'private' } };
}

const PROPAGATION = { None: 'private', HostToContainer: 'rslave', Bidirectional: 'rshared' } as const;

async function mountsOf(context: ConfigContext, env: Environment): Promise<Mount[]> {
  const mounts: Mount[] = [];
  const wanted = context.start.spec.volumeMounts ?? [];
  for (const mount of wanted) {
    const volume = context.volumes.get(mount.name);
    if (!volume) throw new ContainerConfigError(`cannot find volume "${mount.name}" to mount into container`);
    mounts.push({
      hostPath: await sourcePath(volume, mount, env),
      containerPath: mount.mountPath.startsWith('/') ? mount.mountPath : `/${mount.mountPath}`,
      readOnly: volume.readOnly || mount.readOnly === true,
      propagation: PROPAGATION[mount.mountPropagation ?? 'None'],
    });
  }
  const { hostsPath } = context;
  if (hostsPath !== undefined && !wanted.some(({ mountPath }) => mountPath === '/etc/hosts')) {
    mounts.push({ hostPath: hostsPath, containerPath: '/etc/hosts', readOnly: false, propagation: 'private' });
  }
  return mounts;
}

async function sourcePath(volume: MountedVolume, mount: VolumeMount, env: Environment): Promise<string> {
  const written = mount.subPathExpr
    ? expand(mount.subPathExpr, (name) => env.find(([key]) => key === name)?.[1])
    : mount.subPath;
  if (!written) return volume.path;
  try {
    return await resolveSubPath(volume.path, written);
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    throw new ContainerConfigError(`failed to prepare subPath for volumeMount "${mount.name}": ${text}`);
  }
}
