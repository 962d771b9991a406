/**
 * An agent as it is started on a machine, with make-believe containers: all that config/examples holds is applied at once and
 * becomes what it says. Programs do not run, so nothing here is about what containers answer.
 */
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseAllDocuments } from 'yaml';
import { startAgents } from '../../conformance/clusters/agents.js';
import type { Cluster } from '../../conformance/clusters/cluster.js';
import { Kubectl } from '../../conformance/framework/kubectl.js';
import type { Json } from '../../conformance/framework/http.js';
import { run } from '../../e2e/harness/command.js';
import { loudlySkipped } from '../../e2e/harness/report.js';
import { eventually } from '../../e2e/harness/wait.js';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const EXAMPLES = `${ROOT}config/examples`;
const PATIENCE_MS = 60_000;

/** `kind/name` of every object that the examples make. */
const objects = readdirSync(EXAMPLES).flatMap((file) =>
  parseAllDocuments(readFileSync(`${EXAMPLES}/${file}`, 'utf8')).map((document) => {
    const { kind, metadata } = document.toJS() as Json;
    return `${String(kind)}/${String(metadata.name)}`;
  }),
);

describe('an agent', function () {
  this.timeout(3 * PATIENCE_MS);
  let cluster: Cluster;
  let kubectl: Kubectl;

  before(async function () {
    const found = await startAgents(1).then(async (started) => {
      cluster = started;
      return Kubectl.open(started);
    });
    if (found === undefined) {
      loudlySkipped('there is no kubectl on this machine');
      this.skip();
    }
    kubectl = found;
  });
  after(() => cluster?.stop());

  const ok = async (...args: string[]) => {
    const { code, stdout, stderr } = await kubectl.run(args);
    assert.equal(code, 0, stderr);
    return stdout;
  };
  const get = async (...args: string[]) => JSON.parse(await ok('get', ...args, '-o', 'json')) as Json;

  it('takes all examples at once from kubectl, and nothing changes them afterwards', async () => {
    const made = (await ok('apply', '-f', EXAMPLES)).trim().split('\n');
    assert.equal(made.length, objects.length, made.join('\n'));
    for (const line of made) assert.match(line, / created$/);
    // kubectl says that it configures what it cannot find again, such as `stringData`: the server tells what changes.
    await ok('apply', '-f', EXAMPLES);
    assert.equal(await ok('diff', '-f', EXAMPLES), '');
  });

  it('takes them from skein as well', async () => {
    const kubeconfig = cluster.kubeconfigs[0] ?? '';
    const args = ['--import', 'tsx', `${ROOT}src/cli/main.ts`, 'apply', '-f', EXAMPLES, '--kubeconfig', kubeconfig];
    const { code, stdout, stderr } = await run(process.execPath, args);
    assert.equal(code, 0, stderr);
    const lines = stdout.trim().split('\n');
    assert.equal(lines.length, objects.length, stdout);
    for (const line of lines) assert.match(line, / (unchanged|configured)$/);
  });

  it('makes pods that run, a Deployment and Services with endpoints of them', async () => {
    await eventually('all pods run', PATIENCE_MS, async () => {
      const { items } = await get('pods');
      return items.length === 4 && items.every(({ status }: Json) => status.phase === 'Running');
    });
    const greeter = await get('pod', 'greeter');
    assert.ok(greeter.status.conditions.some(({ type, status }: Json) => type === 'Ready' && status === 'True'));
    const web = await get('deployment', 'web');
    assert.deepEqual([web.status.replicas, web.status.updatedReplicas], [3, 3]);
    for (const service of ['web', 'web-pods']) {
      const slices = await get('endpointslices', '-l', `kubernetes.io/service-name=${service}`);
      const endpoints = slices.items.flatMap((slice: Json) => slice.endpoints ?? []);
      assert.equal(endpoints.length, 3, service);
    }
    const service = await get('service', 'web');
    assert.equal(service.spec.ports[0].nodePort, 30_080);
    assert.equal((await get('service', 'web-pods')).spec.clusterIP, 'None');
  });

  it('leaves nothing of them when they are deleted', async () => {
    await ok('delete', '-f', EXAMPLES, '--wait=false');
    await eventually('nothing is left', PATIENCE_MS, async () => {
      const { items } = await get(
        'deployments,replicasets,pods,services,endpointslices',
        '-l',
        'app in (web, greeter)',
      );
      return items.length === 0;
    });
  });

  it('renews the Lease of its node without writing it', async () => {
    const lease = async () => {
      const { items } = await cluster.api.get('/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases');
      return (items as Json[])[0];
    };
    const { value: first } = await eventually('the Lease', PATIENCE_MS, lease);
    assert.deepEqual([first.metadata.name, first.spec.holderIdentity], ['peer-1', 'peer-1']);
    assert.equal(first.metadata.ownerReferences[0].kind, 'Node');
    const { value: later } = await eventually('a renewal', PATIENCE_MS, async () => {
      const now = await lease();
      return now !== undefined && now.spec.renewTime > first.spec.renewTime && now;
    });
    assert.equal(later.metadata.resourceVersion, first.metadata.resourceVersion);
  });
});
