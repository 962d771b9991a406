import assert from 'node:assert/strict';
import type { ServicePortState } from '../../../../src/node/proxy/model.js';
import { partialTransaction, render, renderRules, type RenderOptions } from '../../../../src/node/proxy/render.js';

const options: RenderOptions = {
  clusterCidr: '10.244.0.0/16',
  masqueradeMark: 0x4000,
  masqueradeAll: false,
  localhostNodePorts: true,
};

const port = (more: Partial<ServicePortState> = {}): ServicePortState => ({
  name: 'default/web:http',
  protocol: 'TCP',
  clusterIp: '10.96.0.10',
  port: 80,
  nodePort: 0,
  externalIps: [],
  loadBalancerIps: [],
  sourceRanges: [],
  affinitySeconds: 0,
  externalLocal: false,
  internalLocal: false,
  cluster: [
    { ip: '10.244.1.2', port: 8080, local: true },
    { ip: '10.244.2.2', port: 8080, local: false },
  ],
  local: [],
  anyEndpoint: true,
  ...more,
});

const state = (...services: ServicePortState[]) => ({ services, hostPorts: [] });
const rule = (text: string, part: string) => text.split('\n').filter((line) => line.includes(part));

describe('rules of the iptables proxy', () => {
  it('lead a cluster IP to its endpoints, one after the other by even chance', () => {
    const lines = render(state(port()), options)
      .split('\n')
      .filter((line) => line.includes('default/web'));
    const plain = lines.map((line) => line.replace(/(KUBE-[A-Z]+-)[A-Z2-7]{16}/g, '$1x'));
    assert.deepEqual(plain, [
      '-A KUBE-SERVICES -m comment --comment "default/web:http cluster IP" -m tcp -p tcp --dport 80 -d 10.96.0.10/32 -j KUBE-SVC-x',
      '-A KUBE-SVC-x -m comment --comment "default/web:http cluster IP" -m tcp -p tcp --dport 80 -d 10.96.0.10/32 ! -s 10.244.0.0/16 -j KUBE-MARK-MASQ',
      '-A KUBE-SVC-x -m comment --comment "default/web:http -> 10.244.1.2:8080" -m statistic --mode random --probability 0.5000000000 -j KUBE-SEP-x',
      '-A KUBE-SVC-x -m comment --comment "default/web:http -> 10.244.2.2:8080" -j KUBE-SEP-x',
      '-A KUBE-SEP-x -m comment --comment "default/web:http" -s 10.244.1.2/32 -j KUBE-MARK-MASQ',
      '-A KUBE-SEP-x -m comment --comment "default/web:http" -m tcp -p tcp -j DNAT --to-destination 10.244.1.2:8080',
      '-A KUBE-SEP-x -m comment --comment "default/web:http" -s 10.244.2.2/32 -j KUBE-MARK-MASQ',
      '-A KUBE-SEP-x -m comment --comment "default/web:http" -m tcp -p tcp -j DNAT --to-destination 10.244.2.2:8080',
    ]);
  });

  it('refuse a Service without endpoints in the filter table and have no chains for it', () => {
    const text = render(state(port({ cluster: [], anyEndpoint: false, nodePort: 30080 })), options);
    assert.match(text, /KUBE-SERVICES .*has no endpoints.* -d 10\.96\.0\.10\/32 -j REJECT/);
    assert.match(text, /KUBE-EXTERNAL-SERVICES .*--dst-type LOCAL .*--dport 30080 -j REJECT/);
    assert.doesNotMatch(text, /KUBE-(SVC|SEP|EXT)-/);
  });

  it('drop outside traffic under policy Local where no endpoint is, but serve pods and this node', () => {
    const text = render(state(port({ nodePort: 30080, externalLocal: true })), options);
    assert.match(text, /KUBE-EXTERNAL-SERVICES .*has no local endpoints.* -j DROP/);
    assert.match(text, /-A KUBE-EXT-\S+ .*-s 10\.244\.0\.0\/16 -j KUBE-SVC-/);
    assert.match(text, /-A KUBE-EXT-\S+ .*--src-type LOCAL -j KUBE-SVC-/);
    assert.doesNotMatch(text, /KUBE-SVL-/);
  });

  it('remember clients of a Service with affinity for its time', () => {
    const text = render(state(port({ affinitySeconds: 600 })), options);
    assert.equal(rule(text, '--rcheck --seconds 600 --reap').length, 2);
    assert.equal(rule(text, '--set -m tcp -p tcp -j DNAT').length, 2);
  });

  it('guard a load balancer IP with source ranges', () => {
    const text = render(state(port({ loadBalancerIps: ['203.0.113.9'], sourceRanges: ['192.0.2.0/24'] })), options);
    assert.match(text, /-A KUBE-FW-\S+ .*-s 192\.0\.2\.0\/24 -j KUBE-EXT-/);
    assert.match(text, /-A KUBE-PROXY-FIREWALL .*-d 203\.0\.113\.9\/32 -j DROP/);
  });

  it('are rewritten only where an endpoint changed', () => {
    const other = port({ name: 'default/other', clusterIp: '10.96.0.11' });
    const before = renderRules(state(port(), other), options);
    const changed = port({ cluster: [{ ip: '10.244.1.9', port: 8080, local: true }] });
    const text = partialTransaction(before, renderRules(state(changed, other), options));
    assert.doesNotMatch(text, /default\/other|\*filter|KUBE-SERVICES/);
    assert.equal(rule(text, '-X KUBE-SEP-').length, 2);
    assert.equal(rule(text, 'DNAT --to-destination').length, 1);
    assert.equal(partialTransaction(before, before), '');
  });

  it('name the chains from last to first, which iptables takes fastest', () => {
    const services = Array.from({ length: 20 }, (_, i) => port({ name: `default/s${i}`, clusterIp: `10.96.0.${i}` }));
    const text = render(state(...services), options);
    for (const table of text.split('COMMIT')) {
      const chains = table.split('\n').filter((line) => line.startsWith(':'));
      assert.deepEqual(chains, [...chains].sort().reverse());
    }
  });
});
