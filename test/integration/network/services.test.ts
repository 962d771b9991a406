import assert from 'node:assert/strict';
import { systemClock } from '../../../src/base/clock.js';
import { silentLogger } from '../../../src/base/log.js';
import { noMetrics } from '../../../src/base/metrics.js';
import { seededRandom } from '../../../src/base/random.js';
import { ENDPOINTSLICES, NODES, PODS, SERVICES } from '../../../src/api/resource.js';
import type { Node, Pod, Service } from '../../../src/api/types/core-v1.js';
import type { EndpointSlice } from '../../../src/api/types/discovery-v1.js';
import { Informer } from '../../../src/client/informer.js';
import { NodeNetwork } from '../../../src/node/network/network.js';
import { createProxy, type Proxy } from '../../../src/node/proxy/proxy.js';
import { MemoryClient } from '../../../src/testing/memory-client.js';
import { TwoNodes, type Place } from './lab.js';

const log = silentLogger;

async function fetchText(from: Place, url: string): Promise<string> {
  const { code, stdout, stderr } = await from.run('curl', '-sS', '-m', '3', url);
  return code === 0 ? stdout : `error ${code} ${stderr.trim()}`;
}

/** Mending waits for fifty times what a look at all rules takes, so on a busy machine for a while. */
const PATIENCE_MS = 90_000;

async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const end = systemClock.monotonicMs() + PATIENCE_MS;
  while (!(await condition())) {
    if (systemClock.monotonicMs() > end) throw new Error(`timed out: ${what}`);
    await systemClock.sleep(20);
  }
}

for (const mode of ['direct', 'vxlan'] as const) {
  describe(`pods and Services on two nodes (${mode})`, function () {
    this.timeout(PATIENCE_MS + 30_000);
    const lab = new TwoNodes();
    const client = new MemoryClient({ clock: systemClock, random: seededRandom(1) });
    const deps = { client, clock: systemClock, log, metrics: noMetrics };
    const nodes = new Informer<Node>(deps, NODES);
    const networks: NodeNetwork[] = [];
    const proxies: Proxy[] = [];
    const pods: (Awaited<ReturnType<TwoNodes['pod']>> & { ip: string })[] = [];
    const pod = (i: number) => pods[i] as (typeof pods)[number];

    before(async function () {
      if (process.getuid?.() !== 0) {
        process.stderr.write('SKIPPED: needs root for network namespaces\n');
        this.skip();
      }
      await lab.open();
      await nodes.start();
      for (const i of [1, 2]) {
        client.seed<Node>(NODES, {
          metadata: { name: `n${i}` },
          spec: { podCIDR: `10.244.${i}.0/24` },
          status: { addresses: [{ type: 'InternalIP', address: lab.addressOf(i) }] },
        } as Node);
        const command = lab.commandOf(i);
        const stateDir = `${lab.directory}/n${i}`;
        const network = new NodeNetwork({ ...deps, command, nodes }, { nodeName: `n${i}`, mode, stateDir });
        networks.push(network);
        await network.start();
        const proxy = createProxy(
          { ...deps, command },
          { mode: 'iptables', nodeName: `n${i}`, resyncIntervalMs: 1000 },
        );
        proxies.push(proxy);
        await proxy.start();
      }
      await until('networks ready', () => networks.every((network) => network.ready));
      for (const [i, node] of [1, 1, 2].entries()) {
        const made = await lab.pod();
        // `ip link … netns PID` names a process of this machine, whatever namespace the command runs in.
        const [ip = ''] = await (networks[node - 1] as NodeNetwork).attach(`sandbox-${i}`, made.pid);
        pods.push({ ...made, ip });
        await lab.serve(made.pid, 8080, `pod${i}`);
      }
      seedServices();
      await until('service rules', async () => (await fetchText(pod(0), 'http://10.96.0.10/')).startsWith('pod'));
      await until('service rules on n2', async () => (await fetchText(pod(2), 'http://10.96.0.10/')).startsWith('pod'));
    });

    function seedServices(): void {
      const service = (name: string, clusterIP: string, more: object = {}) =>
        client.seed<Service>(SERVICES, {
          metadata: { name, namespace: 'default' },
          spec: { clusterIP, clusterIPs: [clusterIP], ports: [{ port: 80, protocol: 'TCP' }], ...more },
        } as Service);
      const slice = (name: string, members: readonly number[]) =>
        client.seed<EndpointSlice>(ENDPOINTSLICES, {
          metadata: { name, namespace: 'default', labels: { 'kubernetes.io/service-name': name } },
          addressType: 'IPv4',
          ports: [{ name: '', port: 8080, protocol: 'TCP' }],
          endpoints: members.map((i) => ({
            addresses: [pod(i).ip],
            conditions: { ready: true },
            nodeName: i < 2 ? 'n1' : 'n2',
          })),
        } as EndpointSlice);
      service('web', '10.96.0.10', { type: 'NodePort', ports: [{ port: 80, nodePort: 30080, protocol: 'TCP' }] });
      slice('web', [0, 1, 2]);
      service('none', '10.96.0.11', { type: 'NodePort', ports: [{ port: 80, nodePort: 30081, protocol: 'TCP' }] });
      service('self', '10.96.0.12');
      slice('self', [0]);
      service('local', '10.96.0.13', {
        type: 'NodePort',
        externalTrafficPolicy: 'Local',
        ports: [{ port: 80, nodePort: 30082, protocol: 'TCP' }],
      });
      slice('local', [2]);
      client.seed<Pod>(PODS, {
        metadata: { name: 'hostport', namespace: 'default' },
        spec: { nodeName: 'n1', containers: [{ name: 'c', ports: [{ containerPort: 8080, hostPort: 8088 }] }] },
        status: { podIP: pod(0).ip, phase: 'Running' },
      } as Pod);
    }

    after(async () => {
      for (const service of [...proxies, ...networks, nodes]) await service.stop();
      await lab.close();
    });

    it('lets pods reach pods on the same and on another node without NAT', async () => {
      assert.equal(await fetchText(pod(0), `http://${pod(1).ip}:8080/`), `pod1 ${pod(0).ip}`);
      assert.equal(await fetchText(pod(0), `http://${pod(2).ip}:8080/`), `pod2 ${pod(0).ip}`);
      assert.equal(await fetchText(pod(2), `http://${pod(0).ip}:8080/`), `pod0 ${pod(2).ip}`);
    });

    it('lets a node reach pods of both nodes', async () => {
      for (const i of [0, 2])
        assert.match(await fetchText(lab.node(1), `http://${pod(i).ip}:8080/`), new RegExp(`^pod${i} `));
    });

    it('masquerades what leaves the cluster', async () => {
      const outside = await lab.node(2).run('ip', 'addr', 'add', '198.51.100.1/32', 'dev', 'lo');
      assert.equal(outside.code, 0);
      const pinged = await pod(0).run('busybox', 'ping', '-c1', '-W2', '198.51.100.1');
      assert.equal(pinged.code, 0, pinged.stdout);
    });

    it('spreads a cluster IP over all endpoints, from pods and from the node', async () => {
      for (const from of [pod(0), pod(2), lab.node(1)]) {
        const seen = new Set<string>();
        for (let i = 0; i < 60 && seen.size < 3; i++)
          seen.add((await fetchText(from, 'http://10.96.0.10/')).slice(0, 4));
        assert.deepEqual([...seen].sort(), ['pod0', 'pod1', 'pod2']);
      }
    });

    it('lets a pod reach itself through its Service', async () => {
      assert.match(await fetchText(pod(0), 'http://10.96.0.12/'), /^pod0 /);
    });

    it('answers NodePorts on every node, from the other node, from pods and on localhost', async () => {
      for (const url of ['http://192.0.2.1:30080/', 'http://192.0.2.2:30080/', 'http://127.0.0.1:30080/']) {
        assert.match(await fetchText(lab.node(1), url), /^pod\d /, url);
      }
      assert.match(await fetchText(pod(0), 'http://192.0.2.2:30080/'), /^pod\d /);
    });

    it('keeps the client address with externalTrafficPolicy Local, and drops where no endpoint is', async () => {
      assert.equal(await fetchText(lab.node(1), 'http://192.0.2.2:30082/'), 'pod2 192.0.2.1');
      assert.match(await fetchText(lab.node(2), 'http://192.0.2.1:30082/'), /error 28/);
    });

    it('refuses Services without endpoints at once, from pods, nodes and by NodePort', async () => {
      await until('order of rules settled', async () =>
        (await fetchText(pod(0), 'http://10.96.0.11/')).startsWith('error 7 '),
      );
      for (const from of [lab.node(1), pod(0)]) {
        assert.match(await fetchText(from, 'http://10.96.0.11/'), /error 7 /);
      }
      assert.match(await fetchText(lab.node(2), 'http://192.0.2.1:30081/'), /error 7 /);
    });

    it('answers host ports on the node', async () => {
      assert.match(await fetchText(lab.node(2), 'http://192.0.2.1:8088/'), /^pod0 192\.0\.2\.2/);
      assert.match(await fetchText(lab.node(1), 'http://127.0.0.1:8088/'), /^pod0 /);
    });

    it('mends rules that somebody flushed, and devices that somebody removed', async () => {
      await lab.node(1).run('iptables', '-t', 'nat', '-F');
      await until('rules back', async () => (await fetchText(pod(0), 'http://10.96.0.10/')).startsWith('pod'));
    });

    it('is stable: planning again changes nothing, and a restart keeps addresses', async () => {
      const again = new NodeNetwork(
        { ...deps, command: lab.commandOf(1), nodes },
        { nodeName: 'n1', mode, stateDir: `${lab.directory}/n1` },
      );
      await again.start();
      await until('ready', () => again.ready);
      assert.deepEqual(await again.attach('sandbox-0', pod(0).pid), [pod(0).ip]);
      await again.stop();
      assert.equal(await fetchText(pod(0), `http://${pod(2).ip}:8080/`), `pod2 ${pod(0).ip}`);
    });
  });
}
