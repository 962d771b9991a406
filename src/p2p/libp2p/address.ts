/** `host:port` pairs, the form in which addresses are kept and shown, and libp2p's multiaddrs. */
import { isIPv4, isIPv6 } from 'node:net';
import { multiaddr, type Multiaddr } from '@multiformats/multiaddr';

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** Parses `10.0.0.1:7443`, `[fd00::1]:7443` or `name:7443`; undefined when it is none of these. */
export function parseHostPort(text: string): HostPort | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]/\s]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (!host || port > 65_535 || (match?.[1] && !isIPv6(match[1]))) return undefined;
  return { host, port };
}

export function formatHostPort({ host, port }: HostPort): string {
  return isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`;
}

/** The TCP multiaddr of a `host:port` pair, with the peer's id when it is known. */
export function tcpMultiaddr({ host, port }: HostPort, peerId?: string): Multiaddr {
  const family = isIPv4(host) ? 'ip4' : isIPv6(host) ? 'ip6' : 'dns';
  return multiaddr(`/${family}/${host}/tcp/${port}${peerId === undefined ? '' : `/p2p/${peerId}`}`);
}

/** The `host:port` of a TCP multiaddr; undefined for anything else. */
export function hostPortOf(address: Multiaddr): string | undefined {
  const match = /^\/(?:ip4|ip6|dns|dns4|dns6)\/([^/]+)\/tcp\/(\d+)/.exec(address.toString());
  return match?.[1] && match[2] ? formatHostPort({ host: match[1], port: Number(match[2]) }) : undefined;
}
