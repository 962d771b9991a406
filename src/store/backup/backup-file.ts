/**
 * The form of a backup: everything that a cluster's store shows at one revision, as one stream of bytes.
 *
 * ```
 * magic    "skein backup 1\n"
 * section  kind (1 byte: H header, R record, E end), length (4 bytes, little-endian), sealed bytes (format, CRC-32, msgpack)
 * ```
 * One header, the records, one end that carries their number and the SHA-256 of all bytes before it: a file that is cut off,
 * damaged or put together differently is told from a whole one. Written and read in one pass, with memory for one section.
 */
import { createHash } from 'node:crypto';
import { seal, unseal, type Epoch } from '../log-entry.js';
import type { Revision } from '../object-store.js';
import { decodeRecord, encodeRecord, type ObjectRecord } from '../record.js';

const MAGIC = Buffer.from('skein backup 1\n');
const FOREIGN_VERSION = /^skein backup (\d+)\n/;
const KINDS = { header: 0x48, record: 0x52, end: 0x45 } as const;
/** A longer section is damage: an object has at most 3 MiB, and its document not much more. */
const MAX_SECTION_BYTES = 64 * 1024 * 1024;
/** Bytes gathered before they are passed on. */
const CHUNK_BYTES = 64 * 1024;

/** The cluster's keys: whoever has them can become anybody in it. */
export interface ClusterKeys {
  readonly caCertPem: string;
  readonly caKeyPem: string;
  readonly clusterSecret: Uint8Array;
}

export interface BackupHeader {
  readonly clusterId: string;
  /** All objects are as of this revision. */
  readonly revision: Revision;
  readonly epoch: Epoch;
  /** Wall-clock time in milliseconds. */
  readonly createdMs: number;
  /** Of the program that made it. */
  readonly version: string;
  readonly clusterCidr: string;
  readonly serviceCidr: string;
  readonly records: number;
  /** Only when they were asked for. */
  readonly keys?: ClusterKeys;
}

/** The file is no backup, of another version, cut off or damaged: one line that says which. */
export class BackupUnreadable extends Error {
  readonly code = 'ERR_BACKUP_UNREADABLE';
}

interface End {
  readonly records: number;
  readonly sha256: string;
}

/** The bytes of a backup, in chunks. `header.records` of them are expected. */
export async function* writeBackup(
  header: BackupHeader,
  records: Iterable<ObjectRecord> | AsyncIterable<ObjectRecord>,
): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256');
  let parts: Uint8Array[] = [];
  let bytes = 0;
  const add = (...more: Uint8Array[]) => {
    for (const part of more) {
      hash.update(part);
      parts.push(part);
      bytes += part.length;
    }
  };
  const take = () => {
    const chunk = Buffer.concat(parts, bytes);
    parts = [];
    bytes = 0;
    return chunk;
  };
  add(MAGIC, ...sectionOf(KINDS.header, seal(header)));
  let count = 0;
  for await (const record of records) {
    add(...sectionOf(KINDS.record, encodeRecord(record)));
    count += 1;
    if (bytes >= CHUNK_BYTES) yield take();
  }
  const end: End = { records: count, sha256: hash.copy().digest('hex') };
  add(...sectionOf(KINDS.end, seal(end)));
  yield take();
}

function sectionOf(kind: number, sealed: Uint8Array): [Uint8Array, Uint8Array] {
  const head = new Uint8Array(5);
  head[0] = kind;
  new DataView(head.buffer).setUint32(1, sealed.length, true);
  return [head, sealed];
}

/**
 * Reads a backup as it comes. `onHeader` is called once, before the first record. Ends normally only for a whole and
 * undamaged backup; otherwise throws {@link BackupUnreadable}, perhaps after records were given out: whoever must not act on a
 * part reads it to its end first.
 */
export async function* readBackup(
  source: AsyncIterable<Uint8Array>,
  onHeader: (header: BackupHeader) => void,
): AsyncGenerator<ObjectRecord> {
  const hash = createHash('sha256');
  const input = new Input(source);
  await checkMagic(input, hash);
  let header: BackupHeader | undefined;
  for (let count = 0; ; count++) {
    const head = await input.take(5, 'in the middle');
    const length = head.readUInt32LE(1);
    if (length > MAX_SECTION_BYTES) throw damaged('a section is too long');
    const body = await input.take(length, 'in the middle');
    const kind = head[0];
    if (kind === KINDS.end) {
      await checkEnd(unsealed<End>(body), count - 1, hash.digest('hex'), input);
      if (!header) throw damaged('it has no header');
      return;
    }
    hash.update(head).update(body);
    if (!header) {
      if (kind !== KINDS.header) throw damaged('it has no header');
      header = unsealed<BackupHeader>(body);
      onHeader(header);
    } else if (kind === KINDS.record) yield recordFrom(body);
    else throw damaged('a section of an unknown kind');
  }
}

const damaged = (why: string, cause?: unknown) => new BackupUnreadable(`the backup is damaged: ${why}`, { cause });

async function checkMagic(input: Input, hash: ReturnType<typeof createHash>): Promise<void> {
  const magic = await input.upTo(MAGIC.length);
  if (!magic.equals(MAGIC)) {
    const version = FOREIGN_VERSION.exec(magic.toString('latin1'))?.[1];
    if (version === undefined && MAGIC.subarray(0, magic.length).equals(magic)) throw new BackupUnreadable(cutOff());
    throw new BackupUnreadable(
      version === undefined
        ? 'this is no backup of skein'
        : `the backup has format ${version}, this version reads format 1`,
    );
  }
  hash.update(magic);
}

async function checkEnd(end: End, records: number, sha256: string, input: Input): Promise<void> {
  if (end.records !== records) throw damaged(`it holds ${records} objects instead of ${end.records}`);
  if (end.sha256 !== sha256) throw damaged('its checksum is wrong');
  if ((await input.upTo(1)).length > 0) throw damaged('there is more after its end');
}

function unsealed<T>(body: Uint8Array): T {
  try {
    return unseal(body) as T;
  } catch (error) {
    throw damaged('a checksum is wrong', error);
  }
}

function recordFrom(body: Uint8Array): ObjectRecord {
  try {
    return decodeRecord(body);
  } catch (error) {
    throw damaged('a checksum is wrong', error);
  }
}

const cutOff = (where = 'at its beginning') => `the backup is cut off ${where}`;

/** Bytes by number from a stream of chunks. */
class Input {
  private readonly chunks: AsyncIterator<Uint8Array>;
  private buffer: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.chunks = source[Symbol.asyncIterator]();
  }

  async take(bytes: number, where: string): Promise<Buffer> {
    const taken = await this.upTo(bytes);
    if (taken.length < bytes) throw new BackupUnreadable(cutOff(where));
    return taken;
  }

  /** Fewer only at the end of the stream. */
  async upTo(bytes: number): Promise<Buffer> {
    const parts = [this.buffer];
    let length = this.buffer.length;
    while (length < bytes) {
      const next = await this.chunks.next();
      if (next.done) break;
      parts.push(Buffer.from(next.value.buffer, next.value.byteOffset, next.value.byteLength));
      length += next.value.length;
    }
    const all = parts.length === 1 ? this.buffer : Buffer.concat(parts, length);
    this.buffer = all.subarray(bytes);
    return all.subarray(0, bytes);
  }
}
