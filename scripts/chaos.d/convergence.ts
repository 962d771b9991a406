/** Whether all peers show one state: the same objects of every kind at the same revision, their resourceVersions included. */
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Api, Json } from '../../test/e2e/harness/api.js';

const POLL_MS = 100;
const STATUS_MS = 4_000;
/** A list of a busy peer that is given up is only asked for again. */
const LIST_MS = 20_000;
/** The namespace of nodes' Leases. */
const NODE_LEASES = 'kube-node-lease';
/** Not objects of the store. */
const COMPUTED_GROUPS = new Set(['metrics.k8s.io']);

/** Paths of all kinds that can be listed. */
export async function listPaths(api: Api): Promise<string[]> {
  const { groups } = await api.get('/apis');
  const roots: string[] = ['/api/v1'];
  for (const { name, preferredVersion } of groups) {
    if (!COMPUTED_GROUPS.has(name)) roots.push(`/apis/${preferredVersion.groupVersion}`);
  }
  const lists = await Promise.all(roots.map(async (root) => ({ root, resources: (await api.get(root)).resources })));
  return lists.flatMap(({ root, resources }) =>
    (resources as Json[])
      .filter(({ name, verbs }) => !name.includes('/') && verbs.includes('list'))
      .map(({ name }) => `${root}/${name}`),
  );
}

/** Without what a peer shows of its own knowledge: when it last heard of a node is in that node's Lease. */
function stored(item: Json): Json {
  if (item.metadata.namespace !== NODE_LEASES) return item;
  return { ...item, spec: { ...item.spec, renewTime: undefined } };
}

/** A hash of what is at each path as it was at a revision. Rejects when the peer cannot tell (any more, or yet). */
async function stateAt(api: Api, paths: readonly string[], revision: number): Promise<string[]> {
  const query = `?resourceVersionMatch=Exact&resourceVersion=${revision}`;
  return Promise.all(
    paths.map(async (path) => {
      const { status, body } = await api.send('GET', `${path}${query}`, undefined, { timeoutMs: LIST_MS });
      if (status !== 200) throw new Error(`${path} at revision ${revision}: ${status} ${body?.message}`);
      return createHash('sha256')
        .update(JSON.stringify(body.items.map(stored)))
        .digest('hex');
    }),
  );
}

/** All peers in one component, under one epoch; the least revision that all have. */
async function commonRevision(apis: readonly Api[]): Promise<number> {
  const all = await Promise.all(
    apis.map((api) => api.send('GET', '/skein/v1/status', undefined, { timeoutMs: STATUS_MS })),
  );
  const views = all.map(({ body }) => body?.view);
  if (views.some((view) => !view || view.voters.length !== apis.length))
    throw new Error('not all are in one component');
  const epochs = new Set(views.map(({ epoch }) => `${epoch.n} ${epoch.leader}`));
  if (epochs.size > 1) throw new Error('they follow different sequencers');
  return Math.min(...all.map(({ body }) => Number(body.revision)));
}

/** Resolves once all peers show one state; rejects after the limit, saying what was missing. */
export async function identical(
  apis: readonly Api[],
  paths: readonly string[],
  { limitMs, onMissing }: { readonly limitMs: number; readonly onMissing?: (why: string) => void },
): Promise<void> {
  const untilMs = performance.now() + limitMs;
  let last = '';
  for (;;) {
    let why: string;
    try {
      const revision = await commonRevision(apis);
      const states = await Promise.all(apis.map((api) => stateAt(api, paths, revision)));
      const different = paths.filter((_path, i) => new Set(states.map((state) => state[i])).size > 1);
      if (different.length === 0) return;
      why = `the peers show different states of ${different.join(', ')}`;
    } catch (error) {
      why = error instanceof Error ? error.message : String(error);
    }
    if (why !== last) onMissing?.((last = why));
    if (performance.now() > untilMs) throw new Error(why);
    await sleep(POLL_MS);
  }
}
