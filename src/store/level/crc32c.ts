/** CRC-32C (Castagnoli, RFC 3720 appendix B.4), four bytes at a step ("slicing", Kounavis and Berry, 2005). */

const POLYNOMIAL = 0x82f63b78;
const STEP = 4;
const TABLE = makeTable();

/** For each place in a step, 256 entries. */
function makeTable(): Int32Array {
  const table = new Int32Array(STEP * 256);
  const at = (index: number) => table[index] as number;
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
    table[byte] = crc;
  }
  for (let index = 256; index < table.length; index++) {
    const before = at(index - 256);
    table[index] = (before >>> 8) ^ at(before & 0xff);
  }
  return table;
}

/** Of all bytes. */
export function crc32c(bytes: Uint8Array): number {
  const table = TABLE;
  const { length } = bytes;
  let crc = -1;
  let at = 0;
  for (; at + STEP <= length; at += STEP) {
    crc =
      (table[768 + ((crc ^ (bytes[at] as number)) & 0xff)] as number) ^
      (table[512 + (((crc >>> 8) ^ (bytes[at + 1] as number)) & 0xff)] as number) ^
      (table[256 + (((crc >>> 16) ^ (bytes[at + 2] as number)) & 0xff)] as number) ^
      (table[((crc >>> 24) ^ (bytes[at + 3] as number)) & 0xff] as number);
  }
  for (; at < length; at++) crc = (crc >>> 8) ^ (table[(crc ^ (bytes[at] as number)) & 0xff] as number);
  return ~crc >>> 0;
}

/** As LevelDB stores it: rotated and shifted, since a checksum of data that holds checksums is a poor one. */
export const unmasked = (stored: number): number => {
  const rotated = (stored - 0xa282ead8) >>> 0;
  return ((rotated >>> 17) | (rotated << 15)) >>> 0;
};
