/**
 * Checks the files of a LevelDB directory, every byte that counts by its checksum, without opening or changing anything
 * (LevelDB's doc/log_format.md, table_format.md and impl.md). LevelDB itself looks at checksums only in part when it reads, and
 * skips what it cannot read of its write-ahead log: what is missing then looks like what was never written.
 *
 * Found: a file that is missing, cut off or longer; a changed bit in tables, manifest or log; a hole in the log, by the sequence
 * numbers of its batches. Not found: a log whose end is missing as a whole, which looks like one that was written less far; the
 * caller keeps count. The end of a log that cannot be read is no damage: a write that did not get to its end.
 */
import { open, readdir, readFile, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { ByteReader, fixed32, fixed64 } from './bytes.js';
import { crc32c, unmasked } from './crc32c.js';
import { uncompress } from './snappy.js';

export interface FileProblem {
  readonly file: string;
  readonly problem: string;
}

/** What the newest version consists of. */
interface Version {
  readonly manifest: string;
  /** Sizes of tables by number. */
  readonly tables: ReadonlyMap<number, number>;
  /** Logs from here on count. */
  readonly logNumber: number;
  readonly lastSequence: number;
}

const LOG_BLOCK = 32_768;
const HEADER = 7;
const RECORD = { full: 1, first: 2, middle: 3, last: 4 } as const;
const FOOTER = 48;
const TRAILER = 5;
const TABLE_MAGIC = Uint8Array.of(0x57, 0xfb, 0x80, 0x8b, 0x24, 0x75, 0x47, 0xdb);
const SNAPPY = 1;
/** Bytes of a table checked in one go, so that what else is to be done gets its turn. */
const READ_BYTES = 256 * 1024;

/** Problems as they are found; none for a whole directory. The directory must not be in use. */
export async function* checkFiles(path: string): AsyncGenerator<FileProblem> {
  const names = await readdir(path);
  let version: Version;
  try {
    version = await readVersion(path);
  } catch (error) {
    if (!(error instanceof Damage)) throw error;
    yield { file: error.file, problem: error.message };
    return;
  }
  for (const [number, size] of version.tables) {
    const file = [tableName(number), tableName(number, 'sst')].find((name) => names.includes(name));
    if (file === undefined) yield { file: tableName(number), problem: 'is missing' };
    else yield* asProblems(() => checkTable(join(path, file), file, size));
  }
  yield* asProblems(() => checkLogs(path, names, version));
}

class Damage extends Error {
  constructor(
    readonly file: string,
    problem: string,
    options?: ErrorOptions,
  ) {
    super(problem, options);
  }
}

async function* asProblems(check: () => Promise<void>): AsyncGenerator<FileProblem> {
  try {
    await check();
  } catch (error) {
    if (!(error instanceof Damage)) throw error;
    yield { file: error.file, problem: error.message };
  }
}

const numbered = (number: number, extension: string) => `${String(number).padStart(6, '0')}.${extension}`;
const tableName = (number: number, extension = 'ldb') => numbered(number, extension);

// ---- the manifest

async function readVersion(path: string): Promise<Version> {
  const current = await present(path, 'CURRENT');
  const manifest = /^(MANIFEST-\d+)\n$/.exec(current.toString('latin1'))?.[1];
  if (manifest === undefined) throw new Damage('CURRENT', 'does not name a manifest');
  const { records, isWhole } = logRecords(await present(path, manifest));
  if (!isWhole) throw new Damage(manifest, 'is damaged');
  const tables = new Map<number, number>();
  let logNumber: number | undefined;
  let lastSequence: number | undefined;
  try {
    for (const record of records) {
      const edit = readEdit(record);
      for (const number of edit.deleted) tables.delete(number);
      for (const [number, size] of edit.added) tables.set(number, size);
      logNumber = edit.logNumber ?? logNumber;
      lastSequence = edit.lastSequence ?? lastSequence;
    }
  } catch (cause) {
    throw new Damage(manifest, 'holds what cannot be read', { cause });
  }
  if (logNumber === undefined || lastSequence === undefined) throw new Damage(manifest, 'is not complete');
  return { manifest, tables, logNumber, lastSequence };
}

async function present(path: string, file: string): Promise<Buffer> {
  try {
    return await readFile(join(path, file));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw new Damage(file, 'is missing');
    throw error;
  }
}

/** A VersionEdit (LevelDB's version_edit.cc). */
function readEdit(record: Uint8Array) {
  const reader = new ByteReader(record);
  const deleted: number[] = [];
  const added: [number, number][] = [];
  let logNumber: number | undefined;
  let lastSequence: number | undefined;
  while (!reader.isAtEnd) {
    const tag = reader.varint();
    if (tag === 1) reader.string();
    else if (tag === 2) logNumber = reader.varint();
    else if (tag === 3 || tag === 9) reader.varint();
    else if (tag === 4) lastSequence = reader.varint();
    else if (tag === 5) {
      reader.varint();
      reader.string();
    } else if (tag === 6) {
      reader.varint();
      deleted.push(reader.varint());
    } else if (tag === 7) {
      reader.varint();
      added.push([reader.varint(), reader.varint()]);
      reader.string();
      reader.string();
    } else throw new Error(`unknown tag ${tag}`);
  }
  return { deleted, added, logNumber, lastSequence };
}

// ---- logs

interface LogContent {
  readonly records: readonly Uint8Array[];
  /** False when something that cannot be read comes before something that can. */
  readonly isWhole: boolean;
}

/** The records of a file in LevelDB's log format. What cannot be read at its very end is left out. */
export function logRecords(bytes: Uint8Array): LogContent {
  const records: Uint8Array[] = [];
  let parts: Uint8Array[] | undefined;
  let broken = false;
  let isWhole = true;
  for (let block = 0; block < bytes.length; block += LOG_BLOCK) {
    const end = Math.min(block + LOG_BLOCK, bytes.length);
    for (let at = block; at + HEADER <= end;) {
      const length = (bytes[at + 4] as number) | ((bytes[at + 5] as number) << 8);
      const type = bytes[at + 6] as number;
      const body = bytes.subarray(at + HEADER, at + HEADER + length);
      const isGood =
        at + HEADER + length <= end &&
        crc32c(bytes.subarray(at + 6, at + HEADER + length)) === unmasked(fixed32(bytes, at));
      if (!isGood || type < RECORD.full || type > RECORD.last) {
        broken = true;
        break;
      }
      if (broken) isWhole = false;
      at += HEADER + length;
      const continues = type === RECORD.middle || type === RECORD.last;
      // A beginning without end, or an end without beginning, in the middle.
      if (continues !== (parts !== undefined)) isWhole = false;
      parts = continues && parts ? [...parts, body] : [body];
      if (type === RECORD.full || type === RECORD.last) {
        records.push(parts.length === 1 ? body : Buffer.concat(parts));
        parts = undefined;
      }
    }
  }
  return { records, isWhole };
}

/** A batch begins with the sequence number of its first operation and their count. */
const BATCH_HEADER = 12;

async function checkLogs(path: string, names: readonly string[], version: Version): Promise<void> {
  const logs = names
    .map((name) => /^(\d+)\.log$/.exec(name)?.[1])
    .filter((number) => number !== undefined)
    .map(Number)
    .filter((number) => number >= version.logNumber)
    .toSorted((a, b) => a - b);
  if (!logs.includes(version.logNumber)) throw new Damage(numbered(version.logNumber, 'log'), 'is missing');
  let next: number | undefined;
  for (const number of logs) {
    const file = numbered(number, 'log');
    const { records, isWhole } = logRecords(await readFile(join(path, file)));
    if (!isWhole) throw new Damage(file, 'cannot be read in the middle');
    for (const record of records) {
      if (record.length < BATCH_HEADER) throw new Damage(file, 'holds what is no batch');
      const sequence = fixed64(record, 0);
      const expected = next ?? Math.min(sequence, version.lastSequence + 1);
      if (sequence !== expected) throw new Damage(file, 'has a hole');
      next = sequence + fixed32(record, 8);
    }
  }
}

// ---- tables

async function checkTable(path: string, name: string, size: number): Promise<void> {
  const file = await open(path, 'r');
  try {
    const { size: actual } = await file.stat();
    if (actual !== size) throw new Damage(name, `has ${actual} bytes instead of ${size}`);
    await checkBlocks({ file, name, size });
  } finally {
    await file.close();
  }
}

interface Table {
  readonly file: FileHandle;
  readonly name: string;
  readonly size: number;
}

interface BlockHandle {
  readonly offset: number;
  readonly size: number;
}

async function checkBlocks(table: Table): Promise<void> {
  const { name, size } = table;
  const footer = await readAt(table, size - FOOTER, FOOTER);
  if (!Buffer.from(TABLE_MAGIC).equals(footer.subarray(FOOTER - 8))) throw new Damage(name, 'has no footer');
  const handles = readFooter(footer, name);
  const index = contentOf(await readBlock(table, handles.index), name);
  const meta = contentOf(await readBlock(table, handles.meta), name);
  // Written one after the other (table_builder.cc): what they leave out is no part of the table, and was checked by nobody.
  let offset = 0;
  const inOrder = [...blockHandles(index, name), ...blockHandles(meta, name)].toSorted((a, b) => a.offset - b.offset);
  for (const handle of [...inOrder, handles.meta, handles.index]) {
    if (handle.offset !== offset) throw new Damage(name, 'has a gap between its blocks');
    offset += handle.size + TRAILER;
  }
  if (offset !== size - FOOTER) throw new Damage(name, 'has a gap before its footer');
  for (let from = 0; from < inOrder.length;) {
    const first = inOrder[from] as BlockHandle;
    let to = from;
    while (to + 1 < inOrder.length && endOf(inOrder[to + 1] as BlockHandle) - first.offset <= READ_BYTES) to += 1;
    const bytes = await readAt(table, first.offset, endOf(inOrder[to] as BlockHandle) - first.offset);
    for (const handle of inOrder.slice(from, to + 1)) {
      checkBlock(bytes.subarray(handle.offset - first.offset, endOf(handle) - first.offset), name);
    }
    from = to + 1;
  }
}

const endOf = ({ offset, size }: BlockHandle) => offset + size + TRAILER;

function readFooter(footer: Uint8Array, name: string): { readonly meta: BlockHandle; readonly index: BlockHandle } {
  try {
    const reader = new ByteReader(footer);
    return { meta: readHandle(reader), index: readHandle(reader) };
  } catch (cause) {
    throw new Damage(name, 'has a footer that cannot be read', { cause });
  }
}

const readHandle = (reader: ByteReader): BlockHandle => ({ offset: reader.varint(), size: reader.varint() });

/** The handles that an index block (or the block of filters) names. */
function blockHandles(block: Uint8Array, name: string): BlockHandle[] {
  try {
    const restarts = fixed32(block, block.length - 4);
    const reader = new ByteReader(block.subarray(0, block.length - 4 - 4 * restarts));
    const handles: BlockHandle[] = [];
    while (!reader.isAtEnd) {
      reader.varint();
      const keyLength = reader.varint();
      const valueLength = reader.varint();
      reader.take(keyLength);
      handles.push(readHandle(new ByteReader(reader.take(valueLength))));
    }
    return handles;
  } catch (cause) {
    throw new Damage(name, 'has an index that cannot be read', { cause });
  }
}

async function readBlock(table: Table, handle: BlockHandle): Promise<Uint8Array> {
  const block = await readAt(table, handle.offset, handle.size + TRAILER);
  checkBlock(block, table.name);
  return block;
}

/** A block is its content, a byte that says how it is compressed, and the checksum of both. */
function checkBlock(block: Uint8Array, name: string): void {
  const end = block.length - 4;
  if (crc32c(block.subarray(0, end)) !== unmasked(fixed32(block, end))) throw new Damage(name, 'has a wrong checksum');
}

function contentOf(block: Uint8Array, name: string): Uint8Array {
  const content = block.subarray(0, block.length - TRAILER);
  if (block[block.length - TRAILER] !== SNAPPY) return content;
  try {
    return uncompress(content);
  } catch (cause) {
    throw new Damage(name, 'cannot be uncompressed', { cause });
  }
}

async function readAt({ file, name, size }: Table, offset: number, length: number): Promise<Uint8Array> {
  if (offset < 0 || offset + length > size) throw new Damage(name, 'names a place that it does not have');
  const buffer = Buffer.alloc(length);
  const { bytesRead } = await file.read(buffer, 0, length, offset);
  if (bytesRead < length) throw new Damage(name, 'is cut off');
  return buffer;
}
