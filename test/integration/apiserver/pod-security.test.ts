import assert from 'node:assert/strict';
import { KUBECTLS, startCluster, type TestCluster } from './cluster.js';
import { kubectlRuns, skipWithout } from './kubectl-runs.js';

const { path } = KUBECTLS[1] ?? { path: '' };

const PLAIN = 'apiVersion: v1\nkind: Pod\nmetadata: {name: plain}\nspec: {containers: [{name: c, image: x}]}';
const HOST = PLAIN.replace('plain', 'host').replace('spec: {', 'spec: {hostNetwork: true, ');

describe('PodSecurity over HTTP', function () {
  this.timeout(60_000);
  let cluster: TestCluster;
  const { run } = kubectlRuns(() => cluster, path);

  before(async function () {
    skipWithout(this, path);
    cluster = await startCluster();
  });
  after(async () => cluster?.stop());

  it('enforces, warns of pods and workloads, and warns of the pods a stricter namespace has', async () => {
    await run(['create', 'namespace', 'team']);
    const pods = ['-n', 'team', 'create', '-f', '-'];
    assert.equal((await run(pods, HOST)).stderr, '');
    const stricter = await run(['label', 'ns', 'team', 'pod-security.kubernetes.io/enforce=baseline']);
    assert.match(
      stricter.stderr,
      /Warning: existing pods in namespace "team" violate the new PodSecurity enforce level "baseline:latest"\nWarning: host: host namespaces/,
    );
    const refused = await run(pods, HOST.replace('name: host', 'name: second'));
    assert.match(
      refused.stderr,
      /\(Forbidden\): .*pods "second" is forbidden: violates PodSecurity "baseline:latest": host namespaces \(hostNetwork=true\)/,
    );
    await run(['label', 'ns', 'team', 'pod-security.kubernetes.io/warn=restricted']);
    const warned = await run(pods, PLAIN);
    assert.equal(warned.code, 0, warned.stderr);
    assert.match(
      warned.stderr,
      /Warning: would violate PodSecurity "restricted:latest": allowPrivilegeEscalation != false/,
    );
    const workload = await run(['-n', 'team', 'create', 'deployment', 'web', '--image=x']);
    assert.equal(workload.code, 0, workload.stderr);
    assert.match(workload.stderr, /Warning: would violate PodSecurity "restricted:latest"/);
    const unrelated = await run(['-n', 'team', 'label', 'pod', 'plain', 'a=b']);
    assert.equal(unrelated.stderr, '');
  });

  it('refuses labels that name no level', async () => {
    const { stderr } = await run(['label', 'ns', 'default', 'pod-security.kubernetes.io/enforce=strict']);
    assert.match(
      stderr,
      /"default" is invalid: metadata.labels\[pod-security.kubernetes.io\/enforce\]: Invalid value: "strict": must be one of privileged, baseline, restricted/,
    );
  });
});
