/**
 * What must be true in the kernel for pods to reach pods on every node, and the steps from what is to what must be. Pure.
 *
 * Pods get /32 addresses and send everything to the gateway on the bridge. So traffic between two pods of one node is
 * routed, not bridged: replies of Services pass conntrack whether `br_netfilter` is loaded or not, and a pod reaches
 * itself through its Service without hairpin mode.
 *
 * Routes to other nodes carry {@link ROUTE_PROTOCOL}, so that ours are told from everybody else's.
 */
import { contains, formatCidr, formatIp, parseCidr, parseIp, type Cidr } from '../../base/ipv4.js';
import { gatewayOf } from './cidr.js';

/** Marks our entries in the routing table (`/etc/iproute2/rt_protos` leaves this number free). */
export const ROUTE_PROTOCOL = 83;
/** Bytes that VXLAN adds over IPv4 (RFC 7348: 14 + 8 + 8 + 20). */
export const VXLAN_OVERHEAD_BYTES = 50;

export type RouteMode = 'auto' | 'direct' | 'vxlan';

export interface NetworkSettings {
  readonly clusterCidr: string;
  /** `direct`: routes over the nodes' own addresses. `vxlan`: always encapsulate. `auto`: direct where on-link. */
  readonly mode: RouteMode;
  readonly bridge: string;
  readonly vxlanDevice: string;
  readonly vni: number;
  readonly vxlanPort: number;
  /** MTU of pods in bytes; 0: the uplink's, less the overhead unless the mode is `direct`. */
  readonly mtu: number;
}

export interface Peer {
  readonly name: string;
  readonly address: string;
  readonly podCIDR: string;
}

export interface ObservedRoute {
  readonly dst: string;
  readonly gateway: string | undefined;
  readonly dev: string | undefined;
}

export interface ObservedLink {
  readonly name: string;
  readonly up: boolean;
  readonly mtu: number;
  readonly mac: string;
  /** `10.0.0.1/24` */
  readonly addresses: readonly string[];
}

/** The kernel's state as far as it concerns us. */
export interface Observed {
  readonly links: readonly ObservedLink[];
  /** Only routes of {@link ROUTE_PROTOCOL}. */
  readonly routes: readonly ObservedRoute[];
  /** Permanent neighbours on the VXLAN device: address to MAC. */
  readonly neighbours: ReadonlyMap<string, string>;
  /** Forwarding entries of the VXLAN device: MAC to node address. */
  readonly forwarding: ReadonlyMap<string, string>;
  /** `iptables-save` of filter and nat. */
  readonly iptables: string;
  readonly sysctls: ReadonlyMap<string, string>;
}

export interface NetworkPlan {
  /** Lines of `ip -batch`. */
  readonly ip: readonly string[];
  /** Lines of `bridge -batch`. */
  readonly fdb: readonly string[];
  /** One `iptables-restore --noflush` transaction, or empty. */
  readonly iptables: string;
  /** `key=value` for `sysctl -w`; after `ip`, because some belong to a device. */
  readonly sysctls: readonly string[];
  /** Peers that cannot be reached in this mode, with the reason. */
  readonly unreachable: readonly { readonly peer: string; readonly reason: string }[];
}

/** A locally administered MAC that everybody can derive from the IPv4 address: nothing has to be announced. */
export function macOf(address: string): string {
  const ip = parseIp(address) ?? 0;
  return ['ee', '53', ...[24, 16, 8, 0].map((shift) => ((ip >>> shift) & 255).toString(16).padStart(2, '0'))].join(':');
}

/** The device that holds `address`, with the network it is on. */
export function uplinkOf(links: readonly ObservedLink[], address: string): ObservedLink | undefined {
  return links.find((link) => link.addresses.some((entry) => entry.split('/')[0] === address));
}

export function podMtu(settings: NetworkSettings, uplink: ObservedLink | undefined): number {
  if (settings.mtu > 0) return settings.mtu;
  return (uplink?.mtu ?? 1500) - (settings.mode === 'direct' ? 0 : VXLAN_OVERHEAD_BYTES);
}

/** True when `address` is in a network of one of this machine's own devices. */
function isOnLink(settings: NetworkSettings, links: readonly ObservedLink[], address: string): boolean {
  const ip = parseIp(address);
  if (ip === undefined) return false;
  return links
    .filter((link) => link.name !== settings.bridge && link.name !== settings.vxlanDevice)
    .flatMap((link) => link.addresses)
    .some((entry) => {
      const cidr = parseCidr(entry);
      return cidr !== undefined && cidr.prefix < 32 && contains(cidr, ip);
    });
}

export function planNetwork(
  settings: NetworkSettings,
  self: { readonly address: string; readonly podCIDR: string },
  /** Undefined while the nodes are not known: routes are then left as they are. */
  peers: readonly Peer[] | undefined,
  observed: Observed,
): NetworkPlan {
  const own = parseCidr(self.podCIDR);
  if (!own) throw new Error(`pod CIDR '${self.podCIDR}' is not an IPv4 network`);
  const ip: string[] = [];
  const fdb: string[] = [];
  const mtu = podMtu(settings, uplinkOf(observed.links, self.address));
  planBridge(settings, own, mtu, observed, ip);

  const unreachable: { peer: string; reason: string }[] = [];
  const direct: Peer[] = [];
  const tunnelled: Peer[] = [];
  for (const peer of peers ?? []) {
    const onLink = isOnLink(settings, observed.links, peer.address);
    if (!parseCidr(peer.podCIDR)) unreachable.push({ peer: peer.name, reason: `bad pod CIDR '${peer.podCIDR}'` });
    else if (settings.mode === 'vxlan' || (settings.mode === 'auto' && !onLink)) tunnelled.push(peer);
    else if (onLink) direct.push(peer);
    else unreachable.push({ peer: peer.name, reason: `${peer.address} is not on-link and the mode is 'direct'` });
  }
  if (peers) {
    planVxlan(settings, self, own, mtu, tunnelled, observed, ip, fdb);
    planRoutes(settings, direct, tunnelled, observed, ip);
  }
  return {
    ip,
    fdb,
    iptables: planIptables(settings, formatCidr(own), observed.iptables),
    sysctls: planSysctls(settings, tunnelled.length > 0, observed),
    unreachable,
  };
}

function planBridge(settings: NetworkSettings, own: Cidr, mtu: number, observed: Observed, ip: string[]): void {
  const { bridge } = settings;
  const gateway = formatIp(gatewayOf(own));
  const address = `${gateway}/${own.prefix}`;
  const link = observed.links.find(({ name }) => name === bridge);
  if (!link) ip.push(`link add ${bridge} type bridge`);
  // A fixed MAC: a bridge without one changes it with its ports, and pods would lose their gateway for a while.
  if (link?.mac !== macOf(gateway)) ip.push(`link set ${bridge} address ${macOf(gateway)}`);
  if (link?.mtu !== mtu) ip.push(`link set ${bridge} mtu ${mtu}`);
  for (const other of link?.addresses ?? []) if (other !== address) ip.push(`addr del ${other} dev ${bridge}`);
  if (!link?.addresses.includes(address)) ip.push(`addr add ${address} dev ${bridge}`);
  if (!link?.up) ip.push(`link set ${bridge} up`);
}

function planVxlan(
  settings: NetworkSettings,
  self: { readonly address: string },
  own: Cidr,
  mtu: number,
  peers: readonly Peer[],
  observed: Observed,
  ip: string[],
  fdb: string[],
): void {
  const { vxlanDevice: device } = settings;
  const link = observed.links.find(({ name }) => name === device);
  if (peers.length === 0) {
    if (link) ip.push(`link del ${device}`);
    return;
  }
  const mac = macOf(self.address);
  const endpoint = `${formatIp(own.base)}/32`;
  // The MAC says for which node address the device was made: another one means to make it anew.
  const keep = link?.mac === mac;
  if (link && !keep) ip.push(`link del ${device}`);
  if (!keep) {
    ip.push(
      `link add ${device} address ${mac} mtu ${mtu} type vxlan id ${settings.vni} local ${self.address} ` +
        `dstport ${settings.vxlanPort} nolearning`,
    );
  }
  for (const other of keep ? link.addresses : []) if (other !== endpoint) ip.push(`addr del ${other} dev ${device}`);
  if (!keep || !link.addresses.includes(endpoint)) ip.push(`addr add ${endpoint} dev ${device}`);
  if (!keep || !link.up) ip.push(`link set ${device} up`);

  const neighbours = new Map<string, string>();
  const forwarding = new Map<string, string>();
  for (const peer of peers) {
    const cidr = parseCidr(peer.podCIDR);
    if (cidr) neighbours.set(formatIp(cidr.base), macOf(peer.address));
    forwarding.set(macOf(peer.address), peer.address);
  }
  for (const [address, peerMac] of neighbours) {
    if (!keep || observed.neighbours.get(address) !== peerMac) {
      ip.push(`neigh replace ${address} lladdr ${peerMac} dev ${device} nud permanent`);
    }
  }
  for (const [peerMac, address] of forwarding) {
    if (!keep || observed.forwarding.get(peerMac) !== address) {
      fdb.push(`fdb replace ${peerMac} dev ${device} dst ${address} self permanent`);
    }
  }
  if (!keep) return;
  for (const address of observed.neighbours.keys()) {
    if (!neighbours.has(address)) ip.push(`neigh del ${address} dev ${device}`);
  }
  for (const peerMac of observed.forwarding.keys()) {
    if (!forwarding.has(peerMac)) fdb.push(`fdb del ${peerMac} dev ${device}`);
  }
}

function planRoutes(
  settings: NetworkSettings,
  direct: readonly Peer[],
  tunnelled: readonly Peer[],
  observed: Observed,
  ip: string[],
): void {
  const wanted = new Map<string, { gateway: string; dev: string | undefined }>();
  for (const peer of direct) wanted.set(canonical(peer.podCIDR), { gateway: peer.address, dev: undefined });
  for (const peer of tunnelled) {
    const dst = canonical(peer.podCIDR);
    wanted.set(dst, { gateway: dst.split('/')[0] ?? '', dev: settings.vxlanDevice });
  }
  const present = new Map(observed.routes.map((route) => [route.dst, route]));
  for (const dst of present.keys()) if (!wanted.has(dst)) ip.push(`route del ${dst} proto ${ROUTE_PROTOCOL}`);
  for (const [dst, { gateway, dev }] of wanted) {
    const route = present.get(dst);
    if (route?.gateway === gateway && (dev === undefined ? route.dev !== settings.vxlanDevice : route.dev === dev))
      continue;
    ip.push(`route replace ${dst} via ${gateway}${dev ? ` dev ${dev} onlink` : ''} proto ${ROUTE_PROTOCOL}`);
  }
}

function canonical(cidr: string): string {
  const parsed = parseCidr(cidr);
  return parsed ? formatCidr(parsed) : cidr;
}

/** Our chains' rules, in the spelling of `iptables-save`, so that what is there can be compared as text. */
function chains(settings: NetworkSettings, podCidr: string) {
  const cluster = canonical(settings.clusterCidr);
  return {
    filter: [
      `-A SKEIN-FORWARD -s ${cluster} -m comment --comment "skein pods" -j ACCEPT`,
      `-A SKEIN-FORWARD -d ${cluster} -m comment --comment "skein pods" -j ACCEPT`,
    ],
    nat: [
      `-A SKEIN-POSTROUTING -d ${cluster} -m comment --comment "pods reach pods without NAT" -j RETURN`,
      `-A SKEIN-POSTROUTING -d 224.0.0.0/4 -m comment --comment "no NAT for multicast" -j RETURN`,
      `-A SKEIN-POSTROUTING -s ${podCidr} -m comment --comment "pods leaving the cluster" -j MASQUERADE --random-fully`,
    ],
  };
}

function planIptables(settings: NetworkSettings, podCidr: string, saved: string): string {
  const lines = saved.split('\n');
  const want = chains(settings, podCidr);
  let text = '';
  for (const [table, chain, hook] of [
    ['filter', 'SKEIN-FORWARD', 'FORWARD'],
    ['nat', 'SKEIN-POSTROUTING', 'POSTROUTING'],
  ] as const) {
    const jump = `-A ${hook} -m comment --comment "skein network" -j ${chain}`;
    const inHook = section(lines, table).filter((line) => line.startsWith(`-A ${hook} `));
    const present = section(lines, table).filter((line) => line.startsWith(`-A ${chain} `));
    const others = inHook.filter((line) => line !== jump);
    // Behind the proxy's own jumps: its REJECT rules for Services without endpoints come before our ACCEPT.
    const position = others.findLastIndex((line) => / -j KUBE-/.test(line)) + 1;
    const placed = inHook.indexOf(jump) >= position && inHook.length === others.length + 1;
    if (placed && present.join('\n') === want[table].join('\n')) continue;
    text += `*${table}\n:${chain} - [0:0]\n${want[table].join('\n')}\n`;
    if (!placed) {
      const insert = jump.replace(`-A ${hook}`, `-I ${hook} ${position + 1}`);
      text += `${[...inHook.filter((line) => line === jump).map((line) => line.replace('-A', '-D')), insert].join('\n')}\n`;
    }
    text += 'COMMIT\n';
  }
  return text;
}

function section(lines: readonly string[], table: string): readonly string[] {
  const begin = lines.indexOf(`*${table}`);
  return begin < 0 ? [] : lines.slice(begin + 1, lines.indexOf('COMMIT', begin));
}

/** The transaction that removes our chains, given what `iptables-save` shows. */
export function planIptablesRemoval(saved: string): string {
  const lines = saved.split('\n');
  let text = '';
  for (const [table, chain] of [
    ['filter', 'SKEIN-FORWARD'],
    ['nat', 'SKEIN-POSTROUTING'],
  ] as const) {
    const present = section(lines, table);
    if (!present.some((line) => line.startsWith(`:${chain} `))) continue;
    const jumps = present.filter((line) => line.endsWith(` -j ${chain}`)).map((line) => line.replace('-A', '-D'));
    text += [`*${table}`, `:${chain} - [0:0]`, ...jumps, `-X ${chain}`, 'COMMIT', ''].join('\n');
  }
  return text;
}

/** The keys that are read before planning. */
export function sysctlKeys(settings: NetworkSettings): string[] {
  return Object.keys(sysctls(settings, true));
}

function sysctls(settings: NetworkSettings, withVxlan: boolean): Record<string, string> {
  return {
    'net/ipv4/ip_forward': '1',
    // A pod's packet to its neighbour leaves by the device it came in by; that is no reason for a redirect.
    [`net/ipv4/conf/${settings.bridge}/send_redirects`]: '0',
    // 2 is loose: with a tunnel beside the uplink, strict reverse path filtering drops valid packets.
    [`net/ipv4/conf/${settings.bridge}/rp_filter`]: '2',
    ...(withVxlan ? { [`net/ipv4/conf/${settings.vxlanDevice}/rp_filter`]: '2' } : {}),
  };
}

function planSysctls(settings: NetworkSettings, withVxlan: boolean, observed: Observed): string[] {
  return Object.entries(sysctls(settings, withVxlan))
    .filter(([key, value]) => observed.sysctls.get(key) !== value)
    .map(([key, value]) => `${key}=${value}`);
}
