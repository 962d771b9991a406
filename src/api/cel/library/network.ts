/** `ip()`, `cidr()` and `url()`. */
import ipaddr from 'ipaddr.js';
import type { FunctionTable } from '../functions.js';
import { CelError, CelList, CelOpaque, LiteralMap, type Value } from '../values.js';

type Address = ipaddr.IPv4 | ipaddr.IPv6;

class IpValue extends CelOpaque {
  readonly typeName = 'net.IP';
  constructor(readonly address: Address) {
    super();
  }
  equals(other: CelOpaque): boolean {
    return other instanceof IpValue && textOf(other.address) === textOf(this.address);
  }
}

class CidrValue extends CelOpaque {
  readonly typeName = 'net.CIDR';
  constructor(
    readonly address: Address,
    readonly bits: number,
  ) {
    super();
  }
  get text(): string {
    return `${textOf(this.address)}/${this.bits}`;
  }
  equals(other: CelOpaque): boolean {
    return other instanceof CidrValue && other.text === this.text;
  }
}

const isV6 = (address: Address): address is ipaddr.IPv6 => address.kind() === 'ipv6';
const textOf = (address: Address): string => (isV6(address) ? address.toRFC5952String() : address.toString());
const V4 = /^(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})$/;

/** Neither zones nor IPv4 addresses written as IPv6, as upstream. */
function parseAddress(text: string): Address | string {
  if (V4.test(text) && text.split('.').every((part) => Number(part) <= 255)) return ipaddr.IPv4.parse(text);
  if (!text.includes(':'))
    return `IP Address "${text}" parse error during conversion from string: ParseAddr("${text}"): unable to parse IP`;
  if (text.includes('%')) return `IP address "${text}" with zone value is not allowed`;
  if (!ipaddr.IPv6.isValid(text)) {
    return `IP Address "${text}" parse error during conversion from string: ParseAddr("${text}"): unable to parse IP`;
  }
  const address = ipaddr.IPv6.parse(text);
  return address.isIPv4MappedAddress() ? `IPv4-mapped IPv6 address "${text}" is not allowed` : address;
}

function ip(text: string): IpValue {
  const address = parseAddress(text);
  if (typeof address === 'string') throw new CelError(address);
  return new IpValue(address);
}

function parseCidr(text: string): CidrValue | undefined {
  const match = /^([^/]+)\/(0|[1-9]\d{0,2})$/.exec(text);
  const address = match === null ? '' : parseAddress(match[1] ?? '');
  if (match === null || typeof address === 'string') return undefined;
  const bits = Number(match[2]);
  return bits > (isV6(address) ? 128 : 32) ? undefined : new CidrValue(address, bits);
}

function cidr(text: string): CidrValue {
  const parsed = parseCidr(text);
  if (parsed === undefined)
    throw new CelError(`network address parse error during conversion from string: netip.ParsePrefix("${text}")`);
  return parsed;
}

/** The network's first address. */
function masked({ address, bits }: CidrValue): CidrValue {
  const bytes = address.toByteArray().map((byte, i) => {
    const kept = Math.min(8, Math.max(0, bits - i * 8));
    return byte & (0xff << (8 - kept)) & 0xff;
  });
  return new CidrValue(ipaddr.fromByteArray(bytes), bits);
}

function containsAddress(network: CidrValue, address: Address): boolean {
  if (address.kind() !== network.address.kind()) return false;
  return masked(new CidrValue(address, network.bits)).text === masked(network).text;
}

const containsCidr = (network: CidrValue, inner: CidrValue): boolean =>
  inner.bits >= network.bits && containsAddress(network, inner.address);

/** Go's classes of addresses. */
const v4 = (address: Address, test: (a: number, b: number, c: number) => boolean): boolean => {
  const [a = 0, b = 0, c = 0] = address.toByteArray();
  return !isV6(address) && test(a, b, c);
};
const isLinkLocalMulticast = (address: Address) =>
  isV6(address)
    ? (address.parts[0] ?? 0) >> 8 === 0xff && ((address.parts[0] ?? 0) & 0x0f) === 2
    : v4(address, (a, b, c) => a === 224 && b === 0 && c === 0);
const isMulticast = (address: Address) =>
  isV6(address) ? (address.parts[0] ?? 0) >> 8 === 0xff : v4(address, (a) => a >= 224 && a < 240);
const isLinkLocal = (address: Address) =>
  isV6(address) ? ((address.parts[0] ?? 0) & 0xffc0) === 0xfe80 : v4(address, (a, b) => a === 169 && b === 254);
const isLoopback = (address: Address) => (isV6(address) ? textOf(address) === '::1' : v4(address, (a) => a === 127));
const isUnspecified = (address: Address) => address.toByteArray().every((byte) => byte === 0);
const isGlobal = (address: Address) =>
  textOf(address) !== '255.255.255.255' &&
  !isUnspecified(address) &&
  !isLoopback(address) &&
  !isMulticast(address) &&
  !isLinkLocal(address);

const ipOf = (value: Value): Address => (value as IpValue).address;
const cidrOf = (value: Value): CidrValue => value as CidrValue;

export const networkLibrary: FunctionTable = {
  'ip(string): net.IP': ([text]) => ip(text as string),
  'isIP(string): bool': ([text]) => typeof parseAddress(text as string) !== 'string',
  '@ip.isCanonical(string): bool': ([text]) => textOf(ip(text as string).address) === text,
  'string(net.IP): string': ([a]) => textOf(ipOf(a)),
  'net.IP.family(): int': ([a]) => (isV6(ipOf(a)) ? 6n : 4n),
  'net.IP.isUnspecified(): bool': ([a]) => isUnspecified(ipOf(a)),
  'net.IP.isLoopback(): bool': ([a]) => isLoopback(ipOf(a)),
  'net.IP.isLinkLocalMulticast(): bool': ([a]) => isLinkLocalMulticast(ipOf(a)),
  'net.IP.isLinkLocalUnicast(): bool': ([a]) => isLinkLocal(ipOf(a)),
  'net.IP.isGlobalUnicast(): bool': ([a]) => isGlobal(ipOf(a)),
  'cidr(string): net.CIDR': ([text]) => cidr(text as string),
  'isCIDR(string): bool': ([text]) => parseCidr(text as string) !== undefined,
  'string(net.CIDR): string': ([a]) => cidrOf(a).text,
  'net.CIDR.containsIP(string): bool': ([a, b]) => containsAddress(cidrOf(a), ip(b as string).address),
  'net.CIDR.containsIP(net.IP): bool': ([a, b]) => containsAddress(cidrOf(a), ipOf(b)),
  'net.CIDR.containsCIDR(string): bool': ([a, b]) => containsCidr(cidrOf(a), cidr(b as string)),
  'net.CIDR.containsCIDR(net.CIDR): bool': ([a, b]) => containsCidr(cidrOf(a), cidrOf(b)),
  'net.CIDR.ip(): net.IP': ([a]) => new IpValue(cidrOf(a).address),
  'net.CIDR.masked(): net.CIDR': ([a]) => masked(cidrOf(a)),
  'net.CIDR.prefixLength(): int': ([a]) => BigInt(cidrOf(a).bits),
};

class UrlValue extends CelOpaque {
  readonly typeName = 'kubernetes.URL';
  constructor(
    readonly text: string,
    readonly parts: { scheme: string; host: string; hostname: string; port: string; path: string; query: string },
  ) {
    super();
  }
  equals(other: CelOpaque): boolean {
    return other instanceof UrlValue && other.text === this.text;
  }
}

const URL_PARTS = /^(?:([A-Za-z][A-Za-z0-9+.-]*):)?(?:\/\/(?:[^/?#@]*@)?([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#.*)?$/;

/** Go's `url.ParseRequestURI`: absolute, or a path that begins with a slash. */
function parseUrl(text: string): UrlValue | undefined {
  // oxlint-disable-next-line no-control-regex
  if (text === '' || /[\u0000-\u0020\u007f]/.test(text) || /%(?![0-9A-Fa-f]{2})/.test(text)) return undefined;
  const match = URL_PARTS.exec(text);
  if (match === null) return undefined;
  const [, scheme = '', host = '', path = '', query = ''] = match;
  if (scheme === '' ? !text.startsWith('/') : host === '' && !path.startsWith('/') && path === '') return undefined;
  const port = /:(\d*)$/.exec(host)?.[1] ?? '';
  if (/:[^\d\]]+$/.test(host) || /[\\^`{}|<>"]/.test(host)) return undefined;
  const hostname = host.replace(/:\d*$/, '').replace(/^\[|\]$/g, '');
  return new UrlValue(text, {
    scheme: scheme.toLowerCase(),
    host,
    hostname,
    port,
    path: encodeURI(safeDecode(path)),
    query,
  });
}

function safeDecode(path: string): string {
  try {
    return decodeURI(path);
  } catch {
    return path;
  }
}

function url(text: string): UrlValue {
  const parsed = parseUrl(text);
  if (parsed === undefined)
    throw new CelError(`URL parse error during conversion from string: parse "${text}": invalid URI for request`);
  return parsed;
}

function queryOf({ parts }: UrlValue): Value {
  const values = new Map<string, string[]>();
  for (const [key, value] of new URLSearchParams(parts.query)) {
    const known = values.get(key);
    if (known) known.push(value);
    else values.set(key, [value]);
  }
  const map = new LiteralMap();
  for (const [key, list] of values) map.add(key, new CelList(list));
  return map;
}

const urlOf = (value: Value) => (value as UrlValue).parts;
const U = 'kubernetes.URL';
export const urlLibrary: FunctionTable = {
  [`url(string): ${U}`]: ([text]) => url(text as string),
  'isURL(string): bool': ([text]) => parseUrl(text as string) !== undefined,
  [`${U}.getScheme(): string`]: ([a]) => urlOf(a).scheme,
  [`${U}.getHost(): string`]: ([a]) => urlOf(a).host,
  [`${U}.getHostname(): string`]: ([a]) => urlOf(a).hostname,
  [`${U}.getPort(): string`]: ([a]) => urlOf(a).port,
  [`${U}.getEscapedPath(): string`]: ([a]) => urlOf(a).path,
  [`${U}.getQuery(): map<string, list<string>>`]: ([a]) => queryOf(a as UrlValue),
};
