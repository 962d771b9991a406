/** The files of configMap, secret, downwardAPI and projected volumes. */
import type {
  ConfigMap,
  DownwardAPIVolumeFile,
  KeyToPath,
  Pod,
  Secret,
  ServiceAccountTokenProjection,
  Volume,
} from '../../api/types/core-v1.js';
import type { FilePayload } from './atomic-writer.js';
import { podField, resourceField, type DownwardFacts } from './downward.js';
import type { ObjectSource } from './object-source.js';
import type { TokenSource } from './service-account-tokens.js';

/** A volume that cannot be set up now; the text is upstream's, for the FailedMount event. */
export class VolumeError extends Error {
  readonly code = 'ERR_VOLUME';
}

export interface PayloadContext {
  readonly pod: Pod;
  readonly objects: ObjectSource;
  readonly facts: DownwardFacts;
  readonly tokens: TokenSource;
  /** What the volume holds at a path now; undefined when nothing. */
  readonly present: (path: string) => Promise<string | undefined>;
}

type Payload = Map<string, FilePayload>;

const DEFAULT_MODE = 0o644;
const TOKEN_SECONDS = 3607;

/** The files of a volume, or undefined when it is of another kind. Throws {@link VolumeError}. */
export async function payloadOf(volume: Volume, context: PayloadContext): Promise<Payload | undefined> {
  const { configMap, secret, downwardAPI, projected } = volume;
  if (configMap) {
    const mode = configMap.defaultMode ?? DEFAULT_MODE;
    return configMapFiles(configMap.name ?? '', configMap.items, configMap.optional, mode, context);
  }
  if (secret) {
    const mode = secret.defaultMode ?? DEFAULT_MODE;
    return secretFiles(secret.secretName ?? '', secret.items, secret.optional, mode, context);
  }
  if (downwardAPI) return downwardFiles(downwardAPI.items ?? [], downwardAPI.defaultMode ?? DEFAULT_MODE, context);
  if (!projected) return undefined;
  const mode = projected.defaultMode ?? DEFAULT_MODE;
  const all: Payload = new Map();
  for (const source of projected.sources ?? []) {
    const files = source.configMap
      ? await configMapFiles(
          source.configMap.name ?? '',
          source.configMap.items,
          source.configMap.optional,
          mode,
          context,
        )
      : source.secret
        ? await secretFiles(source.secret.name ?? '', source.secret.items, source.secret.optional, mode, context)
        : source.downwardAPI
          ? downwardFiles(source.downwardAPI.items ?? [], mode, context)
          : source.serviceAccountToken
            ? await tokenFile(source.serviceAccountToken, mode, context)
            : new Map<string, FilePayload>();
    for (const [path, file] of files) all.set(path, file);
  }
  return all;
}

async function configMapFiles(
  name: string,
  items: readonly KeyToPath[] | undefined,
  optional: boolean | undefined,
  mode: number,
  { pod, objects }: PayloadContext,
): Promise<Payload> {
  const found = await objects.configMap(pod.metadata.namespace ?? 'default', name);
  if (!found && optional !== true) throw new VolumeError(`configmap "${name}" not found`);
  const refuse = (key: string) => new VolumeError(`configmap references non-existent config key: ${key}`);
  return pick(configMapData(found), items, mode, optional, refuse);
}

function configMapData(map: ConfigMap | undefined): ReadonlyMap<string, Uint8Array> {
  const data = new Map<string, Uint8Array>();
  for (const [key, value] of Object.entries(map?.data ?? {})) data.set(key, Buffer.from(value, 'utf8'));
  for (const [key, value] of Object.entries(map?.binaryData ?? {})) data.set(key, Buffer.from(String(value), 'base64'));
  return data;
}

async function secretFiles(
  name: string,
  items: readonly KeyToPath[] | undefined,
  optional: boolean | undefined,
  mode: number,
  { pod, objects }: PayloadContext,
): Promise<Payload> {
  const found: Secret | undefined = await objects.secret(pod.metadata.namespace ?? 'default', name);
  if (!found && optional !== true) throw new VolumeError(`secret "${name}" not found`);
  const data = new Map(
    Object.entries(found?.data ?? {}).map(([key, value]) => [key, Buffer.from(value, 'base64')] as const),
  );
  return pick(data, items, mode, optional, (key) => new VolumeError(`references non-existent secret key: ${key}`));
}

function pick(
  data: ReadonlyMap<string, Uint8Array>,
  items: readonly KeyToPath[] | undefined,
  mode: number,
  optional: boolean | undefined,
  refuse: (key: string) => VolumeError,
): Payload {
  if (!items || items.length === 0) {
    return new Map([...data].map(([key, bytes]) => [key, { data: bytes, mode }]));
  }
  const picked: Payload = new Map();
  for (const item of items) {
    const bytes = data.get(item.key);
    if (bytes) picked.set(item.path, { data: bytes, mode: item.mode ?? mode });
    else if (optional !== true) throw refuse(item.key);
  }
  return picked;
}

function downwardFiles(items: readonly DownwardAPIVolumeFile[], mode: number, { pod, facts }: PayloadContext): Payload {
  const files: Payload = new Map();
  for (const { path, fieldRef, resourceFieldRef, mode: own } of items) {
    const text = fieldRef
      ? (podField(pod, fieldRef.fieldPath, facts) ?? '')
      : resourceFieldRef
        ? resourceField(pod, resourceFieldRef, resourceFieldRef.containerName ?? '', facts)
        : '';
    files.set(path, { data: Buffer.from(text, 'utf8'), mode: own ?? mode });
  }
  return files;
}

async function tokenFile(
  { audience, expirationSeconds = TOKEN_SECONDS, path }: ServiceAccountTokenProjection,
  mode: number,
  { pod, tokens, present }: PayloadContext,
): Promise<Payload> {
  try {
    const text = await tokens.token(pod, { audience, expirationSeconds }, await present(path));
    return new Map([[path, { data: Buffer.from(text, 'utf8'), ...tokenAccess(pod, mode) }]]);
  } catch (error) {
    throw new VolumeError(`failed to fetch token: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** A token is for its user alone where that is known: one for all containers, or the group of the pod's volumes. */
function tokenAccess({ spec }: Pod, mode: number): Pick<FilePayload, 'mode' | 'user'> {
  const containers = [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])];
  const users = new Set(containers.map((one) => one.securityContext?.runAsUser ?? spec?.securityContext?.runAsUser));
  const [user] = users.size === 1 ? users : [];
  if (user === undefined && spec?.securityContext?.fsGroup === undefined) return { mode };
  return { mode: 0o600, ...(user === undefined ? {} : { user }) };
}
