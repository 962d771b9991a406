/**
 * Writes protobuf from the last byte to the first, as Go's generated encoders do: when the head of a message is written its length
 * is known, so that nothing is measured first. What is to come first is written last.
 */

/** A larger buffer is let go of after use, bytes. */
const MAX_KEPT = 1024 * 1024;
/** Up to this many characters a loop is faster than a call out of JavaScript. */
const SHORT_TEXT = 32;

export class ReverseWriter {
  private buffer = Buffer.allocUnsafeSlow(16 * 1024);
  private at = this.buffer.length;

  /** Bytes written. */
  get length(): number {
    return this.buffer.length - this.at;
  }

  /** A copy of everything written; the writer is empty then. */
  take(): Buffer {
    const bytes = Buffer.from(this.buffer.subarray(this.at));
    this.reset();
    return bytes;
  }

  reset(): void {
    if (this.buffer.length > MAX_KEPT) this.buffer = Buffer.allocUnsafeSlow(MAX_KEPT);
    this.at = this.buffer.length;
  }

  byte(value: number): void {
    this.reserve(1);
    this.buffer[--this.at] = value;
  }

  bytes(value: Uint8Array): void {
    this.reserve(value.length);
    this.at -= value.length;
    this.buffer.set(value, this.at);
  }

  /** An integer; a negative one takes ten bytes, as its 64 bits do in two's complement. */
  varint(value: number): void {
    if (value >= 0 && value < 0x80) this.byte(value);
    else if (value >= 0 && value < 0x4000) {
      this.byte(value >>> 7);
      this.byte((value & 0x7f) | 0x80);
    } else this.longVarint(BigInt.asUintN(64, BigInt(Math.trunc(value))));
  }

  private longVarint(value: bigint): void {
    const groups: number[] = [];
    for (let rest = value; groups.length === 0 || rest > 0n; rest >>= 7n) groups.push(Number(rest & 0x7fn));
    for (let index = groups.length - 1; index >= 0; index--) {
      this.byte((groups[index] ?? 0) | (index === groups.length - 1 ? 0 : 0x80));
    }
  }

  double(value: number): void {
    this.reserve(8);
    this.at -= 8;
    this.buffer.writeDoubleLE(value, this.at);
  }

  /** UTF-8 and its length before it. */
  text(value: string): void {
    const { length } = value;
    if (length <= SHORT_TEXT && this.shortAscii(value)) {
      this.byte(length);
      return;
    }
    const size = Buffer.byteLength(value);
    this.reserve(size);
    this.at -= size;
    if (size === length) this.buffer.write(value, this.at, size, 'latin1');
    else this.buffer.write(value, this.at, size, 'utf8');
    this.varint(size);
  }

  private shortAscii(value: string): boolean {
    const { length } = value;
    this.reserve(length);
    const { buffer } = this;
    const start = this.at - length;
    for (let index = 0; index < length; index++) {
      const code = value.charCodeAt(index);
      if (code >= 0x80) return false;
      buffer[start + index] = code;
    }
    this.at = start;
    return true;
  }

  private reserve(count: number): void {
    if (this.at >= count) return;
    const { length } = this;
    const larger = Buffer.allocUnsafeSlow(Math.max(this.buffer.length * 2, length + count));
    this.buffer.copy(larger, larger.length - length, this.at);
    this.at = larger.length - length;
    this.buffer = larger;
  }
}
