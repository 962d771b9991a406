/** Registry credentials out of pull secrets (`kubernetes.io/dockerconfigjson` and `kubernetes.io/dockercfg`). */
import type { Secret } from '../../api/types/core-v1.js';

export interface RegistryAuth {
  readonly username: string;
  readonly password: string;
}

const DOCKER_HUB = 'docker.io';

/** The credentials the secret has for the image's registry. What cannot be read counts as none. */
export function registryAuth(secret: Secret, reference: string): RegistryAuth | undefined {
  const entries = entriesOf(secret);
  const registry = registryOf(reference);
  for (const [key, entry] of Object.entries(entries)) {
    const host = key.replace(/^https?:\/\//, '').split('/')[0] ?? '';
    const same = host === registry || (registry === DOCKER_HUB && host.endsWith('docker.io'));
    const auth = same ? authOf(entry) : undefined;
    if (auth) return auth;
  }
  return undefined;
}

function registryOf(reference: string): string {
  const [first = ''] = reference.split('/');
  const named = reference.includes('/') && (first.includes('.') || first.includes(':') || first === 'localhost');
  return named ? first : DOCKER_HUB;
}

type Entry = { readonly auth?: string; readonly username?: string; readonly password?: string };

function entriesOf({ data = {} }: Secret): Readonly<Record<string, Entry>> {
  const text = data['.dockerconfigjson'] ?? data['.dockercfg'];
  if (text === undefined) return {};
  try {
    const parsed = JSON.parse(Buffer.from(text, 'base64').toString('utf8')) as { auths?: Record<string, Entry> };
    return data['.dockerconfigjson'] === undefined ? (parsed as Record<string, Entry>) : (parsed.auths ?? {});
  } catch {
    return {};
  }
}

function authOf({ auth, username, password }: Entry): RegistryAuth | undefined {
  if (username !== undefined && password !== undefined) return { username, password };
  const [user, ...rest] = Buffer.from(auth ?? '', 'base64')
    .toString('utf8')
    .split(':');
  return user && rest.length > 0 ? { username: user, password: rest.join(':') } : undefined;
}
