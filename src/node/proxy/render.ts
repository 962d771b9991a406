/**
 * Text of `iptables-restore --noflush` transactions with kube-proxy's chains. Pure.
 *
 * ```
 * PREROUTING, OUTPUT -> KUBE-SERVICES -> KUBE-SVC-x (cluster IP)   -> KUBE-SEP-x -> DNAT
 *                                     -> KUBE-EXT-x (external, LB) -> KUBE-SVC-x or KUBE-SVL-x (policy Local)
 *                                     -> KUBE-NODEPORTS            -> KUBE-EXT-x
 *                    -> KUBE-HOSTPORTS -> DNAT
 * POSTROUTING        -> KUBE-POSTROUTING: masquerade what KUBE-MARK-MASQ marked
 * filter: INPUT, FORWARD, OUTPUT -> KUBE-PROXY-FIREWALL, KUBE-SERVICES, KUBE-EXTERNAL-SERVICES; FORWARD -> KUBE-FORWARD
 * ```
 *
 * A Service port's own chains are a {@link Block}; a partial transaction rewrites the blocks that changed and, when they
 * did, the small set of common chains.
 */
import { createHash } from 'node:crypto';
import type { EndpointState, HostPortState, ProxyState, ServicePortState } from './model.js';

export interface RenderOptions {
  /** All pods; traffic to a cluster IP from elsewhere is masqueraded. Empty: nothing is. */
  readonly clusterCidr: string;
  /** The bit of the packet mark that asks for masquerading; 0x4000 is kube-proxy's. */
  readonly masqueradeMark: number;
  /** Masquerade all traffic to cluster IPs. */
  readonly masqueradeAll: boolean;
  /** NodePorts answer on 127.0.0.1 too (needs `route_localnet`). */
  readonly localhostNodePorts: boolean;
}

/** The nat chains of one Service port: chain name to its rules. */
export type Block = ReadonlyMap<string, readonly string[]>;

export interface Rules {
  /** Blocks by Service port name and protocol. */
  readonly blocks: ReadonlyMap<string, Block>;
  /** Common chains, by table. */
  readonly nat: ReadonlyMap<string, readonly string[]>;
  readonly filter: ReadonlyMap<string, readonly string[]>;
}

/** Chain names are at most 28 characters: a prefix and 16 of the hash, as kube-proxy makes them. */
export function chainName(prefix: string, ...parts: string[]): string {
  const digest = createHash('sha256').update(parts.join('')).digest();
  return prefix + base32(digest).slice(0, 16);
}

const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

function base32(bytes: Uint8Array): string {
  let bits = '';
  for (const byte of bytes.subarray(0, 10)) bits += byte.toString(2).padStart(8, '0');
  return (bits.match(/.{5}/g) ?? []).map((five) => BASE32[Number.parseInt(five, 2)]).join('');
}

const portKey = ({ name, protocol }: ServicePortState) => `${name}/${protocol.toLowerCase()}`;
const comment = (text: string) => `-m comment --comment "${text}"`;
const match = (protocol: string, port: number) => {
  const lower = protocol.toLowerCase();
  return `-m ${lower} -p ${lower} --dport ${port}`;
};

interface ChainNames {
  readonly service: string;
  readonly local: string;
  readonly external: string;
  readonly firewall: string;
  endpoint(at: EndpointState): string;
}

/** Hashing takes most of the time of a small change among many Services, and a port that stays is the same object. */
const namesOf = new WeakMap<ServicePortState, ChainNames>();

function names(port: ServicePortState): ChainNames {
  const known = namesOf.get(port);
  if (known) return known;
  const protocol = port.protocol.toLowerCase();
  const made = {
    service: chainName('KUBE-SVC-', port.name, protocol),
    local: chainName('KUBE-SVL-', port.name, protocol),
    external: chainName('KUBE-EXT-', port.name, protocol),
    firewall: chainName('KUBE-FW-', port.name, protocol),
    endpoint: (at: EndpointState) => chainName('KUBE-SEP-', port.name, protocol, `${at.ip}:${at.port}`),
  };
  namesOf.set(port, made);
  return made;
}

/** All rules of a state. */
export function renderRules(state: ProxyState, options: RenderOptions): Rules {
  const blocks = new Map<string, Block>();
  for (const port of state.services) blocks.set(portKey(port), renderBlock(port, options));
  const { nat, filter } = renderCommon(state, options);
  return { blocks, nat, filter };
}

/** The whole state as one transaction: what a first full sync writes. */
export function render(state: ProxyState, options: RenderOptions): string {
  return fullTransaction(renderRules(state, options));
}

/** The chains of one Service port; empty when nothing can answer. */
export function renderBlock(port: ServicePortState, options: RenderOptions): Block {
  const block = new Map<string, string[]>();
  if (!port.anyEndpoint) return block;
  const chain = names(port);
  const external = hasExternal(port);
  if (usesClusterChain(port)) {
    const rules: string[] = [];
    if (options.masqueradeAll) {
      rules.push(`${clusterIpComment(port)} ${destination(port, port.clusterIp)} -j KUBE-MARK-MASQ`);
    } else if (options.clusterCidr) {
      rules.push(
        `${clusterIpComment(port)} ${destination(port, port.clusterIp)} ! -s ${options.clusterCidr} -j KUBE-MARK-MASQ`,
      );
    }
    block.set(chain.service, [...rules, ...spread(port, port.cluster)]);
  }
  if (usesLocalChain(port)) block.set(chain.local, spread(port, port.local));
  if (external) block.set(chain.external, externalRules(port, options));
  if (port.sourceRanges.length > 0 && port.loadBalancerIps.length > 0) {
    const note = comment(`${port.name} loadbalancer IP`);
    const rules = port.sourceRanges.map((range) => `${note} -s ${range} -j ${chain.external}`);
    // A node that asks its own load balancer IP is seen with that IP as source, which no range would hold.
    for (const ip of port.loadBalancerIps) rules.push(`${note} -s ${ip}/32 -j ${chain.external}`);
    rules.push(`${comment(`other traffic to ${port.name} will be dropped by KUBE-PROXY-FIREWALL`)}`);
    block.set(chain.firewall, rules);
  }
  for (const endpoint of usedEndpoints(port)) block.set(chain.endpoint(endpoint), endpointRules(port, endpoint));
  return block;
}

const hasExternal = (port: ServicePortState): boolean =>
  port.nodePort > 0 || port.externalIps.length > 0 || port.loadBalancerIps.length > 0;

const usesClusterChain = (port: ServicePortState): boolean =>
  port.cluster.length > 0 && (!port.internalLocal || hasExternal(port));

const usesLocalChain = (port: ServicePortState): boolean =>
  port.local.length > 0 && (port.internalLocal || (port.externalLocal && hasExternal(port)));

function usedEndpoints(port: ServicePortState): readonly EndpointState[] {
  const used = new Map<string, EndpointState>();
  if (usesClusterChain(port)) for (const at of port.cluster) used.set(`${at.ip}:${at.port}`, at);
  if (usesLocalChain(port)) for (const at of port.local) used.set(`${at.ip}:${at.port}`, at);
  return [...used.values()];
}

const clusterIpComment = (port: ServicePortState) => comment(`${port.name} cluster IP`);
const destination = (port: ServicePortState, ip: string) => `${match(port.protocol, port.port)} -d ${ip}/32`;

function externalRules(port: ServicePortState, options: RenderOptions): string[] {
  const chain = names(port);
  const rules: string[] = [];
  if (!port.externalLocal) {
    rules.push(`${comment(`masquerade traffic for ${port.name} external destinations`)} -j KUBE-MARK-MASQ`);
    rules.push(`-j ${chain.service}`);
    return rules;
  }
  // Policy Local is for traffic from outside. From pods and from this node every endpoint will do, as for a cluster IP.
  if (port.cluster.length > 0) {
    if (options.clusterCidr) {
      rules.push(
        `${comment(`pod traffic for ${port.name} external destinations`)} -s ${options.clusterCidr} -j ${chain.service}`,
      );
    }
    const local = '-m addrtype --src-type LOCAL';
    rules.push(
      `${comment(`masquerade LOCAL traffic for ${port.name} external destinations`)} ${local} -j KUBE-MARK-MASQ`,
    );
    rules.push(`${comment(`route LOCAL traffic for ${port.name} external destinations`)} ${local} -j ${chain.service}`);
  }
  if (port.local.length > 0) rules.push(`-j ${chain.local}`);
  return rules;
}

/** Affinity first, then an even spread: the n-th rule of m is taken with probability 1/(m-n). */
function spread(port: ServicePortState, endpoints: readonly EndpointState[]): string[] {
  const chain = names(port);
  const rules: string[] = [];
  if (port.affinitySeconds > 0) {
    for (const at of endpoints) {
      const sep = chain.endpoint(at);
      rules.push(
        `${comment(`${port.name} -> ${at.ip}:${at.port}`)} -m recent --name ${sep} ` +
          `--rcheck --seconds ${port.affinitySeconds} --reap -j ${sep}`,
      );
    }
  }
  endpoints.forEach((at, i) => {
    const left = endpoints.length - i;
    const chance = left > 1 ? ` -m statistic --mode random --probability ${(1 / left).toFixed(10)}` : '';
    rules.push(`${comment(`${port.name} -> ${at.ip}:${at.port}`)}${chance} -j ${chain.endpoint(at)}`);
  });
  return rules;
}

function endpointRules(port: ServicePortState, at: EndpointState): string[] {
  const protocol = port.protocol.toLowerCase();
  const note = comment(port.name);
  const recent = port.affinitySeconds > 0 ? ` -m recent --name ${names(port).endpoint(at)} --set` : '';
  return [
    // Hairpin: a pod that reaches itself must see another source than its own.
    `${note} -s ${at.ip}/32 -j KUBE-MARK-MASQ`,
    `${note}${recent} -m ${protocol} -p ${protocol} -j DNAT --to-destination ${at.ip}:${at.port}`,
  ];
}

interface Common {
  readonly nat: Map<string, string[]>;
  readonly filter: Map<string, string[]>;
}

function renderCommon(state: ProxyState, options: RenderOptions): Common {
  const mark = `0x${options.masqueradeMark.toString(16)}`;
  const services: string[] = [];
  const nodePorts: string[] = [];
  const refused: string[] = [];
  const refusedExternal: string[] = [];
  const firewall: string[] = [];
  for (const port of state.services) {
    renderClusterIp(port, services, refused);
    renderExternal(port, services, nodePorts, refusedExternal, firewall);
  }
  const notLocalhost = options.localhostNodePorts ? '' : ' ! -d 127.0.0.0/8';
  services.push(
    `${comment('kubernetes service nodeports; NOTE: this must be the last rule in this chain')} ` +
      `-m addrtype --dst-type LOCAL${notLocalhost} -j KUBE-NODEPORTS`,
  );
  const nat = new Map([
    ['KUBE-SERVICES', services],
    ['KUBE-NODEPORTS', nodePorts],
    ['KUBE-HOSTPORTS', state.hostPorts.flatMap((port) => hostPortRules(port, options))],
    ['KUBE-MARK-MASQ', [`-j MARK --or-mark ${mark}`]],
    [
      'KUBE-POSTROUTING',
      [
        `-m mark ! --mark ${mark}/${mark} -j RETURN`,
        `-j MARK --xor-mark ${mark}`,
        `${comment('kubernetes service traffic requiring SNAT')} -j MASQUERADE --random-fully`,
      ],
    ],
  ]);
  const filter = new Map([
    ['KUBE-SERVICES', refused],
    ['KUBE-EXTERNAL-SERVICES', refusedExternal],
    ['KUBE-PROXY-FIREWALL', firewall],
    ['KUBE-FORWARD', forwardRules(mark)],
    [
      'KUBE-FIREWALL',
      options.localhostNodePorts
        ? [
            // With route_localnet on, neighbours could otherwise reach what listens on loopback only (CVE-2020-8558).
            `${comment('block incoming localnet connections')} ! -s 127.0.0.0/8 -d 127.0.0.0/8 ` +
              '-m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP',
          ]
        : [],
    ],
  ]);
  return { nat, filter };
}

function forwardRules(mark: string): string[] {
  return [
    '-m conntrack --ctstate INVALID -j DROP',
    `${comment('kubernetes forwarding rules')} -m mark --mark ${mark}/${mark} -j ACCEPT`,
    `${comment('kubernetes forwarding conntrack rule')} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`,
    `${comment('skein host ports')} -m conntrack --ctstate DNAT -j ACCEPT`,
  ];
}

const REJECT = '-j REJECT';

function renderClusterIp(port: ServicePortState, services: string[], refused: string[]): void {
  const chain = names(port);
  const usable = port.internalLocal ? port.local : port.cluster;
  if (usable.length > 0) {
    const target = port.internalLocal ? chain.local : chain.service;
    services.push(`${clusterIpComment(port)} ${destination(port, port.clusterIp)} -j ${target}`);
    return;
  }
  // Nobody at all: refuse. Endpoints, but none here under policy Local: drop, so that clients try again.
  const [text, verdict] = port.anyEndpoint ? ['has no local endpoints', '-j DROP'] : ['has no endpoints', REJECT];
  refused.push(`${comment(`${port.name} ${text}`)} ${destination(port, port.clusterIp)} ${verdict}`);
}

function renderExternal(
  port: ServicePortState,
  services: string[],
  nodePorts: string[],
  refused: string[],
  firewall: string[],
): void {
  const chain = names(port);
  const dropped = port.externalLocal && port.anyEndpoint && port.local.length === 0;
  const [text, verdict] = dropped ? ['has no local endpoints', '-j DROP'] : ['has no endpoints', REJECT];
  for (const [ips, label, guarded] of [
    [port.externalIps, 'external IP', false],
    [port.loadBalancerIps, 'loadbalancer IP', port.sourceRanges.length > 0],
  ] as const) {
    for (const ip of ips) {
      const to = destination(port, ip);
      if (port.anyEndpoint) {
        services.push(`${comment(`${port.name} ${label}`)} ${to} -j ${guarded ? chain.firewall : chain.external}`);
        if (guarded)
          firewall.push(`${comment(`${port.name} traffic not accepted by ${chain.firewall}`)} ${to} -j DROP`);
      }
      if (!port.anyEndpoint || dropped) refused.push(`${comment(`${port.name} ${text}`)} ${to} ${verdict}`);
    }
  }
  if (port.nodePort === 0) return;
  const at = match(port.protocol, port.nodePort);
  if (port.anyEndpoint) nodePorts.push(`${comment(port.name)} ${at} -j ${chain.external}`);
  if (!port.anyEndpoint || dropped) {
    refused.push(`${comment(`${port.name} ${text}`)} -m addrtype --dst-type LOCAL ${at} ${verdict}`);
  }
}

/** As the `portmap` CNI plugin: DNAT, and masquerade for the pod itself and for this node's loopback. */
function hostPortRules(port: HostPortState, options: RenderOptions): string[] {
  const note = comment(`${port.pod} hostport ${port.hostPort}`);
  const to = `${match(port.protocol, port.hostPort)}${port.hostIp ? ` -d ${port.hostIp}/32` : ''}`;
  return [
    `${note} ${to} -s ${port.podIp}/32 -j KUBE-MARK-MASQ`,
    ...(options.localhostNodePorts ? [`${note} ${to} -s 127.0.0.1/32 -j KUBE-MARK-MASQ`] : []),
    `${note} ${to} -j DNAT --to-destination ${port.podIp}:${port.containerPort}`,
  ];
}

function write(
  table: string,
  chains: Iterable<readonly [string, readonly string[]]>,
  removed: Iterable<string>,
): string {
  const declared: string[] = [];
  const rules: string[] = [];
  const deletions: string[] = [];
  for (const [chain, lines] of chains) {
    declared.push(`:${chain} - [0:0]`);
    for (const line of lines) rules.push(`-A ${chain} ${line}`);
  }
  for (const chain of removed) {
    declared.push(`:${chain} - [0:0]`);
    deletions.push(`-X ${chain}`);
  }
  if (declared.length === 0) return '';
  // iptables' nf_tables backend keeps the chains it is told of in a sorted list and searches it from the front for every
  // one: 11,000 chains in no order take it half a minute, from last to first three seconds.
  declared.sort().reverse();
  return [`*${table}`, ...declared, ...rules, ...deletions, 'COMMIT', ''].join('\n');
}

/** `stale` are chains in the kernel that nothing wants any more. */
export function fullTransaction(rules: Rules, stale: Iterable<string> = []): string {
  const nat = [...rules.nat, ...[...rules.blocks.values()].flatMap((block) => [...block])];
  return write('filter', rules.filter, []) + write('nat', nat, stale);
}

const same = (a: readonly string[] | undefined, b: readonly string[]) =>
  a !== undefined && a.length === b.length && a.every((line, i) => line === b[i]);

/** Only the chains that differ between two sets of rules; empty when none does. Blocks are compared by identity first. */
export function partialTransaction(before: Rules, after: Rules): string {
  const nat: [string, readonly string[]][] = [];
  const removed: string[] = [];
  for (const [chain, lines] of after.nat) if (!same(before.nat.get(chain), lines)) nat.push([chain, lines]);
  for (const [key, block] of after.blocks) {
    const old = before.blocks.get(key);
    if (old === block) continue;
    for (const [chain, lines] of block) if (!same(old?.get(chain), lines)) nat.push([chain, lines]);
    for (const chain of old?.keys() ?? []) if (!block.has(chain)) removed.push(chain);
  }
  for (const [key, block] of before.blocks) if (!after.blocks.has(key)) removed.push(...block.keys());
  const filter = [...after.filter].filter(([chain, lines]) => !same(before.filter.get(chain), lines));
  return write('filter', filter, []) + write('nat', nat, removed);
}

/** Common rules again, with the blocks of Service ports that are the same object as before kept as they are. */
export function rerender(
  state: ProxyState,
  options: RenderOptions,
  before: { readonly rules: Rules; readonly ports: ReadonlyMap<string, ServicePortState> },
): Rules {
  const blocks = new Map<string, Block>();
  for (const port of state.services) {
    const key = portKey(port);
    const old = before.ports.get(key) === port ? before.rules.blocks.get(key) : undefined;
    blocks.set(key, old ?? renderBlock(port, options));
  }
  return { blocks, ...renderCommon(state, options) };
}

export function portsByKey(state: ProxyState): ReadonlyMap<string, ServicePortState> {
  return new Map(state.services.map((port) => [portKey(port), port]));
}
