/**
 * How long the proxy takes to write its rules: a full sync, then one changed endpoint. Root only (a network namespace of its
 * own). Run: `npx tsx scripts/bench/proxy.ts [services] [endpoints]`
 */
import { systemCommand, type Command } from '../../src/base/command.js';
import { systemClock } from '../../src/base/clock.js';
import { silentLogger } from '../../src/base/log.js';
import { noMetrics } from '../../src/base/metrics.js';
import { IptablesProxier } from '../../src/node/proxy/iptables-proxier.js';
import type { ProxyState, ServicePortState } from '../../src/node/proxy/model.js';

const services = Number(process.argv[2] ?? 1000);
const endpoints = Number(process.argv[3] ?? 10);
const namespace = `skbench${process.pid}`;
const command: Command = {
  run: (program, args, options) =>
    systemCommand.run('nsenter', [`--net=/run/netns/${namespace}`, program, ...args], options),
};

function port(i: number, change = 0): ServicePortState {
  const cluster = Array.from({ length: endpoints }, (_, j) => ({
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

await systemCommand.run('ip', ['netns', 'add', namespace]);
try {
  const proxier = new IptablesProxier(
    { command, clock: systemClock, log: silentLogger, metrics: noMetrics },
    { clusterCidr: '10.244.0.0/16', masqueradeMark: 0x4000, masqueradeAll: false, localhostNodePorts: true },
  );
  const all = Array.from({ length: services }, (_, i) => port(i));
  const timed = async (what: string, state: ProxyState, full: boolean) => {
    const began = systemClock.monotonicMs();
    await proxier.sync(state, full);
    console.log(`${what}: ${(systemClock.monotonicMs() - began).toFixed(0)} ms`);
  };
  console.log(`${services} Services with ${endpoints} endpoints each`);
  await timed('first full sync', { services: all, hostPorts: [] }, true);
  for (let i = 0; i < 5; i++) {
    const changed = all.map((one, at) => (at === services >> 1 ? port(at, 100 + i) : one));
    await timed('one endpoint changed', { services: changed, hostPorts: [] }, false);
  }
  await timed('repeated full sync', { services: all, hostPorts: [] }, true);
} finally {
  await systemCommand.run('ip', ['netns', 'del', namespace]);
}
