/** DNS over TCP: each message goes after its length in two bytes (RFC 1035, 4.2.2). */
export function framed(message: Buffer): Buffer {
  const out = Buffer.alloc(message.length + 2);
  out.writeUInt16BE(message.length, 0);
  message.copy(out, 2);
  return out;
}

/** Cuts a stream into messages. Holds at most one message (64 KiB) and the chunk that completes it. */
export class FrameReader {
  private pending: Buffer = Buffer.alloc(0);

  push(chunk: Buffer): Buffer[] {
    this.pending = this.pending.length === 0 ? chunk : Buffer.concat([this.pending, chunk]);
    const out: Buffer[] = [];
    while (this.pending.length >= 2) {
      const end = 2 + this.pending.readUInt16BE(0);
      if (this.pending.length < end) break;
      out.push(this.pending.subarray(2, end));
      this.pending = this.pending.subarray(end);
    }
    return out;
  }
}
