import assert from 'node:assert/strict';
import { macOf, planNetwork, type NetworkSettings, type Observed } from '../../../../src/node/network/plan.js';

const settings: NetworkSettings = {
  clusterCidr: '10.244.0.0/16',
  mode: 'auto',
  bridge: 'skein0',
  vxlanDevice: 'skein.vxlan',
  vni: 1,
  vxlanPort: 8472,
  mtu: 0,
};
const empty: Observed = {
  links: [{ name: 'eth0', up: true, mtu: 1500, mac: '', addresses: ['192.0.2.1/24'] }],
  routes: [],
  neighbours: new Map(),
  forwarding: new Map(),
  iptables: '',
  sysctls: new Map(),
};
const self = { address: '192.0.2.1', podCIDR: '10.244.1.0/24' };
const near = { name: 'n2', address: '192.0.2.2', podCIDR: '10.244.2.0/24' };
const far = { name: 'n3', address: '198.51.100.3', podCIDR: '10.244.3.0/24' };

describe('the plan of the pod network', () => {
  it('routes directly to nodes on the same network and through VXLAN to others', () => {
    const { ip, fdb } = planNetwork(settings, self, [near, far], empty);
    assert.ok(ip.includes('route replace 10.244.2.0/24 via 192.0.2.2 proto 83'));
    assert.ok(ip.includes('route replace 10.244.3.0/24 via 10.244.3.0 dev skein.vxlan onlink proto 83'));
    assert.deepEqual(fdb, [`fdb replace ${macOf(far.address)} dev skein.vxlan dst ${far.address} self permanent`]);
  });

  it('removes routes of nodes that are gone, but none while the nodes are not known', () => {
    const observed = { ...empty, routes: [{ dst: '10.244.9.0/24', gateway: '192.0.2.9', dev: 'eth0' }] };
    const isRemoval = (line: string) => line === 'route del 10.244.9.0/24 proto 83';
    assert.ok(planNetwork(settings, self, [], observed).ip.some(isRemoval));
    assert.ok(!planNetwork(settings, self, undefined, observed).ip.some(isRemoval));
  });

  it('says which nodes cannot be reached directly', () => {
    const plan = planNetwork({ ...settings, mode: 'direct' }, self, [far], empty);
    assert.deepEqual(plan.unreachable, [
      { peer: 'n3', reason: "198.51.100.3 is not on-link and the mode is 'direct'" },
    ]);
  });

  it("goes behind the proxy's rules in FORWARD, also when it came first", () => {
    const jump = '-A FORWARD -m comment --comment "skein network" -j SKEIN-FORWARD';
    const iptables = `*filter\n${jump}\n-A FORWARD -j KUBE-FORWARD\nCOMMIT\n`;
    const lines = planNetwork(settings, self, [], { ...empty, iptables }).iptables.split('\n');
    assert.ok(lines.includes(jump.replace('-A', '-D')));
    assert.ok(lines.includes(jump.replace('-A FORWARD', '-I FORWARD 2')));
  });
});
