import assert from 'node:assert/strict';
import type { KubeObject } from '../../../src/api/object.js';
import { KUBECTLS, startCluster, type TestCluster } from './cluster.js';
import { kubectlRuns, skipWithout } from './kubectl-runs.js';

const deployment = (replicas: number | undefined, image = 'nginx:1', more = '') => `apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  ${replicas === undefined ? '' : `replicas: ${replicas}`}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: "${image}", ports: [{containerPort: 80}]}]}
${more}`;

const configMap = (data: Record<string, string>) =>
  `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: ${JSON.stringify(data)}\n`;

for (const { version, path } of KUBECTLS) {
  describe(`server-side apply by kubectl ${version}`, function () {
    this.timeout(60_000);
    let cluster: TestCluster;
    const { run, ok } = kubectlRuns(() => cluster, path);
    const shown = async (what: string): Promise<KubeObject> =>
      JSON.parse(await ok(['get', what, '-o', 'json', '--show-managed-fields'])) as KubeObject;
    const managers = async (what: string) =>
      ((await shown(what)).metadata.managedFields ?? []).map(
        ({ manager, operation, subresource }) => `${manager} ${operation}${subresource ? ` ${subresource}` : ''}`,
      );
    const apply = (input: string, ...flags: string[]) => run(['apply', '--server-side', '-f', '-', ...flags], input);

    before(async function () {
      skipWithout(this, path);
      cluster = await startCluster();
    });
    after(async () => cluster?.stop());

    it('creates, does nothing the second time, and shows who owns what', async () => {
      assert.match((await apply(deployment(2))).stdout, /deployment.apps\/web serverside-applied/);
      const made = await shown('deploy/web');
      await apply(deployment(2));
      assert.equal((await shown('deploy/web')).metadata.resourceVersion, made.metadata.resourceVersion);
      const [entry, ...others] = made.metadata.managedFields ?? [];
      assert.equal(others.length, 0);
      assert.deepEqual(
        { ...entry, time: '' },
        {
          manager: 'kubectl',
          operation: 'Apply',
          apiVersion: 'apps/v1',
          time: '',
          fieldsType: 'FieldsV1',
          fieldsV1: {
            'f:metadata': { 'f:labels': { 'f:app': {} } },
            'f:spec': {
              'f:replicas': {},
              'f:selector': {},
              'f:template': {
                'f:metadata': { 'f:labels': { 'f:app': {} } },
                'f:spec': {
                  'f:containers': {
                    'k:{"name":"c"}': {
                      '.': {},
                      'f:image': {},
                      'f:name': {},
                      'f:ports': {
                        'k:{"containerPort":80,"protocol":"TCP"}': { '.': {}, 'f:containerPort': {} },
                      },
                    },
                  },
                },
              },
            },
          },
        },
      );
      assert.doesNotMatch(await ok(['get', 'deploy', 'web', '-o', 'yaml']), /managedFields/);
    });

    it('is in conflict with who scaled, until it is forced or gives the field up', async () => {
      await ok(['scale', 'deploy/web', '--replicas=5']);
      assert.deepEqual(await managers('deploy/web'), ['kubectl Apply', `kubectl.${version} Update scale`]);
      const refused = await apply(deployment(2));
      assert.match(
        refused.stderr,
        /Apply failed with 1 conflict: conflict with "kubectl\S*" with subresource "scale" using apps\/v1: .spec.replicas/,
      );
      await ok(['apply', '--server-side', '-f', '-'], deployment(undefined));
      assert.equal(await ok(['get', 'deploy', 'web', '-o', 'jsonpath={.spec.replicas}']), '5');
      await ok(['apply', '--server-side', '--force-conflicts', '-f', '-'], deployment(2));
      assert.equal(await ok(['get', 'deploy', 'web', '-o', 'jsonpath={.spec.replicas}']), '2');
      assert.deepEqual(await managers('deploy/web'), ['kubectl Apply']);
    });

    it('names every conflict of every manager', async () => {
      const input = configMap({ a: '1', b: '1' });
      await ok(['apply', '--server-side', '--field-manager=one', '-f', '-'], input);
      const refused = await apply(configMap({ a: '2', b: '2' }), '--field-manager=two');
      assert.match(refused.stderr, /Apply failed with 2 conflicts: conflicts with "one":\n- .data.a\n- .data.b/);
      await ok(['apply', '--server-side', '--field-manager=two', '-f', '-'], configMap({ a: '1' }));
      assert.deepEqual(await managers('cm/settings'), ['one Apply', 'two Apply']);
      // Shared: gone for one, kept for two; b was one's alone.
      await ok(['apply', '--server-side', '--field-manager=one', '-f', '-'], configMap({}));
      assert.deepEqual(((await shown('cm/settings')) as { data?: unknown }).data, { a: '1' });
    });

    it('takes an object over from client-side apply without conflict', async () => {
      const csa = (value: string) =>
        `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: moved}\ndata: {k: "${value}"}\n`;
      await ok(['apply', '-f', '-'], csa('1'));
      assert.deepEqual(await managers('cm/moved'), ['kubectl-client-side-apply Update']);
      const result = await apply(csa('2'));
      assert.equal(result.code, 0, result.stderr);
      assert.equal(await ok(['get', 'cm', 'moved', '-o', 'jsonpath={.data.k}']), '2');
      const { annotations } = (await shown('cm/moved')).metadata;
      assert.match(annotations?.['kubectl.kubernetes.io/last-applied-configuration'] ?? '', /"data":\{"k":"2"\}/);
    });

    it('diffs and dry-runs without writing', async () => {
      const before = (await shown('deploy/web')).metadata.resourceVersion;
      const diff = await run(['diff', '--server-side', '-f', '-'], deployment(3));
      assert.match(diff.stdout, /\+ {2}replicas: 3/, diff.stderr);
      await ok(['apply', '--server-side', '--dry-run=server', '-f', '-'], deployment(4));
      assert.equal((await shown('deploy/web')).metadata.resourceVersion, before);
    });

    it('refuses what is not in the schema', async () => {
      const unknown = deployment(2).replace('replicas: 2', 'replicass: 2');
      assert.match(
        (await apply(unknown, '--validate=false')).stderr,
        /failed to create typed patch object \(default\/web; apps\/v1, Kind=Deployment\): .spec.replicass: field not declared in schema/,
      );
    });

    it('keeps status and the rest apart', async () => {
      await ok(['run', 'p', '--image=nginx']);
      const status = { conditions: [{ type: 'Ready', status: 'True' }] };
      await fetch(`${cluster.url}/api/v1/namespaces/default/pods/p/status?fieldManager=mine`, {
        method: 'PATCH',
        headers: { 'content-type': 'application/apply-patch+yaml' },
        body: JSON.stringify({
          apiVersion: 'v1',
          kind: 'Pod',
          metadata: { name: 'p' },
          spec: { nodeName: 'x' },
          status,
        }),
      });
      const entries = (await shown('pod/p')).metadata.managedFields ?? [];
      const mine = entries.find(({ manager }) => manager === 'mine');
      assert.equal(mine?.subresource, 'status');
      assert.deepEqual(Object.keys(mine?.fieldsV1 ?? {}), ['f:status']);
      assert.equal(((await shown('pod/p')).spec as { nodeName?: string }).nodeName, undefined);
      assert.ok(
        !JSON.stringify(entries.find(({ manager }) => manager === 'kubectl-run')?.fieldsV1).includes('f:status'),
      );
    });
  });
}
