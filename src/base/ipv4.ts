/** IPv4 addresses and networks as numbers. Pure. */

export interface Cidr {
  /** Network address as an unsigned 32 bit number. */
  readonly base: number;
  readonly prefix: number;
}

/** Undefined unless `text` is a dotted IPv4 address. */
export function parseIp(text: string): number | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (!match) return undefined;
  let value = 0;
  for (const part of match.slice(1)) {
    const byte = Number(part);
    if (byte > 255) return undefined;
    value = value * 256 + byte;
  }
  return value;
}

export function formatIp(value: number): string {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join('.');
}

/** Number of addresses, network and broadcast address included. */
export const sizeOf = ({ prefix }: Cidr): number => 2 ** (32 - prefix);

/** Undefined unless `text` is an IPv4 network such as `10.244.0.0/16`; host bits are cleared. */
export function parseCidr(text: string): Cidr | undefined {
  const [address = '', length = ''] = text.split('/');
  const ip = parseIp(address);
  const prefix = /^\d{1,2}$/.test(length) ? Number(length) : 33;
  if (ip === undefined || prefix > 32) return undefined;
  const size = 2 ** (32 - prefix);
  return { base: Math.floor(ip / size) * size, prefix };
}

export const formatCidr = ({ base, prefix }: Cidr): string => `${formatIp(base)}/${prefix}`;

export const contains = (cidr: Cidr, ip: number): boolean => ip >= cidr.base && ip < cidr.base + sizeOf(cidr);

export const overlaps = (a: Cidr, b: Cidr): boolean => contains(a, b.base) || contains(b, a.base);
