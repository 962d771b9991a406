import assert from 'node:assert/strict';
import { KUBECTLS, startCluster, type TestCluster } from './cluster.js';
import { kubectlRuns, skipWithout } from './kubectl-runs.js';

const MANIFEST = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: nginx, ports: [{containerPort: 80}]}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {a: b}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: NodePort, selector: {app: web}, ports: [{port: 80}]}
`;

for (const { version, path } of KUBECTLS) {
  describe(`kubectl ${version} against the API server`, function () {
    this.timeout(60_000);
    let cluster: TestCluster;
    const { run, ok, refused } = kubectlRuns(() => cluster, path);

    before(async function () {
      skipWithout(this, path);
      cluster = await startCluster();
    });
    after(async () => cluster?.stop());

    it('applies, changes and shows a Deployment, a ConfigMap and a Service', async () => {
      const created = await ok(['apply', '-f', '-'], MANIFEST);
      assert.match(created, /deployment.apps\/web created\nconfigmap\/settings created\nservice\/web created/);
      assert.match(await ok(['get', 'deploy', '-o', 'wide']), /web +0\/2 +0 +0 +\S+ +c +nginx +app=web/);
      assert.match(await ok(['get', 'svc', 'web']), /web +NodePort +10\.96\.\d+\.\d+ +<none> +80:3\d{4}\/TCP/);
      const again = await ok(['apply', '-f', '-'], MANIFEST.replace('a: b', 'a: c'));
      assert.match(again, /deployment.apps\/web unchanged\nconfigmap\/settings configured\nservice\/web unchanged/);
    });

    it('scales, labels, annotates, sets images and patches', async () => {
      await ok(['scale', 'deploy/web', '--replicas=5']);
      assert.equal(await ok(['get', 'deploy', 'web', '-o', 'jsonpath={.spec.replicas}']), '5');
      await ok(['label', 'cm/settings', 'tier=front']);
      assert.match(await ok(['get', 'cm', '-l', 'tier=front', '-o', 'name']), /configmap\/settings/);
      await ok(['set', 'image', 'deploy/web', 'c=nginx:2']);
      await ok(['patch', 'cm', 'settings', '--type=json', '-p', '[{"op":"add","path":"/data/z","value":"1"}]']);
      assert.equal(await ok(['get', 'cm', 'settings', '-o', 'jsonpath={.data.z}']), '1');
      await ok(['rollout', 'restart', 'deploy/web']);
    });

    it('accepts the protobuf bodies of typed creates', async () => {
      await ok(['create', 'configmap', 'typed', '--from-literal=k=v']);
      await ok(['create', 'deployment', 'none', '--image=nginx', '--replicas=0']);
      assert.equal(await ok(['get', 'deploy', 'none', '-o', 'jsonpath={.spec.replicas}']), '0');
      await ok(['create', 'namespace', 'team']);
      assert.match(await ok(['get', 'ns', 'team']), /team +Active/);
      await refused(/configmaps "typed" already exists/, ['create', 'configmap', 'typed']);
    });

    it('does nothing with --dry-run=server', async () => {
      await ok(['create', 'configmap', 'ghost', '--dry-run=server']);
      await refused(/configmaps "ghost" not found/, ['get', 'cm', 'ghost']);
    });

    it('refuses bad manifests with useful texts', async () => {
      const cm = (text: string) => `apiVersion: v1\nkind: ConfigMap\n${text}`;
      await refused(/unknown field "spec.replicaz"/, ['apply', '-f', '-'], MANIFEST.replace('replicas:', 'replicaz:'));
      await refused(
        /cannot unmarshal string into Go struct field/,
        ['apply', '-f', '-'],
        MANIFEST.replace('s: 2', 's: x'),
      );
      await refused(
        /resource name may not be empty|name or generateName is required/,
        ['create', '-f', '-'],
        cm('data: {a: b}\n'),
      );
      await refused(/namespaces "nowhere" not found/, ['create', 'cm', 'x', '-n', 'nowhere']);
      await refused(/a lowercase RFC 1123 subdomain/, ['create', '-f', '-'], cm('metadata: {name: Not_Ok}\n'));
      await refused(/error parsing STDIN|error converting YAML/, ['create', '-f', '-'], 'a: b: c: [');
      await refused(
        /Request entity too large|too large/,
        ['create', '-f', '-'],
        cm(`metadata: {name: big}\ndata: {a: ${'x'.repeat(5_000_000)}}\n`),
      );
    });

    it('waits for and sees deletions', async () => {
      const waiting = run(['wait', '--for=delete', 'cm/typed', '--timeout=20s']);
      assert.match(
        await ok(['delete', 'cm/typed', 'deploy/none', 'deploy/web', 'svc/web']),
        /configmap "typed" deleted/,
      );
      assert.equal((await waiting).code, 0);
      await refused(/configmaps "typed" not found/, ['get', 'cm', 'typed']);
    });

    it('answers discovery and permission questions', async () => {
      assert.match(await ok(['api-resources', '--api-group=apps']), /deployments +deploy +apps\/v1 +true +Deployment/);
      assert.equal((await ok(['auth', 'can-i', 'create', 'pods'])).trim(), 'yes');
      assert.match(await ok(['explain', 'pod.spec']), /nodeName/);
    });
  });
}
