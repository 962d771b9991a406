/** Uncompresses a Snappy block (google/snappy, format_description.txt). */

export class BadSnappy extends Error {}

/** Throws {@link BadSnappy} for anything else. */
export function uncompress(input: Uint8Array): Uint8Array {
  let at = 0;
  const next = (): number => {
    const byte = input[at++];
    if (byte === undefined) throw new BadSnappy('it ends too early');
    return byte;
  };
  let length = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = next();
    length += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) break;
  }
  if (length > input.length * 64 + 64) throw new BadSnappy('its length is wrong');
  const output = new Uint8Array(length);
  let to = 0;
  const littleEndian = (bytes: number) => {
    let value = 0;
    for (let i = 0; i < bytes; i++) value += next() * 2 ** (8 * i);
    return value;
  };
  while (at < input.length) {
    const tag = next();
    const kind = tag & 3;
    if (kind === 0) {
      const short = tag >>> 2;
      const size = 1 + (short < 60 ? short : littleEndian(short - 59));
      if (at + size > input.length || to + size > length) throw new BadSnappy('a literal is too long');
      output.set(input.subarray(at, at + size), to);
      at += size;
      to += size;
      continue;
    }
    const size = kind === 1 ? 4 + ((tag >>> 2) & 7) : 1 + (tag >>> 2);
    const offset = kind === 1 ? ((tag >>> 5) << 8) + next() : littleEndian(kind === 2 ? 2 : 4);
    if (offset === 0 || offset > to || to + size > length) throw new BadSnappy('a copy is out of range');
    // Byte by byte: a copy may overlap with what it makes.
    for (const end = to + size; to < end; to++) output[to] = output[to - offset] as number;
  }
  if (to !== length) throw new BadSnappy('its length is wrong');
  return output;
}
