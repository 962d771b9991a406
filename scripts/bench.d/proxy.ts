/** How long the proxy takes to write its rules: a full sync, then one changed endpoint, in a network namespace of its own. */
import { systemClock } from '../../src/base/clock.js';
import { systemCommand, type Command } from '../../src/base/command.js';
import { silentLogger } from '../../src/base/log.js';
import { noMetrics } from '../../src/base/metrics.js';
import { IptablesProxier } from '../../src/node/proxy/iptables-proxier.js';
import type { ProxyState, ServicePortState } from '../../src/node/proxy/model.js';
import { median, round, type Bench, type Context, type Figure } from './bench.js';

const SERVICES = 1000;
const ENDPOINTS = 10;

function port(i: number, change = 0): ServicePortState {
  const cluster = Array.from({ length: ENDPOINTS }, (_, j) => ({
    ip: `10.${100 + (i >> 8)}.${i & 255}.${j + 1 + (j === 0 ? change : 0)}`,
    port: 8080,
    local: false,
  }));
  return {
    name: `default/service-${i}:http`,
    protocol: 'TCP',
    clusterIp: `10.96.${i >> 8}.${i & 255}`,
    port: 80,
    nodePort: 0,
    externalIps: [],
    loadBalancerIps: [],
    sourceRanges: [],
    affinitySeconds: 0,
    externalLocal: false,
    internalLocal: false,
    cluster,
    local: [],
    anyEndpoint: true,
  };
}

async function run(context: Context): Promise<Figure[]> {
  const namespace = `skbench${process.pid}`;
  const command: Command = {
    run: (program, args, options) =>
      systemCommand.run('nsenter', [`--net=/run/netns/${namespace}`, program, ...args], options),
  };
  await systemCommand.run('ip', ['netns', 'add', namespace]);
  context.defer(() => systemCommand.run('ip', ['netns', 'del', namespace]));
  const proxier = new IptablesProxier(
    { command, clock: systemClock, log: silentLogger, metrics: noMetrics },
    { clusterCidr: '10.244.0.0/16', masqueradeMark: 0x4000, masqueradeAll: false, localhostNodePorts: true },
  );
  const all = Array.from({ length: SERVICES }, (_, i) => port(i));
  const timed = async (state: ProxyState, full: boolean) => {
    const beganMs = performance.now();
    await proxier.sync(state, full);
    return round(performance.now() - beganMs);
  };
  const fullMs = await timed({ services: all, hostPorts: [] }, true);
  const oneMs: number[] = [];
  for (let i = 0; i < 5; i++) {
    const changed = all.map((one, at) => (at === SERVICES >> 1 ? port(at, 100 + i) : one));
    oneMs.push(await timed({ services: changed, hostPorts: [] }, false));
  }
  const what = `iptables, ${SERVICES} Services × ${ENDPOINTS} endpoints`;
  return [
    { what: `${what}, first sync`, unit: 'ms', better: 'lower', skein: fullMs },
    {
      what: `${what}, one endpoint changes`,
      unit: 'ms',
      better: 'lower',
      skein: median(oneMs),
      samples: oneMs,
      goal: { text: '≤ 100 ms', atMost: 100, of: 'value' },
    },
  ];
}

export const proxy: Bench = {
  name: 'proxy',
  about: 'iptables rules for 1,000 Services with 10 endpoints each, and one changed endpoint',
  hosts: true,
  limitSeconds: 120,
  run,
};
