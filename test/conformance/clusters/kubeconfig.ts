/** Any cluster that a kubeconfig (or several, one for each peer) points at. */
import { readFile } from 'node:fs/promises';
import { parse } from 'yaml';
import { Api, type Json, type PeerAddress } from '../framework/http.js';
import type { Cluster } from './cluster.js';

const decoded = (text: string | undefined): Buffer | undefined =>
  text === undefined ? undefined : Buffer.from(text, 'base64');

async function bytesOf(entry: Json, name: string): Promise<Buffer | undefined> {
  const file: string | undefined = entry[name];
  return decoded(entry[`${name}-data`]) ?? (file === undefined ? undefined : readFile(file));
}

/** The current context's server and credentials (certificate or token). */
export async function readKubeconfig(path: string): Promise<PeerAddress> {
  const config: Json = parse(await readFile(path, 'utf8'));
  const named = (list: Json[], name: string) => list.find((entry) => entry.name === name) ?? list[0];
  const { context } = named(config.contexts, config['current-context']);
  const { cluster } = named(config.clusters, context.cluster);
  const { user } = named(config.users, context.user);
  const ca = await bytesOf(cluster, 'certificate-authority');
  const cert = await bytesOf(user, 'client-certificate');
  const key = await bytesOf(user, 'client-key');
  return {
    url: cluster.server,
    ...(ca ? { ca } : {}),
    ...(cert ? { cert } : {}),
    ...(key ? { key } : {}),
    ...(user.token ? { token: String(user.token) } : {}),
  };
}

export async function openCluster(kubeconfigs: readonly string[]): Promise<Cluster> {
  const addresses = await Promise.all(kubeconfigs.map(readKubeconfig));
  const api = Api.open(addresses);
  return {
    description: addresses.map(({ url }) => url).join(', '),
    api,
    kubeconfigs,
    hasControllers: true,
    stop: () => {
      api.close();
      return Promise.resolve();
    },
  };
}
