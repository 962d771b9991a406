const SAFE_ALPHABET = 'bcdfghjklmnpqrstvwxz2456789';

/** A stable hash (FNV-1a, 32 bit) in an alphabet that makes no words, for names of objects. */
export function safeHash(text: string): string {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return String(hash).replace(/\d/g, (digit) => SAFE_ALPHABET.charAt(digit.charCodeAt(0) % SAFE_ALPHABET.length));
}
