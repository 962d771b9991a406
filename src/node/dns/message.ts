/**
 * DNS messages on the wire (RFC 1035, EDNS0 of RFC 6891). Decoding takes anything and never throws; encoding fits what the
 * asker can take.
 */
import { decode, encode, AUTHORITATIVE_ANSWER, RECURSION_AVAILABLE, TRUNCATED_RESPONSE, type Answer } from 'dns-packet';

export const RCODE = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5 } as const;
export type Rcode = (typeof RCODE)[keyof typeof RCODE];

export interface Question {
  /** As asked: case kept, no trailing dot. */
  readonly name: string;
  /** `A`, `SRV`, …; `UNKNOWN_n` for types without a name. */
  readonly type: string;
}

export interface Query {
  readonly id: number;
  readonly question: Question;
  /** The question's bytes, to be repeated in the reply as they came. */
  readonly questionBytes: Buffer;
  /** `RD` and `CD`, which a reply repeats. */
  readonly flags: number;
  /** The largest UDP reply the asker takes, in bytes. */
  readonly udpSize: number;
  readonly edns: boolean;
}

export type Decoded =
  | { readonly kind: 'query'; readonly query: Query }
  /** Not a query we answer; `reply` says so to the asker. */
  | { readonly kind: 'refused'; readonly reply: Buffer }
  /** Nothing that may be answered: too short, or itself a response (answering those would loop). */
  | { readonly kind: 'drop' };

export interface Reply {
  readonly rcode: Rcode;
  readonly authoritative: boolean;
  readonly answers: readonly Answer[];
  readonly authorities: readonly Answer[];
  readonly additionals: readonly Answer[];
}

const HEADER_BYTES = 12;
const CLASSIC_UDP_BYTES = 512;
/** No fragmentation on any usual path (DNS flag day 2020). */
const MAX_UDP_BYTES = 1232;
const MAX_TCP_BYTES = 65_535;
const RESPONSE = 0x8000;
const OPCODE = 0x7800;
const REPEATED_FLAGS = 0x0110;
const CLASS_IN = 1;
const CLASS_ANY = 255;

/** Reads a query. */
export function decodeQuery(bytes: Buffer): Decoded {
  if (bytes.length < HEADER_BYTES) return { kind: 'drop' };
  const id = bytes.readUInt16BE(0);
  const flags = bytes.readUInt16BE(2);
  if (flags & RESPONSE) return { kind: 'drop' };
  const refused = (rcode: Rcode): Decoded => ({
    kind: 'refused',
    reply: header(id, flags & 0x7910, rcode, [0, 0, 0, 0]),
  });
  if (flags & OPCODE) return refused(RCODE.NOTIMP);
  // Counts are attacker-controlled: a query has one question, no answer and at most a handful of additional records.
  if (bytes.readUInt16BE(4) !== 1 || bytes.readUInt16BE(6) !== 0 || bytes.readUInt16BE(10) > 8) {
    return refused(RCODE.FORMERR);
  }
  try {
    const end = endOfQuestion(bytes);
    const packet = decode(bytes);
    const [question] = packet.questions ?? [];
    if (!question) return refused(RCODE.FORMERR);
    const recordClass = bytes.readUInt16BE(end - 2);
    if (recordClass !== CLASS_IN && recordClass !== CLASS_ANY) return refused(RCODE.NOTIMP);
    const opt = packet.additionals?.find(({ type }) => type === 'OPT');
    const asked = opt?.type === 'OPT' ? opt.udpPayloadSize : CLASSIC_UDP_BYTES;
    return {
      kind: 'query',
      query: {
        id,
        question: { name: question.name === '.' ? '' : question.name, type: question.type },
        questionBytes: bytes.subarray(HEADER_BYTES, end),
        flags: flags & REPEATED_FLAGS,
        udpSize: Math.min(Math.max(asked, CLASSIC_UDP_BYTES), MAX_UDP_BYTES),
        edns: opt !== undefined,
      },
    };
  } catch {
    return refused(RCODE.FORMERR);
  }
}

/** Where the first question ends. A question may not use compression: there is nothing before it to point to. */
function endOfQuestion(bytes: Buffer): number {
  let at = HEADER_BYTES;
  for (let length = bytes.readUInt8(at); length !== 0; length = bytes.readUInt8(at)) {
    if (length > 63) throw new Error('compressed or malformed question');
    at += length + 1;
  }
  if (at + 5 > bytes.length) throw new Error('short question');
  return at + 5;
}

function header(id: number, flags: number, rcode: Rcode, counts: readonly [number, number, number, number]): Buffer {
  const out = Buffer.alloc(HEADER_BYTES);
  out.writeUInt16BE(id, 0);
  out.writeUInt16BE(RESPONSE | flags | rcode, 2);
  counts.forEach((count, i) => out.writeUInt16BE(count, 4 + 2 * i));
  return out;
}

/**
 * Writes a reply that fits: additional records go first, then answers, in which case the TC bit sends the asker to TCP.
 */
export function encodeReply(query: Query, reply: Reply, transport: 'udp' | 'tcp'): Buffer {
  const limit = transport === 'udp' ? query.udpSize : MAX_TCP_BYTES;
  const opt = query.edns ? encodeOpt() : undefined;
  let room = limit - HEADER_BYTES - query.questionBytes.length - (opt?.length ?? 0);
  const take = (records: readonly Answer[]): { parts: Buffer[]; all: boolean } => {
    const parts: Buffer[] = [];
    for (const record of records) {
      const part = encodeRecord(record, query.question.name);
      if (part.length > room) return { parts, all: false };
      room -= part.length;
      parts.push(part);
    }
    return { parts, all: true };
  };
  const answers = take(reply.answers);
  const authorities = answers.all ? take(reply.authorities) : { parts: [], all: false };
  const additionals = authorities.all ? take(reply.additionals) : { parts: [], all: true };
  const flags =
    query.flags |
    RECURSION_AVAILABLE |
    (reply.authoritative ? AUTHORITATIVE_ANSWER : 0) |
    (answers.all && authorities.all ? 0 : TRUNCATED_RESPONSE);
  const counts = [1, answers.parts.length, authorities.parts.length, additionals.parts.length + (opt ? 1 : 0)] as const;
  return Buffer.concat([
    header(query.id, flags, reply.rcode, counts),
    query.questionBytes,
    ...answers.parts,
    ...authorities.parts,
    ...additionals.parts,
    ...(opt ? [opt] : []),
  ]);
}

/** A reply without any record. */
export function encodeError(query: Query, rcode: Rcode): Buffer {
  return encodeReply(query, { rcode, authoritative: false, answers: [], authorities: [], additionals: [] }, 'tcp');
}

function encodeRecord(record: Answer, asked: string): Buffer {
  const whole = encode({ type: 'response', answers: [record] }).subarray(HEADER_BYTES);
  if (record.name === '' || record.name.toLowerCase() !== asked.toLowerCase()) return whole;
  // Most records are about the name that was asked for: point to it instead of repeating it (dns-packet does not compress).
  const rest = whole.subarray(Buffer.byteLength(record.name) + 2);
  return Buffer.concat([Buffer.from([0xc0, HEADER_BYTES]), rest]);
}

function encodeOpt(): Buffer {
  const opt: Answer = {
    type: 'OPT',
    name: '.',
    udpPayloadSize: MAX_UDP_BYTES,
    extendedRcode: 0,
    ednsVersion: 0,
    flags: 0,
    flag_do: false,
    options: [],
  };
  return encode({ type: 'response', additionals: [opt] }).subarray(HEADER_BYTES);
}
