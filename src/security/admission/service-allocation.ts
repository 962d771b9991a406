/**
 * Addresses and node ports of Services. What is in use is kept in an index that is fed by this plugin's own commits and
 * by {@link ServiceAllocation.observe}; every hit is checked against the state of the write, and the index is rebuilt
 * from that state whenever it may have missed something. So two Services never share an address in one component.
 */
import type { Random } from '../../base/random.js';
import { ApiError, invalid, type FieldError } from '../../api/errors.js';
import type { KubeObject } from '../../api/object.js';
import type { Service, ServicePort, ServiceSpec } from '../../api/types/core-v1.js';
import type { AdmissionAttributes, AdmissionLookups, AdmissionPlugin } from './admission.js';
import { formatIpv4, parseIpv4, parseIpv4Range, type Ipv4Range } from './ipv4.js';

export interface ServiceAllocationOptions {
  /** IPv4 CIDR of cluster addresses, e.g. `10.96.0.0/16`. */
  readonly serviceCidr: string;
  /** Inclusive; upstream's default is 30000 to 32767. */
  readonly nodePorts: { readonly from: number; readonly to: number };
}

export const DEFAULT_SERVICE_ALLOCATION: ServiceAllocationOptions = Object.freeze({
  serviceCidr: '10.96.0.0/16',
  nodePorts: Object.freeze({ from: 30000, to: 32767 }),
});

/** Random attempts before walking the range. */
const RANDOM_ATTEMPTS = 64;

interface Claims {
  readonly ips: readonly string[];
  /** `30080`: a number belongs to one Service whatever the protocols. */
  readonly ports: readonly string[];
}

const idOf = (object: KubeObject) => `${object.metadata.namespace ?? ''}/${object.metadata.name ?? ''}`;
const isHeadless = ({ clusterIP }: ServiceSpec) => clusterIP === 'None';
const hasAddress = ({ type }: ServiceSpec) => type !== 'ExternalName';
const wantsNodePorts = ({ type, allocateLoadBalancerNodePorts }: ServiceSpec) =>
  type === 'NodePort' || (type === 'LoadBalancer' && allocateLoadBalancerNodePorts !== false);
const wantsHealthCheckPort = ({ type, externalTrafficPolicy }: ServiceSpec) =>
  type === 'LoadBalancer' && externalTrafficPolicy === 'Local';
/** Its user makes the endpoints, of whatever families they are. */
const isOpen = (spec: ServiceSpec) => isHeadless(spec) && Object.keys(spec.selector ?? {}).length === 0;

function claimsOf(object: KubeObject): Claims {
  const { spec } = object as Service;
  if (!spec) return { ips: [], ports: [] };
  const ips = (spec.clusterIPs ?? (spec.clusterIP ? [spec.clusterIP] : [])).filter((ip) => ip !== '' && ip !== 'None');
  const ports = (spec.ports ?? []).flatMap(({ nodePort }) => (nodePort ? [String(nodePort)] : []));
  if (spec.healthCheckNodePort) ports.push(String(spec.healthCheckNodePort));
  return { ips, ports };
}

type Holders = Map<string, Set<string>>;

/**
 * Who may hold what. Changes arrive twice (when they are committed and when they are applied) and not in one order, so an
 * entry is a suspicion with several holders that every hit has to confirm.
 */
class ClaimIndex {
  readonly ips: Holders = new Map();
  readonly ports: Holders = new Map();
  complete = false;

  rebuild(services: readonly KubeObject[]): void {
    this.ips.clear();
    this.ports.clear();
    for (const service of services) this.add(service);
    this.complete = true;
  }

  add(service: KubeObject): void {
    const { ips, ports } = claimsOf(service);
    for (const ip of ips) addHolder(this.ips, ip, idOf(service));
    for (const port of ports) addHolder(this.ports, port, idOf(service));
  }
}

function addHolder(holders: Holders, claim: string, holder: string): void {
  const present = holders.get(claim);
  if (present) present.add(holder);
  else holders.set(claim, new Set([holder]));
}

export class ServiceAllocation implements AdmissionPlugin {
  readonly name = 'ServiceAllocation';
  private readonly range: Ipv4Range;
  /** Addresses from here on are handed out first: the band before is left for fixed ones (KEP-3070). */
  private readonly bandEnd: number;
  private readonly index = new ClaimIndex();
  private observed = false;

  constructor(
    private readonly deps: { readonly random: Random },
    private readonly options: ServiceAllocationOptions = DEFAULT_SERVICE_ALLOCATION,
  ) {
    this.range = parseIpv4Range(options.serviceCidr);
    this.bandEnd = Math.min(256, Math.max(16, Math.floor(this.range.size / 16)));
    if (this.range.size <= 32) this.bandEnd = 0;
  }

  /**
   * Tells of an applied Service, made here or elsewhere; with `undefined` changes may have been missed (a merge, a
   * takeover), and the next write rebuilds the index. Until the first call every allocating write rebuilds it.
   */
  observe(object: KubeObject | undefined): void {
    this.observed = true;
    if (object === undefined) this.index.complete = false;
    else if (this.index.complete) this.index.add(object);
  }

  handles({ group, resource, subresource, operation }: AdmissionAttributes): boolean {
    return group === '' && resource === 'services' && (subresource === '' || operation === 'DELETE');
  }

  admit({ operation, object, name }: AdmissionAttributes, lookups: AdmissionLookups): void {
    if (operation === 'DELETE' || object === undefined) return;
    const service = object as Service;
    if (!service.spec) return;
    if (!this.observed || !this.index.complete) this.index.rebuild(lookups.list('', 'services'));
    const id = `${object.metadata.namespace ?? ''}/${name}`;
    this.allocateAddress(service.spec, id, name, lookups);
    this.allocatePorts(service.spec, id, name, lookups);
  }

  committed({ operation }: AdmissionAttributes, stored: KubeObject): void {
    if (operation !== 'DELETE') this.index.add(stored);
  }

  private holder(
    claims: Holders,
    claim: string,
    kind: keyof Claims,
    own: string,
    lookups: AdmissionLookups,
  ): string | undefined {
    const holders = claims.get(claim);
    for (const holder of holders ?? []) {
      if (holder === own) continue;
      const [namespace = '', name = ''] = holder.split('/');
      const present = lookups.get('', 'services', namespace, name);
      if (present && claimsOf(present)[kind].includes(claim)) return holder;
      holders?.delete(holder);
    }
    return undefined;
  }

  private allocateAddress(spec: ServiceSpec, id: string, name: string, lookups: AdmissionLookups): void {
    if (!hasAddress(spec)) return;
    if (isOpen(spec)) {
      spec.ipFamilyPolicy ??= 'RequireDualStack';
      if ((spec.ipFamilies ?? []).length === 0) spec.ipFamilies = ['IPv4'];
      if (spec.ipFamilies?.length === 1 && spec.ipFamilyPolicy !== 'SingleStack') {
        spec.ipFamilies = spec.ipFamilies[0] === 'IPv4' ? ['IPv4', 'IPv6'] : ['IPv6', 'IPv4'];
      }
      spec.clusterIPs = ['None'];
      return;
    }
    checkFamilies(spec, name);
    spec.ipFamilies = ['IPv4'];
    spec.ipFamilyPolicy ??= 'SingleStack';
    if (isHeadless(spec)) {
      spec.clusterIPs = ['None'];
      return;
    }
    if (spec.clusterIP) this.checkRequestedAddress(spec.clusterIP, id, name, lookups);
    else spec.clusterIP = this.freeAddress(id, name, lookups);
    spec.clusterIPs = [spec.clusterIP];
  }

  private checkRequestedAddress(address: string, id: string, name: string, lookups: AdmissionLookups): void {
    const number = parseIpv4(address);
    // What is no address at all is validation's to refuse.
    if (number === undefined) return;
    const refused = (why: string) =>
      refuse(name, 'spec.clusterIPs', `[]string{"${address}"}`, `failed to allocate IP ${address}: ${why}`);
    const { first, size } = this.range;
    if (number <= first || number >= first + size - 1) {
      throw refused(
        `the provided IP (${address}) is not in the valid range. ` +
          `The range of valid IPs is ${this.options.serviceCidr}`,
      );
    }
    if (this.holder(this.index.ips, address, 'ips', id, lookups) !== undefined) {
      throw refused('provided IP is already allocated');
    }
  }

  private freeAddress(id: string, name: string, lookups: AdmissionLookups): string {
    const { first, size } = this.range;
    const isFree = (offset: number) => {
      const text = formatIpv4(first + offset);
      return this.holder(this.index.ips, text, 'ips', id, lookups) === undefined ? text : undefined;
    };
    const upper = size - 1 - Math.max(1, this.bandEnd);
    for (let attempt = 0; attempt < RANDOM_ATTEMPTS && upper > 0; attempt++) {
      const found = isFree(Math.max(1, this.bandEnd) + this.deps.random.int(upper));
      if (found) return found;
    }
    // The upper part is crowded: every address in turn, the reserved band last; .1 and .10 stay the cluster's own.
    for (let offset = Math.max(1, this.bandEnd); offset < size - 1; offset++) {
      const found = isFree(offset);
      if (found) return found;
    }
    for (let offset = 2; offset < this.bandEnd; offset++) {
      const found = offset === 10 ? undefined : isFree(offset);
      if (found) return found;
    }
    throw internalError(`failed to allocate a serviceIP for ${name}: range is full`);
  }

  private allocatePorts(spec: ServiceSpec, id: string, name: string, lookups: AdmissionLookups): void {
    if (spec.type !== 'NodePort' && spec.type !== 'LoadBalancer') return;
    const isFree = (port: number) => this.holder(this.index.ports, String(port), 'ports', id, lookups) === undefined;
    // What is asked for first, so that it is not given to another port of the Service.
    const taken = new Set((spec.ports ?? []).flatMap(({ nodePort }) => nodePort || []));
    for (const [index, { nodePort }] of (spec.ports ?? []).entries()) {
      const problem = nodePort ? this.portProblem(nodePort, isFree) : undefined;
      if (problem !== undefined) throw refuse(name, `spec.ports[${index}].nodePort`, String(nodePort), problem);
    }
    if (wantsNodePorts(spec)) {
      for (const port of spec.ports ?? []) {
        if (port.nodePort) continue;
        port.nodePort =
          twinOf(port, spec.ports ?? []) ?? this.freePort(name, (free) => !taken.has(free) && isFree(free));
        taken.add(port.nodePort);
      }
    }
    if (!wantsHealthCheckPort(spec)) return;
    if (!spec.healthCheckNodePort) {
      spec.healthCheckNodePort = this.freePort(name, (free) => !taken.has(free) && isFree(free));
      return;
    }
    const problem = this.portProblem(spec.healthCheckNodePort, isFree);
    if (problem === undefined) return;
    throw internalError(`failed to allocate requested HealthCheck NodePort ${spec.healthCheckNodePort}: ${problem}`);
  }

  private portProblem(port: number, isFree: (port: number) => boolean): string | undefined {
    const { from, to } = this.options.nodePorts;
    if (port < from || port > to) {
      return `provided port is not in the valid range. The range of valid ports is ${from}-${to}`;
    }
    return isFree(port) ? undefined : 'provided port is already allocated';
  }

  private freePort(name: string, isFree: (port: number) => boolean): number {
    const { from, to } = this.options.nodePorts;
    const first = from + staticBand(to - from + 1);
    for (let attempt = 0; attempt < RANDOM_ATTEMPTS; attempt++) {
      const candidate = first + this.deps.random.int(to - first + 1);
      if (isFree(candidate)) return candidate;
    }
    // Crowded: every port in turn, those left for fixed numbers last.
    for (let candidate = first; candidate <= to; candidate++) if (isFree(candidate)) return candidate;
    for (let candidate = from; candidate < first; candidate++) if (isFree(candidate)) return candidate;
    throw internalError(`failed to allocate a nodePort for ${name}: range is full`);
  }
}

/** Ports at the beginning of the range that are given out last, so that fixed ones are free (KEP-3668). */
const staticBand = (size: number) => (size < 16 ? 0 : Math.min(128, Math.max(16, Math.floor(size / 32))));

/** One number for the same port over several protocols. */
function twinOf(port: ServicePort, siblings: readonly ServicePort[]): number | undefined {
  const protocolOf = ({ protocol = 'TCP' }: ServicePort) => protocol;
  const twin = siblings.find(
    (other) => other.port === port.port && protocolOf(other) !== protocolOf(port) && other.nodePort,
  );
  if (twin === undefined) return undefined;
  const clash = siblings.some((other) => other.nodePort === twin.nodePort && protocolOf(other) === protocolOf(port));
  return clash ? undefined : twin.nodePort;
}

const internalError = (why: string) => new ApiError(500, 'InternalError', `Internal error occurred: ${why}`);

function checkFamilies({ ipFamilies = [], ipFamilyPolicy, clusterIPs = [] }: ServiceSpec, name: string): void {
  const errors: FieldError[] = [];
  const add = (field: string, value: string, why: string) =>
    errors.push({ type: 'FieldValueInvalid', field, message: `Invalid value: ${JSON.stringify(value)}: ${why}` });
  const needsBoth = ipFamilies.length === 2 || clusterIPs.length === 2;
  if (ipFamilyPolicy === 'RequireDualStack' || (ipFamilyPolicy === undefined && needsBoth)) {
    add('spec.ipFamilyPolicy', 'RequireDualStack', 'this cluster is not configured for dual-stack services');
  }
  for (const [index, family] of ipFamilies.entries()) {
    if (family !== 'IPv4') add(`spec.ipFamilies[${index}]`, family, 'not configured on this cluster');
  }
  if (errors.length > 0) throw invalid({ group: '', kind: 'Service' }, name, errors);
}

/** `value` as Go's error text shows it. */
function refuse(name: string, field: string, value: string, why: string): ApiError {
  const error: FieldError = { type: 'FieldValueInvalid', field, message: `Invalid value: ${value}: ${why}` };
  return invalid({ group: '', kind: 'Service' }, name, [error]);
}
