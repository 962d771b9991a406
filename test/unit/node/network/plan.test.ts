import assert from 'node:assert/strict';
import {
  macOf,
  planIptablesRemoval,
  planNetwork,
  podMtu,
  sysctlKeys,
  type NetworkSettings,
  type Observed,
} from '../../../../src/node/network/plan.js';

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

  it('of an empty machine is this, from the bridge to the last rule', () => {
    const plan = planNetwork(settings, self, [near, far], empty);
    assert.equal(
      plan.ip.join('\n'),
      `link add skein0 type bridge
link set skein0 address ee:53:0a:f4:01:01
link set skein0 mtu 1450
addr add 10.244.1.1/24 dev skein0
link set skein0 up
link add skein.vxlan address ee:53:c0:00:02:01 mtu 1450 type vxlan id 1 local 192.0.2.1 dstport 8472 nolearning
addr add 10.244.1.0/32 dev skein.vxlan
link set skein.vxlan up
neigh replace 10.244.3.0 lladdr ee:53:c6:33:64:03 dev skein.vxlan nud permanent
route replace 10.244.2.0/24 via 192.0.2.2 proto 83
route replace 10.244.3.0/24 via 10.244.3.0 dev skein.vxlan onlink proto 83`,
    );
    assert.deepEqual(plan.fdb, ['fdb replace ee:53:c6:33:64:03 dev skein.vxlan dst 198.51.100.3 self permanent']);
    assert.equal(
      plan.iptables,
      `*filter
:SKEIN-FORWARD - [0:0]
-A SKEIN-FORWARD -s 10.244.0.0/16 -m comment --comment "skein pods" -j ACCEPT
-A SKEIN-FORWARD -d 10.244.0.0/16 -m comment --comment "skein pods" -j ACCEPT
-I FORWARD 1 -m comment --comment "skein network" -j SKEIN-FORWARD
COMMIT
*nat
:SKEIN-POSTROUTING - [0:0]
-A SKEIN-POSTROUTING -d 10.244.0.0/16 -m comment --comment "pods reach pods without NAT" -j RETURN
-A SKEIN-POSTROUTING -d 224.0.0.0/4 -m comment --comment "no NAT for multicast" -j RETURN
-A SKEIN-POSTROUTING -s 10.244.1.0/24 -m comment --comment "pods leaving the cluster" -j MASQUERADE --random-fully
-I POSTROUTING 1 -m comment --comment "skein network" -j SKEIN-POSTROUTING
COMMIT
`,
    );
    assert.deepEqual(plan.sysctls, [
      'net/ipv4/ip_forward=1',
      'net/ipv4/conf/skein0/send_redirects=0',
      'net/ipv4/conf/skein0/rp_filter=2',
      'net/ipv4/conf/skein.vxlan/rp_filter=2',
    ]);
    assert.deepEqual(plan.unreachable, []);
  });

  const done: Observed = {
    links: [
      ...empty.links,
      { name: 'skein0', up: true, mtu: 1450, mac: macOf('10.244.1.1'), addresses: ['10.244.1.1/24'] },
      { name: 'skein.vxlan', up: true, mtu: 1450, mac: macOf('192.0.2.1'), addresses: ['10.244.1.0/32'] },
    ],
    routes: [
      { dst: '10.244.2.0/24', gateway: '192.0.2.2', dev: 'eth0' },
      { dst: '10.244.3.0/24', gateway: '10.244.3.0', dev: 'skein.vxlan' },
    ],
    neighbours: new Map([['10.244.3.0', macOf(far.address)]]),
    forwarding: new Map([[macOf(far.address), far.address]]),
    // As iptables-save shows what the plan wrote.
    iptables: planNetwork(settings, self, [], empty)
      .iptables.split('\n')
      .map((line) => line.replace(/^-I (\S+) 1/, '-A $1'))
      .join('\n'),
    sysctls: new Map(
      sysctlKeys(settings).map((key) => [key, /ip_forward/.test(key) ? '1' : /redirects/.test(key) ? '0' : '2']),
    ),
  };

  it('is empty when everything is as it must be', () => {
    const plan = planNetwork(settings, self, [near, far], done);
    assert.deepEqual(plan, { ip: [], fdb: [], iptables: '', sysctls: [], unreachable: [] });
  });

  it('takes the tunnel away with the last node behind it', () => {
    const plan = planNetwork(settings, self, [near], done);
    assert.deepEqual(plan.ip, ['link del skein.vxlan', 'route del 10.244.3.0/24 proto 83']);
    assert.deepEqual(plan.fdb, []);
  });

  it('follows a node to another address and network', () => {
    const moved = { ...far, address: '198.51.100.9', podCIDR: '10.244.9.0/24' };
    const plan = planNetwork(settings, self, [near, moved], done);
    assert.deepEqual(plan.ip, [
      'neigh replace 10.244.9.0 lladdr ee:53:c6:33:64:09 dev skein.vxlan nud permanent',
      'neigh del 10.244.3.0 dev skein.vxlan',
      'route del 10.244.3.0/24 proto 83',
      'route replace 10.244.9.0/24 via 10.244.9.0 dev skein.vxlan onlink proto 83',
    ]);
    assert.deepEqual(plan.fdb, [
      'fdb replace ee:53:c6:33:64:09 dev skein.vxlan dst 198.51.100.9 self permanent',
      'fdb del ee:53:c6:33:64:03 dev skein.vxlan',
    ]);
  });

  it('makes the tunnel anew, with all that hung on it, when this node has another address', () => {
    const links = done.links.map((link) => (link.name === 'eth0' ? { ...link, addresses: ['192.0.2.77/24'] } : link));
    const { ip, fdb } = planNetwork(settings, { ...self, address: '192.0.2.77' }, [far], { ...done, links });
    assert.equal(ip[0], 'link del skein.vxlan');
    assert.match(ip[1] ?? '', /^link add skein\.vxlan address ee:53:c0:00:02:4d .* local 192\.0\.2\.77 /);
    assert.ok(ip.some((line) => line.startsWith('neigh replace 10.244.3.0')));
    assert.equal(fdb.length, 1);
  });

  it('gives the bridge another network when the node has', () => {
    const plan = planNetwork(settings, { ...self, podCIDR: '10.244.7.0/24' }, undefined, done);
    assert.deepEqual(plan.ip, [
      'link set skein0 address ee:53:0a:f4:07:01',
      'addr del 10.244.1.1/24 dev skein0',
      'addr add 10.244.7.1/24 dev skein0',
    ]);
    assert.match(plan.iptables, /-s 10\.244\.7\.0\/24 /);
    assert.doesNotMatch(plan.iptables, /-I POSTROUTING/);
  });

  it('leaves room for the tunnel in the MTU, unless there is none or it is told', () => {
    const uplink = { name: 'eth0', up: true, mtu: 9000, mac: '', addresses: [] };
    assert.equal(podMtu(settings, uplink), 8950);
    assert.equal(podMtu({ ...settings, mode: 'direct' }, uplink), 9000);
    assert.equal(podMtu({ ...settings, mtu: 1400 }, uplink), 1400);
    assert.equal(podMtu(settings, undefined), 1450);
  });

  it('names nodes whose network makes no sense, and refuses such a one of its own', () => {
    const { unreachable } = planNetwork(settings, self, [{ ...near, podCIDR: 'fd00::/64' }], empty);
    assert.deepEqual(unreachable, [{ peer: 'n2', reason: "bad pod CIDR 'fd00::/64'" }]);
    assert.throws(() => planNetwork(settings, { ...self, podCIDR: '' }, [], empty), /is not an IPv4 network/);
  });

  it('can be taken back', () => {
    assert.equal(
      planIptablesRemoval(done.iptables),
      `*filter
:SKEIN-FORWARD - [0:0]
-D FORWARD -m comment --comment "skein network" -j SKEIN-FORWARD
-X SKEIN-FORWARD
COMMIT
*nat
:SKEIN-POSTROUTING - [0:0]
-D POSTROUTING -m comment --comment "skein network" -j SKEIN-POSTROUTING
-X SKEIN-POSTROUTING
COMMIT
`,
    );
    assert.equal(planIptablesRemoval(''), '');
  });
});
