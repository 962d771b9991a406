/** IPv4 addresses as numbers. */
export interface Ipv4Range {
  /** The network's own address. */
  readonly first: number;
  /** Addresses in the network, its own and the broadcast address included. */
  readonly size: number;
}

/** Strict dotted form without leading zeros; undefined for anything else. */
export function parseIpv4(text: string): number | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  let value = 0;
  for (const part of parts) {
    if (!/^(?:0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return undefined;
    value = value * 256 + Number(part);
  }
  return value;
}

export const formatIpv4 = (value: number): string =>
  [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join('.');

/** Throws for anything but `address/length` with a length of 8 to 30. */
export function parseIpv4Range(cidr: string): Ipv4Range {
  const [address = '', length = ''] = cidr.split('/');
  const value = parseIpv4(address);
  const bits = Number(length);
  if (value === undefined || !Number.isInteger(bits) || bits < 8 || bits > 30) {
    throw new Error(`not an IPv4 network with a length of 8 to 30: ${cidr}`);
  }
  const size = 2 ** (32 - bits);
  return { first: value - (value % size), size };
}
