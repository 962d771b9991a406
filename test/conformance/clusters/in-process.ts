/** For developing rows: one API server with a memory store in this process. No controllers, no nodes. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startCluster } from '../../integration/apiserver/cluster.js';
import { Api } from '../framework/http.js';
import type { Cluster } from './cluster.js';

export async function startInProcess(): Promise<Cluster> {
  const server = await startCluster();
  const { url } = server;
  const home = await mkdtemp(join(tmpdir(), 'skein-conformance-'));
  const kubeconfig = join(home, 'kubeconfig');
  await writeFile(
    kubeconfig,
    `apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: "${url}"}}]\n` +
      'contexts: [{name: c, context: {cluster: c, user: u}}]\ncurrent-context: c\nusers: [{name: u, user: {}}]\n',
  );
  return {
    description: 'one API server with a memory store, no controllers',
    api: Api.open([{ url }]),
    kubeconfigs: [kubeconfig],
    hasControllers: false,
    stop: async () => {
      await server.stop();
      await rm(home, { recursive: true, force: true });
    },
  };
}
