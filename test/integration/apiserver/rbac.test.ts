import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../../src/base/clock.js';
import { silentLogger } from '../../../src/base/log.js';
import { noMetrics } from '../../../src/base/metrics.js';
import { systemRandom } from '../../../src/base/random.js';
import type { KubeObject } from '../../../src/api/object.js';
import { NAMESPACES, NODES, PODS, SECRETS, SERVICEACCOUNTS } from '../../../src/api/resource.js';
import { bootstrapPolicyController } from '../../../src/control/controllers/bootstrappolicy/controller.js';
import { CLUSTERROLES, DEFAULT_POLICY } from '../../../src/control/controllers/bootstrappolicy/policy.js';
import { clusterRoleAggregationController } from '../../../src/control/controllers/clusterroleaggregation/controller.js';
import { eventRecorders } from '../../../src/control/controllers/deps.js';
import { InformerSet } from '../../../src/control/controllers/informer-set.js';
import { KUBECTLS, startCluster, type Result, type TestCluster } from './cluster.js';
import { skipWithout } from './kubectl-runs.js';

/** Runs the controllers of the policy until there is nothing left to write. */
async function startPolicy({ client, store }: TestCluster): Promise<() => Promise<void>> {
  const environment = { client, clock: systemClock, random: systemRandom, log: silentLogger, metrics: noMetrics };
  const informers = new InformerSet(environment);
  const deps = { ...environment, informers, events: eventRecorders(environment) };
  const controllers = [bootstrapPolicyController(deps), clusterRoleAggregationController(deps)];
  for (const service of [...controllers, informers]) await service.start();
  const wanted = Object.values(DEFAULT_POLICY).flat().length;
  const isDone = () => {
    const count = ['clusterroles', 'roles', 'clusterrolebindings', 'rolebindings']
      .map((resource) => store.list('rbac.authorization.k8s.io', resource).length)
      .reduce((a, b) => a + b);
    const key = { group: 'rbac.authorization.k8s.io', resource: 'clusterroles', namespace: '', name: 'admin' };
    const admin = store.get(key) as { rules?: unknown[] } | undefined;
    return count >= wanted && (admin?.rules?.length ?? 0) > 20 && controllers.every(({ queue }) => queue.idle);
  };
  while (!isDone()) await systemClock.sleep(5);
  return async () => {
    for (const service of [...controllers, informers]) await service.stop();
  };
}

interface Person {
  readonly name: string;
  readonly groups?: readonly string[];
}

/** kubectl with a client certificate of its own. */
async function signIn(cluster: TestCluster, { name, groups = [] }: Person, path: string) {
  assert.ok(cluster.ca);
  const { certPem, keyPem } = await cluster.ca.issueClient({ commonName: name, organizations: groups });
  const home = await mkdtemp(join(tmpdir(), 'skein-user-'));
  const data = (text: string) => Buffer.from(text).toString('base64');
  await writeFile(
    join(home, 'config'),
    `apiVersion: v1\nkind: Config\ncurrent-context: c\n` +
      `clusters: [{name: c, cluster: {server: "${cluster.url}", certificate-authority-data: ${data(cluster.ca.certPem)}}}]\n` +
      'contexts: [{name: c, context: {cluster: c, user: u}}]\n' +
      `users: [{name: u, user: {client-certificate-data: ${data(certPem)}, client-key-data: ${data(keyPem)}}}]\n`,
  );
  return {
    run: (args: readonly string[], input?: string) =>
      new Promise<Result>((resolve) => {
        const child = execFile(
          path,
          args,
          { env: { PATH: '/usr/bin:/bin', HOME: home, KUBECONFIG: join(home, 'config') }, timeout: 30_000 },
          (error, stdout, stderr) => resolve({ code: error ? Number(error.code ?? 1) || 1 : 0, stdout, stderr }),
        );
        child.stdin?.end(input ?? '');
      }),
    forget: () => rm(home, { recursive: true, force: true }),
  };
}

for (const { version, path } of KUBECTLS) {
  describe(`who may what, with kubectl ${version}`, function () {
    this.timeout(90_000);
    let cluster: TestCluster;
    let stopPolicy: (() => Promise<void>) | undefined;
    const people: Awaited<ReturnType<typeof signIn>>[] = [];
    const as = async (person: Person) => {
      const session = await signIn(cluster, person, path);
      people.push(session);
      return session;
    };
    const ok = async (args: readonly string[], input?: string): Promise<string> => {
      const result = await cluster.kubectl(path, args, input);
      assert.equal(result.code, 0, `${args.join(' ')}: ${result.stderr}`);
      return result.stdout;
    };
    const can = async (...args: string[]) => {
      const { stdout, stderr } = await cluster.kubectl(path, ['auth', 'can-i', ...args]);
      return stdout.trim() || stderr;
    };

    before(async function () {
      skipWithout(this, path);
      cluster = await startCluster({ tls: true });
      for (const name of ['kube-public', 'team']) await cluster.client.create(NAMESPACES, { metadata: { name } });
      stopPolicy = await startPolicy(cluster);
    });
    after(async () => {
      for (const session of people) await session.forget();
      await stopPolicy?.();
      await cluster?.stop();
    });

    it('binds and shows roles, and answers whether', async () => {
      await ok(['create', 'role', 'reader', '-n', 'team', '--verb=get,list', '--resource=pods,pods/log']);
      await ok(['create', 'rolebinding', 'reader', '-n', 'team', '--role=reader', '--user=anna', '--group=readers']);
      await ok(['create', 'clusterrole', 'scaler', '--verb=get,update', '--resource=deployments.apps/scale']);
      await ok(['create', 'clusterrolebinding', 'scaler', '--clusterrole=scaler', '--serviceaccount=team:robot']);
      assert.equal(await can('list', 'pods', '-n', 'team', '--as=anna'), 'yes');
      assert.equal(await can('list', 'pods', '-n', 'default', '--as=anna'), 'no');
      assert.equal(await can('delete', 'pods', '-n', 'team', '--as=anna'), 'no');
      assert.equal(await can('get', 'pods', '--subresource=log', '-n', 'team', '--as=x', '--as-group=readers'), 'yes');
      const robot = '--as=system:serviceaccount:team:robot';
      assert.equal(await can('update', 'deployments.apps', '--subresource=scale', robot), 'yes');
      assert.equal(await can('update', 'deployments.apps', robot), 'no');
      assert.equal(await ok(['get', '--raw', '/healthz', '--as=system:anonymous']), 'ok');
      const discovery = await cluster.kubectl(path, ['get', '--raw', '/api', '--as=system:anonymous']);
      assert.match(discovery.stderr, /forbidden: User "system:anonymous" cannot get path "\/api"/);
      assert.equal(await can('get', '/metrics', '--as=anna'), 'no');
      assert.match(
        await ok(['describe', 'clusterrole', 'scaler']),
        /deployments.apps\/scale +\[\] +\[\] +\[get update\]/,
      );
    });

    it('gives view, edit and admin what their parts hold, and a new part at once', async () => {
      await ok(['create', 'rolebinding', 'viewer', '-n', 'team', '--clusterrole=view', '--user=vera']);
      assert.equal(await can('list', 'deployments.apps', '-n', 'team', '--as=vera'), 'yes');
      assert.equal(await can('list', 'secrets', '-n', 'team', '--as=vera'), 'no');
      await ok(
        ['apply', '-f', '-'],
        `apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: widgets-view, labels: {rbac.authorization.k8s.io/aggregate-to-view: "true"}}
rules: [{apiGroups: [example.com], resources: [widgets], verbs: [get]}]
`,
      );
      const hasWidgets = ({ rules }: { rules?: { resources?: string[] }[] }) =>
        rules?.some(({ resources }) => resources?.includes('widgets'));
      while (!hasWidgets(await cluster.client.get<KubeObject & { rules?: [] }>(CLUSTERROLES, '', 'admin'))) {
        await systemClock.sleep(5);
      }
    });

    it('tells a user by certificate who it is and what it may', async () => {
      const anna = await as({ name: 'anna', groups: ['staff'] });
      const whoami = await anna.run(['auth', 'whoami']);
      if (whoami.code === 0) assert.match(whoami.stdout, /Username +anna\nGroups +\[staff system:authenticated\]/);
      else assert.equal(version, '1.27', whoami.stderr);
      const rules = await anna.run(['auth', 'can-i', '--list', '-n', 'team']);
      assert.equal(rules.code, 0, rules.stderr);
      assert.match(rules.stdout, /pods +\[\] +\[\] +\[get list\]/);
      assert.match(rules.stdout, /selfsubjectaccessreviews.authorization.k8s.io +\[\] +\[\] +\[create\]/);
      assert.match(rules.stdout, /\[\/healthz\] +\[\] +\[get\]/);
      assert.equal(rules.stderr.includes('incomplete'), false);
      assert.equal((await anna.run(['get', 'pods', '-n', 'team'])).code, 0);
      const refused = await anna.run(['get', 'pods']);
      assert.match(
        refused.stderr,
        /pods is forbidden: User "anna" cannot list resource "pods" in API group "" in the namespace "default"/,
      );
    });

    it('lets nobody grant what they do not hold', async () => {
      await ok(['create', 'rolebinding', 'boss', '-n', 'team', '--clusterrole=admin', '--user=berta']);
      const berta = await as({ name: 'berta' });
      assert.equal(
        (await berta.run(['create', 'role', 'small', '-n', 'team', '--verb=get', '--resource=pods'])).code,
        0,
      );
      const big = await berta.run(['create', 'role', 'big', '-n', 'team', '--verb=get,list', '--resource=nodes,pods']);
      assert.match(
        big.stderr,
        /roles.rbac.authorization.k8s.io "big" is forbidden: user "berta" \(groups=\["system:authenticated"\]\) is attempting to grant RBAC permissions not currently held:/,
      );
      assert.match(
        big.stderr,
        /not currently held:\n{APIGroups:\[""\], Resources:\["nodes"\], Verbs:\["get" "list"\]}\n/,
      );
      const bind = (role: string) =>
        berta.run(['create', 'rolebinding', `b-${role}`, '-n', 'team', `--clusterrole=${role}`, '--user=carl']);
      assert.equal((await bind('view')).code, 0);
      assert.match((await bind('cluster-admin')).stderr, /is attempting to grant RBAC permissions not currently held/);
      assert.match((await bind('nothing')).stderr, /clusterrole.rbac.authorization.k8s.io "nothing" not found/);
      await ok(['create', 'clusterrole', 'binder', '--verb=bind', '--resource=clusterroles', '--resource-name=scaler']);
      await ok(['create', 'clusterrolebinding', 'binder', '--clusterrole=binder', '--user=berta']);
      assert.equal((await bind('scaler')).code, 0);
      const changed = await cluster.kubectl(path, [
        'patch',
        'rolebinding',
        'b-scaler',
        '-n',
        'team',
        '--type=json',
        '-p',
        '[{"op":"replace","path":"/roleRef/name","value":"view"}]',
      ]);
      assert.match(changed.stderr, /cannot change roleRef/);
    });

    it('says why when a binding names no role', async () => {
      await ok(['create', 'clusterrolebinding', 'lost', '--clusterrole=gone', '--user=dora']);
      const dora = await as({ name: 'dora' });
      const refused = await dora.run(['get', 'nodes']);
      assert.match(
        refused.stderr,
        /nodes is forbidden: User "dora" cannot list resource "nodes" in API group "" at the cluster scope: RBAC: clusterrole.rbac.authorization.k8s.io "gone" not found/,
      );
    });

    it('impersonates only whom a user may', async () => {
      const emil = await as({ name: 'emil' });
      // Fills kubectl's cache of what there is: it does not tell why a server refuses to say that.
      await emil.run(['get', 'pods']);
      const refused = await emil.run(['get', 'pods', '--as=anna']);
      assert.match(
        refused.stderr,
        /users "anna" is forbidden: User "emil" cannot impersonate resource "users" in API group "" at the cluster scope/,
      );
      await ok(['create', 'clusterrole', 'actor', '--verb=impersonate', '--resource=users', '--resource-name=anna']);
      await ok(['create', 'clusterrolebinding', 'actor', '--clusterrole=actor', '--user=emil']);
      assert.equal((await emil.run(['get', 'pods', '-n', 'team', '--as=anna'])).code, 0);
      const group = await emil.run(['get', 'pods', '--as=anna', '--as-group=a', '--as-group=system:masters']);
      assert.match(group.stderr, /groups "a" is forbidden: User "emil" cannot impersonate resource "groups"/);
      const account = await emil.run(['get', 'pods', '--as=system:serviceaccount:team:robot']);
      assert.match(
        account.stderr,
        /serviceaccounts "robot" is forbidden: User "emil" cannot impersonate resource "serviceaccounts" in API group "" in the namespace "team"/,
      );
      const uid = await emil.run(['get', 'pods', '--as=anna', '--as-uid=7']);
      assert.match(uid.stderr, /uids.authentication.k8s.io "7" is forbidden: User "emil" cannot impersonate/);
    });

    it('lets nobody create by an apply who may only patch', async () => {
      await ok(['create', 'role', 'patcher', '-n', 'team', '--verb=get,patch', '--resource=configmaps']);
      await ok(['create', 'rolebinding', 'patcher', '-n', 'team', '--role=patcher', '--user=fritz']);
      const fritz = await as({ name: 'fritz' });
      const manifest = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: team}\ndata: {a: b}\n';
      const apply = () => fritz.run(['apply', '--server-side', '--field-manager=f', '-f', '-'], manifest);
      assert.match((await apply()).stderr, /configmaps "settings" is forbidden: User "fritz" cannot create resource/);
      await ok(['create', 'configmap', 'settings', '-n', 'team']);
      assert.equal((await apply()).code, 0);
    });

    it('reconciles roles and bindings', async () => {
      const manifest = `apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: reconciled}
rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: reconciled}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: ROLE}
subjects: [{kind: User, apiGroup: rbac.authorization.k8s.io, name: anna}]
`;
      assert.match(await ok(['auth', 'reconcile', '-f', '-'], manifest.replace('ROLE', 'view')), /reconciled/);
      // A binding of another role is made anew.
      await ok(['auth', 'reconcile', '-f', '-'], manifest.replace('ROLE', 'reconciled').replace('[get]', '[list]'));
      assert.equal(
        await ok(['get', 'clusterrolebinding', 'reconciled', '-o', 'jsonpath={.roleRef.name}']),
        'reconciled',
      );
      assert.match(await ok(['get', 'clusterrole', 'reconciled', '-o', 'yaml']), /- get[\s\S]*- list/);
    });

    it('lets a node see what its pods need, and nothing else', async () => {
      const { client } = cluster;
      await client.create(NODES, { metadata: { name: `n-${version}` } });
      const node = await as({ name: `system:node:n-${version}`, groups: ['system:nodes'] });
      for (const name of ['used', 'other']) {
        await client.create(SECRETS, { metadata: { namespace: 'team', name: `${name}-${version}` } });
      }
      await client.create(SERVICEACCOUNTS, { metadata: { namespace: 'team', name: 'default' } }).catch(() => undefined);
      const pod = {
        metadata: { namespace: 'team', name: `p-${version}` },
        spec: {
          nodeName: `n-${version}`,
          containers: [{ name: 'c', image: 'x' }],
          volumes: [{ name: 'v', secret: { secretName: `used-${version}` } }],
        },
      };
      await client.create(PODS, pod);
      assert.equal((await node.run(['get', 'secret', '-n', 'team', `used-${version}`])).code, 0);
      assert.match(
        (await node.run(['get', 'secret', '-n', 'team', `other-${version}`])).stderr,
        new RegExp(`no relationship found between node 'n-${version}' and this object`),
      );
      assert.match((await node.run(['get', 'secrets', '-n', 'team'])).stderr, /No Object name found/);
      assert.match(
        (await node.run(['get', 'pods', '-A'])).stderr,
        /can only list\/watch pods with spec.nodeName field/,
      );
      assert.equal((await node.run(['get', 'pods', '-A', `--field-selector=spec.nodeName=n-${version}`])).code, 0);
      assert.match((await node.run(['get', 'nodes'])).stderr, /cannot read all nodes, only its own Node object/);
      const label = (text: string) => node.run(['label', 'node', `n-${version}`, text]);
      assert.equal((await label('color=red')).code, 0);
      assert.match(
        (await label('node-restriction.kubernetes.io/x=y')).stderr,
        /is not allowed to modify labels: node-restriction.kubernetes.io\/x/,
      );
      assert.match(
        (await node.run(['taint', 'node', `n-${version}`, 'a=b:NoSchedule'])).stderr,
        /is not allowed to modify taints/,
      );
      assert.match(
        (
          await node.run(
            ['create', '-f', '-'],
            JSON.stringify({ apiVersion: 'v1', kind: 'Pod', ...pod, metadata: { namespace: 'team', name: 'x' } }),
          )
        ).stderr,
        /can only create mirror pods/,
      );
      assert.match((await node.run(['delete', 'node', `n-${version}`])).stderr, /cannot delete resource "nodes"/);
    });
  });
}
