import assert from 'node:assert/strict';
import { SERVICES } from '../../../src/api/resource.js';
import type { Service, ServiceSpec } from '../../../src/api/types/core-v1.js';
import { KUBECTLS, startCluster, type TestCluster } from './cluster.js';
import { skipWithout } from './kubectl-runs.js';

const { path } = KUBECTLS[1] ?? { path: '' };

describe('changes of a Service over HTTP', function () {
  this.timeout(60_000);
  let cluster: TestCluster;
  before(async function () {
    skipWithout(this, path);
    cluster = await startCluster();
  });
  after(async () => cluster?.stop());

  const patch = async (name: string, spec: object): Promise<ServiceSpec> => {
    const { code, stderr } = await cluster.kubectl(path, ['patch', 'svc', name, '-p', JSON.stringify({ spec })]);
    assert.equal(code, 0, stderr);
    return (await cluster.client.get<Service>(SERVICES, 'default', name)).spec ?? {};
  };

  it('takes addresses and ports with a type, and gives them back', async () => {
    assert.equal((await cluster.kubectl(path, ['create', 'svc', 'clusterip', 'web', '--tcp=80'])).code, 0);
    const external = await patch('web', { type: 'ExternalName', externalName: 'example.com' });
    assert.deepEqual(
      [external.clusterIP, external.clusterIPs, external.ipFamilies, external.ipFamilyPolicy],
      [undefined, undefined, undefined, undefined],
    );
    const nodePort = await patch('web', { type: 'NodePort', externalName: null });
    assert.match(nodePort.clusterIP ?? '', /^10\.96/);
    assert.equal(nodePort.externalTrafficPolicy, 'Cluster');
    const [port] = nodePort.ports ?? [];
    assert.ok(port?.nodePort);
    const balanced = await patch('web', { type: 'LoadBalancer', externalTrafficPolicy: 'Local' });
    assert.equal(balanced.ports?.[0]?.nodePort, port.nodePort);
    assert.ok(balanced.healthCheckNodePort);
    assert.equal(balanced.allocateLoadBalancerNodePorts, true);
    const plain = await patch('web', { type: 'ClusterIP' });
    assert.deepEqual(
      [
        plain.ports?.[0]?.nodePort,
        plain.healthCheckNodePort,
        plain.externalTrafficPolicy,
        plain.allocateLoadBalancerNodePorts,
      ],
      [undefined, undefined, undefined, undefined],
    );
    assert.equal(plain.clusterIP, nodePort.clusterIP);
    const sticky = await patch('web', { sessionAffinity: 'ClientIP' });
    assert.deepEqual(sticky.sessionAffinityConfig, { clientIP: { timeoutSeconds: 10_800 } });
    assert.equal((await patch('web', { sessionAffinity: 'None' })).sessionAffinityConfig, undefined);
  });
});
