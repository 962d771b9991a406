/** What a Service keeps and drops on create and update (registry `core/service`): allocated addresses and ports. */
import type { Service, ServiceSpec } from '../types/core-v1.js';

const needsClusterIp = ({ type }: ServiceSpec) => type !== 'ExternalName';
const needsNodePort = ({ type, allocateLoadBalancerNodePorts }: ServiceSpec) =>
  type === 'NodePort' || (type === 'LoadBalancer' && allocateLoadBalancerNodePorts !== false);
const needsHealthCheckPort = ({ type, externalTrafficPolicy }: ServiceSpec) =>
  type === 'LoadBalancer' && externalTrafficPolicy === 'Local';

const sameList = (a: readonly string[] | undefined, b: readonly string[] | undefined) =>
  (a ?? []).join() === (b ?? []).join();

/** `clusterIPs` follows `clusterIP` where a client knows only the latter. */
function normalizeClusterIps(spec: ServiceSpec, old: ServiceSpec | undefined): void {
  const { clusterIP = '' } = spec;
  if (old === undefined) {
    if (clusterIP !== '' && (spec.clusterIPs ?? []).length === 0) spec.clusterIPs = [clusterIP];
    return;
  }
  if (clusterIP === (old.clusterIP ?? '')) return;
  if (clusterIP === '') {
    if (sameList(spec.clusterIPs, old.clusterIPs)) delete spec.clusterIPs;
  } else if ((spec.clusterIPs ?? []).length === 0 || sameList(spec.clusterIPs, old.clusterIPs)) {
    spec.clusterIPs = [clusterIP];
  }
}

/** A client that replaces a Service without naming what was allocated keeps it. */
function keepAllocated(spec: ServiceSpec, old: ServiceSpec): void {
  if (needsClusterIp(old) && needsClusterIp(spec)) {
    if ((spec.clusterIP ?? '') === '' && old.clusterIP !== undefined) spec.clusterIP = old.clusterIP;
    if ((spec.clusterIPs ?? []).length === 0 && spec.clusterIP === old.clusterIP && old.clusterIPs !== undefined) {
      spec.clusterIPs = [...old.clusterIPs];
    }
    if ((spec.ipFamilies ?? []).length === 0 && old.ipFamilies !== undefined) spec.ipFamilies = [...old.ipFamilies];
    if (spec.ipFamilyPolicy === undefined && old.ipFamilyPolicy !== undefined) spec.ipFamilyPolicy = old.ipFamilyPolicy;
  }
  if (needsNodePort(old) && needsNodePort(spec)) {
    const used = new Set((spec.ports ?? []).map((port) => `${port.protocol}/${port.nodePort ?? 0}`));
    for (const port of spec.ports ?? []) {
      if ((port.nodePort ?? 0) !== 0) continue;
      const before = (old.ports ?? []).find((entry) => entry.protocol === port.protocol && entry.port === port.port);
      if (before?.nodePort === undefined || used.has(`${port.protocol}/${before.nodePort}`)) continue;
      port.nodePort = before.nodePort;
      used.add(`${port.protocol}/${before.nodePort}`);
    }
  }
  if (needsHealthCheckPort(old) && needsHealthCheckPort(spec) && (spec.healthCheckNodePort ?? 0) === 0) {
    if (old.healthCheckNodePort !== undefined) spec.healthCheckNodePort = old.healthCheckNodePort;
  }
}

/** A change of type drops what only the old type had, unless the client set it anew. */
function dropTypeDependent(spec: ServiceSpec, old: ServiceSpec): void {
  if (needsClusterIp(old) && !needsClusterIp(spec)) {
    if (spec.clusterIP === old.clusterIP && sameList(spec.clusterIPs, old.clusterIPs)) {
      delete spec.clusterIP;
      delete spec.clusterIPs;
    }
    if (sameList(spec.ipFamilies, old.ipFamilies)) delete spec.ipFamilies;
    if (spec.ipFamilyPolicy === old.ipFamilyPolicy) delete spec.ipFamilyPolicy;
    delete spec.internalTrafficPolicy;
  }
  if (needsNodePort(old) && !needsNodePort(spec)) {
    const before = new Map((old.ports ?? []).map((port) => [`${port.protocol}/${port.port}`, port.nodePort]));
    for (const port of spec.ports ?? []) {
      if (before.get(`${port.protocol}/${port.port}`) === port.nodePort) delete port.nodePort;
    }
  }
  if (
    needsHealthCheckPort(old) &&
    !needsHealthCheckPort(spec) &&
    spec.healthCheckNodePort === old.healthCheckNodePort
  ) {
    delete spec.healthCheckNodePort;
  }
  if (old.type === 'LoadBalancer' && spec.type !== 'LoadBalancer') {
    if (spec.allocateLoadBalancerNodePorts === old.allocateLoadBalancerNodePorts) {
      delete spec.allocateLoadBalancerNodePorts;
    }
    if (spec.loadBalancerClass === old.loadBalancerClass) delete spec.loadBalancerClass;
  }
  const external = spec.type === 'NodePort' || spec.type === 'LoadBalancer' || (spec.externalIPs ?? []).length > 0;
  if (!external && spec.externalTrafficPolicy === old.externalTrafficPolicy) delete spec.externalTrafficPolicy;
}

export function prepareServiceForCreate(service: Service): void {
  service.status = { loadBalancer: {} };
  if (service.spec !== undefined) normalizeClusterIps(service.spec, undefined);
}

/** Changes `service.spec` in place: the caller owns it. */
export function prepareServiceForUpdate(service: Service, old: Service): void {
  if (service.spec === undefined || old.spec === undefined) return;
  normalizeClusterIps(service.spec, old.spec);
  dropTypeDependent(service.spec, old.spec);
  keepAllocated(service.spec, old.spec);
}
