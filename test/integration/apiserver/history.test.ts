/** The past of objects, and what merges overrode, over HTTP and by the commands, on a replica of its own. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createKindPolicies } from '../../../src/agent/kind-policies.js';
import { createSkeinEndpoints, type SkeinEndpointsDeps } from '../../../src/agent/skein-endpoints.js';
import type { KubeObject } from '../../../src/api/object.js';
import { NAMESPACES } from '../../../src/api/resource.js';
import { KindRegistry } from '../../../src/api/schema/registry.js';
import { systemClock } from '../../../src/base/clock.js';
import { silentLogger } from '../../../src/base/log.js';
import { noMetrics } from '../../../src/base/metrics.js';
import { systemRandom } from '../../../src/base/random.js';
import { ApiServer } from '../../../src/control/apiserver/http/server.js';
import { createApiPipeline, createWritePipeline } from '../../../src/control/apiserver/pipeline.js';
import { SYSTEM_USER } from '../../../src/control/apiserver/writes/executor.js';
import { LevelDisk } from '../../../src/store/level-disk.js';
import { DEFAULT_REPLICA_OPTIONS, type PeerNetwork } from '../../../src/store/replication/context.js';
import { CONFLICT_LIMITS, ConflictLog, type MergeReport } from '../../../src/store/replication/conflict-log.js';
import { Replica } from '../../../src/store/replication/replica.js';
import { skein } from '../../unit/cli/terminal.js';

const alone: PeerNetwork = {
  self: 'alone',
  send: () => false,
  onMessage: () => () => undefined,
  alive: () => ['alone'],
  nameOf: (peer) => peer,
  formatsOf: () => undefined,
  onChange: () => () => undefined,
};

const parts = { clock: systemClock, random: systemRandom, log: silentLogger, metrics: noMetrics };

async function startHistoryCluster(dir: string) {
  const registry = KindRegistry.load();
  const writes = createWritePipeline({ registry, random: systemRandom });
  const replica = new Replica(
    {
      ...parts,
      disk: new LevelDisk(join(dir, 'store')),
      network: alone,
      policies: createKindPolicies(registry),
      executor: (transaction, request) => {
        const { reports } = request as { reports?: readonly MergeReport[] };
        if (!reports) return writes.executor(transaction, request);
        new ConflictLog(CONFLICT_LIMITS).note(transaction, reports);
        return { code: 200, body: {}, warnings: [] };
      },
    },
    {
      ...DEFAULT_REPLICA_OPTIONS,
      historyEvents: 1_000,
      logBytes: 1 << 20,
      logFrames: 1_000,
      replies: 1_000,
      tombstoneRetentionMs: 86_400_000,
      flushDelayMs: 100,
      fsync: false,
      mayFound: true,
      objectHistory: { changes: 4, bytes: 100_000, totalBytes: 1_000_000 },
    },
  );
  await replica.start();
  const pipeline = createApiPipeline({
    ...parts,
    registry,
    store: replica,
    writes,
    clusterSecret: systemRandom.bytes(32),
  });
  await pipeline.followers.start();
  const history = { registry, past: replica.past.bind(replica), fresh: () => pipeline.reads.fresh(undefined) };
  const { fresh } = history;
  const conflicts = { registry, conflicts: () => replica.conflicts, fresh };
  const extension = createSkeinEndpoints({ history, conflicts } as unknown as SkeinEndpointsDeps);
  const serve = async (insecureUser: { name: string; groups: readonly string[] }) => {
    const server = new ApiServer({ ...pipeline.server, extension }, { port: 0, host: '127.0.0.1', insecureUser });
    await server.start();
    return server;
  };
  const servers = [
    await serve(SYSTEM_USER),
    await serve({ name: 'reader', groups: ['system:authenticated'] }),
  ] as const;
  return {
    replica,
    client: pipeline.client,
    urls: servers.map(({ address }) => `http://127.0.0.1:${address.port}`) as [string, string],
    async stop() {
      for (const server of servers) await server.stop();
      await pipeline.followers.stop();
      await replica.stop();
    },
  };
}

describe('the history of objects', () => {
  let cluster: Awaited<ReturnType<typeof startHistoryCluster>>;
  let dir: string;
  const revisions: string[] = [];

  const ask = async (
    path: string,
    { method = 'GET', body, as = 0 }: { method?: string; body?: object; as?: 0 | 1 } = {},
  ) => {
    const response = await fetch(`${cluster.urls[as]}${path}`, {
      method,
      ...(body ? { body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } } : {}),
    });
    return { code: response.status, body: (await response.json()) as Record<string, unknown> & KubeObject };
  };
  const MAPS = '/api/v1/namespaces/default/configmaps';
  const PAST = `/skein/v1/history${MAPS}`;
  const cli = (line: string) => skein(line.split(' '), { env: { SKEIN_DATA_DIR: dir } });
  const start = async () => {
    cluster = await startHistoryCluster(dir);
    const config = {
      clusters: [{ name: 'c', cluster: { server: cluster.urls[0] } }],
      contexts: [{ name: 'x', context: { cluster: 'c' } }],
    };
    await writeFile(join(dir, 'admin.kubeconfig'), JSON.stringify({ ...config, 'current-context': 'x' }));
  };
  const write = async (method: string, path: string, manager: string, data: object) => {
    const body = { metadata: { name: 'm' }, data };
    const { body: object } = await ask(`${path}?fieldManager=${manager}`, { method, body });
    revisions.push(object.metadata.resourceVersion ?? '');
  };

  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'skein-history-'));
    await start();
    const { client } = cluster;
    await client.create(NAMESPACES, { metadata: { name: 'default' } });
    await write('POST', MAPS, 'maker', { a: '1', b: '1' });
    await write('PUT', `${MAPS}/m`, 'editor', { a: '2', b: '1' });
    await write('PUT', `${MAPS}/m`, 'editor', { a: '2', 'dotted.key': 'x' });
  });

  after(async () => {
    await cluster.stop();
    await rm(dir, { recursive: true });
  });

  it('tells who changed which fields', async () => {
    const { code, body } = await ask(`${PAST}/m`);
    assert.equal(code, 200);
    const changes = body['changes'] as { revision: number; kind: string; by: string; fields: unknown }[];
    assert.deepEqual(
      changes.map(({ revision, kind, by, fields }) => ({ revision: String(revision), kind, by, fields })),
      [
        { revision: revisions[0], kind: 'created', by: 'maker', fields: [] },
        { revision: revisions[1], kind: 'changed', by: 'editor', fields: [{ path: 'data.a', old: '1', new: '2' }] },
        {
          revision: revisions[2],
          kind: 'changed',
          by: 'editor',
          fields: [
            { path: 'data.b', old: '1' },
            { path: 'data[dotted.key]', new: 'x' },
          ],
        },
      ],
    );
    const { out } = await cli('history cm/m');
    assert.match(
      out,
      /^REVISION +TIME +BY +CHANGE\n\d+ +\S+Z +maker +created\n\d+ +\S+Z +editor +~ data\.a: "1" -> "2"\n\d+ +\S+Z +editor +- data\.b: "1"\n +\+ data\[dotted\.key\]: "x"\n$/,
    );
  });

  it('shows the state at a revision and at a time', async () => {
    const { body } = await ask(`${PAST}/m?at=${revisions[1]}`);
    assert.deepEqual(body['data'], { a: '2', b: '1' });
    assert.equal(body.metadata.resourceVersion, revisions[1]);
    const now = await ask(`${PAST}/m?at=2999-01-01T00:00:00Z`);
    assert.deepEqual(now.body, (await ask(`${MAPS}/m`)).body);
    const { out, code } = await cli(`get cm m --at ${revisions[0]}`);
    assert.equal(code, 0);
    assert.match(out, /^apiVersion: v1\ndata:\n {2}a: "1"\n {2}b: "1"\nkind: ConfigMap\n/);
    const before = await cli('get cm m --at 1');
    assert.equal(before.err, 'Error from server (NotFound): configmaps "m" not found\n');
    assert.equal((await ask(`${PAST}/m?at=yesterday`)).code, 400);
  });

  it('shows what changed between two moments', async () => {
    const { out } = await cli(`diff cm/m --from ${revisions[0]}`);
    assert.equal(
      out,
      `revision ${revisions[0]} -> revision ${revisions[2]}\n~ data.a: "1" -> "2"\n- data.b: "1"\n+ data[dotted.key]: "x"\n`,
    );
    const same = await cli(`diff cm m --from ${revisions[1]} --to ${revisions[1]}`);
    assert.equal(same.out, `revision ${revisions[1]} -> revision ${revisions[1]}\nno difference\n`);
  });

  it('outlives the object, and says where it ends', async () => {
    const path = `${MAPS}/short`;
    const made = await ask(MAPS, { method: 'POST', body: { metadata: { name: 'short' }, data: { n: '0' } } });
    for (let n = 1; n <= 3; n++)
      await ask(path, { method: 'PUT', body: { metadata: { name: 'short' }, data: { n: `${n}` } } });
    await ask(path, { method: 'DELETE' });
    const { body } = await ask(`${PAST}/short`);
    assert.deepEqual(
      (body['changes'] as { kind: string }[]).map(({ kind }) => kind),
      ['changed', 'changed', 'changed', 'deleted'],
    );
    assert.equal((await ask(`${PAST}/short?at=2999-01-01T00:00:00Z`)).code, 404);
    assert.equal((await ask(`${PAST}/short?at=${made.body.metadata.resourceVersion}`)).code, 200);
    const gone = await cli('get cm short --at 1');
    assert.match(
      gone.err,
      /^Error from server \(Expired\): what this peer remembers of the object reaches back to revision \d+ \(/,
    );
    assert.equal((await ask(`${PAST}/never`)).code, 404);
  });

  it('is for those who may get the object', async () => {
    const RBAC = '/apis/rbac.authorization.k8s.io/v1/namespaces/default';
    const refused = await ask(`${PAST}/m`, { as: 1 });
    assert.equal(refused.code, 403);
    assert.match(
      String(refused.body['message']),
      /cannot get resource "configmaps" in API group "" in the namespace "default"/,
    );
    const rules = [{ apiGroups: [''], resources: ['configmaps'], resourceNames: ['m'], verbs: ['get'] }];
    await ask(`${RBAC}/roles`, { method: 'POST', body: { metadata: { name: 'r' }, rules } });
    const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'r' };
    const subjects = [{ kind: 'User', name: 'reader', apiGroup: roleRef.apiGroup }];
    await ask(`${RBAC}/rolebindings`, { method: 'POST', body: { metadata: { name: 'b' }, roleRef, subjects } });
    assert.equal((await ask(`${PAST}/m`, { as: 1 })).code, 200);
    assert.equal((await ask(`${PAST}/short`, { as: 1 })).code, 403);
    assert.equal((await ask('/skein/v1/history/', { as: 1 })).code, 403);
    assert.equal((await ask(`${PAST}/m`, { method: 'DELETE', as: 1 })).code, 403);
  });

  const CONFLICTS = '/skein/v1/conflicts';

  it('tells what merges overrode, to those who may see the objects', async () => {
    const parts = { ours: ['n1', 'n2'], theirs: ['n3'] };
    const atMs = Date.UTC(2026, 0, 31, 12);
    const report = (key: string, path: string): MergeReport => ({
      key,
      parts,
      isDerived: false,
      conflicts: [
        {
          path,
          kept: { value: 'late', atMs, by: 'kubectl', side: 'theirs' },
          dropped: [{ value: { long: 'x'.repeat(60) }, atMs: atMs - 1_000, by: 'helm', side: 'ours' }],
        },
        { path: 'status.phase', kept: { value: 'a', side: 'ours' }, dropped: [{ side: 'theirs' }] },
      ],
    });
    const reports = [report('/configmaps/default/m', 'data.a'), report('apps/deployments/other/web', 'spec.replicas')];
    await cluster.replica.write('conflicts', { reports });
    const { body } = await ask(CONFLICTS);
    const items = body['items'] as Record<string, unknown>[];
    assert.deepEqual(
      new Set(items.map(({ kind, namespace, name, field }) => [kind, namespace, name, field].join(' '))),
      new Set(['ConfigMap default m data.a', 'Deployment other web spec.replicas']),
      'statuses are observations, and not listed',
    );
    assert.deepEqual(items[0]?.['kept'], { value: 'late', by: 'kubectl', time: '2026-01-31T12:00:00Z', part: ['n3'] });
    const { out } = await cli('conflicts');
    assert.match(
      out,
      /^NAMESPACE +KIND\/NAME +FIELD +KEPT +DROPPED +WHEN\n(.*\n)*default +configmap\/m +data\.a +"late" +\{"long":"x+… +\S+Z\n/,
    );
    assert.match(out, /^other +deployment\.apps\/web +spec\.replicas /m);
    const wide = await cli('conflicts deploy/web -n other -o wide');
    assert.match(wide.out, /^other +deployment\.apps\/web .*"x{60}"\} +kubectl \S+ n3 +helm \S+ n1,n2 +\S+Z\n$/m);
    assert.doesNotMatch(wide.out, /configmap/);
    assert.match((await cli('conflicts -n nowhere')).out, /^No conflicts/);
    assert.equal((JSON.parse((await cli('conflicts --since 1h -o json')).out) as { items: [] }).items.length, 2);
    assert.match((await cli('conflicts --since soon')).err, /"soon" is no duration such as 2h/);
    assert.equal((await ask(`${CONFLICTS}?since=soon`)).code, 400);
    const MINE = `${CONFLICTS}${MAPS}`;
    const codes = [CONFLICTS, MINE, `${MINE}/m`, `${MINE}/other`].map(
      async (path) => (await ask(path, { as: 1 })).code,
    );
    assert.deepEqual(await Promise.all(codes), [403, 403, 200, 403]);
  });

  it('survives a restart of the agent, as what was overridden does', async () => {
    const before = await ask(`${PAST}/m`);
    const conflicts = await ask(CONFLICTS);
    await cluster.stop();
    await start();
    assert.deepEqual((await ask(`${PAST}/m`)).body, before.body);
    assert.deepEqual((await ask(CONFLICTS)).body, conflicts.body);
    const { out } = await cli(`get cm m --at ${revisions[0]}`);
    assert.match(out, /^apiVersion: v1\ndata:\n {2}a: "1"\n {2}b: "1"\nkind: ConfigMap\n/);
    assert.match((await cli(`diff cm/m --from ${revisions[0]}`)).out, /\n~ data\.a: "1" -> "2"\n/);
    await write('PUT', `${MAPS}/m`, 'later', { a: '3' });
    const { body } = await ask(`${PAST}/m`);
    assert.deepEqual(
      (body['changes'] as { by: string }[]).map(({ by }) => by),
      ['maker', 'editor', 'editor', 'later'],
    );
  });
});
