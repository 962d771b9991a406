/** What the versions of kubectl do differently on the wire, by all of them: schemas, discovery, bodies, generators, watches. */
import { ALL_KUBECTLS, isPresent, startCluster, type TestCluster } from './cluster.js';
import { play, type Step } from './kubectl-script.js';

const deployment = (replicas: number) => `apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: ${replicas}
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: nginx}]}}
`;

const STEPS: readonly Step[] = [
  { run: 'apply -f -', input: deployment(1), out: 'deployment.apps/web created\n' },
  { run: 'apply -f -', input: deployment(2), out: 'deployment.apps/web configured\n' },
  { run: 'apply --server-side -f -', input: deployment(2), out: 'deployment.apps/web serverside-applied\n' },
  { run: 'diff -f -', input: deployment(3), code: 1, out: /\n- {2}replicas: 2\n\+ {2}replicas: 3\n/ },
  {
    run: 'apply -f -',
    input: deployment(1).replace('replicas', 'replicaz'),
    code: 1,
    err: /unknown field "spec\.replicaz"/,
  },
  { run: 'explain deploy.spec.replicas', out: /VERSION: +(?:apps\/)?v1\n\nFIELD: +replicas <integer>/ },
  { run: 'create configmap typed --from-literal=a=b', out: 'configmap/typed created\n' },
  { run: 'create secret generic typed --from-literal=a=b', out: 'secret/typed created\n' },
  { run: 'create role reader --verb=get --resource=pods', out: 'role.rbac.authorization.k8s.io/reader created\n' },
  { run: 'create serviceaccount builder', out: 'serviceaccount/builder created\n' },
  { run: 'create token builder', out: /^[\w-]+\.[\w-]+\.[\w-]+$/ },
  {
    run: 'autoscale deploy web --min=1 --max=3 --cpu-percent=50',
    out: 'horizontalpodautoscaler.autoscaling/web autoscaled\n',
  },
  {
    run: 'get hpa web -o jsonpath={.apiVersion}:{.spec.metrics[0].resource.target.averageUtilization}',
    out: 'autoscaling/v2:50',
  },
  { run: 'auth can-i create deployments.apps', out: 'yes\n' },
  { run: 'auth can-i --list', out: /^Resources +Non-Resource URLs +Resource Names +Verbs\n/ },
  { run: 'auth whoami', out: /^ATTRIBUTE +VALUE\nUsername +\S+\n/, since: 28 },
  {
    run: 'api-resources --api-group=batch --no-headers',
    out: /^cronjobs +cj +batch\/v1 +true +CronJob\njobs +batch\/v1 +true +Job\n$/,
  },
  { run: 'wait deploy/web --for=jsonpath={.spec.replicas}=2 --timeout=5s', out: 'deployment.apps/web condition met\n' },
  { run: 'get events', out: '', err: 'No resources found in default namespace.\n' },
  { run: 'delete cm typed --dry-run=server', out: /server dry run/ },
  { run: 'delete cm/typed secret/typed', out: /^configmap "typed" deleted.*\nsecret "typed" deleted/ },
  { run: 'replace --force -f -', input: deployment(4), out: /deployment\.apps\/web replaced\n$/ },
];

for (const kubectl of ALL_KUBECTLS) {
  describe(`the wire of kubectl ${kubectl.version}`, function () {
    this.timeout(60_000);
    let cluster: TestCluster;
    before(async function () {
      if (!isPresent(kubectl.path)) {
        process.stderr.write(`      SKIPPED: ${kubectl.path} is not installed\n`);
        this.skip();
      }
      // By TLS, and so by HTTP/2.
      cluster = await startCluster({ tls: true });
    });
    after(async () => cluster?.stop());

    it('is understood', () => play(cluster, kubectl, STEPS));
  });
}
