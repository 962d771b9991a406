/** Looks at the store of a data directory whose agent is not running. Nothing is changed. */
import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { KubeObject } from '../../api/object.js';
import { DiskCorrupt } from '../../store/disk.js';
import { frameEnd, samePosition, type Position } from '../../store/log-entry.js';
import { checkFiles } from '../../store/level/files.js';
import { readMark } from '../../store/level/mark.js';
import { lockStore, viewStore, type StoreView } from '../../store/level/view.js';
import { BATCH_COUNT_KEY, batchCount } from '../../store/level-disk.js';
import { parseKey, type ObjectKey } from '../../store/object-store.js';
import { FRAME_RANGE } from '../../store/replication/frame-log.js';
import {
  META,
  readFrame,
  readMeta,
  RECORD_RANGE,
  storedRecord,
  type StoredMeta,
} from '../../store/replication/storage.js';

export interface StoreProblem {
  /** A file of the store, or a key in it. */
  readonly where: string;
  readonly problem: string;
}

export interface StoreReport {
  readonly files: number;
  readonly objects: number;
  readonly tombstones: number;
  readonly frames: number;
  /** Undefined when nothing tells. */
  readonly format: number | undefined;
  readonly revision: number | undefined;
}

const textOf = (error: unknown) => (error instanceof Error ? error.message : String(error));

/** The store of a data directory, or the directory itself when it is a store (`store.damaged-1`). */
export function storePathOf(dataDir: string): string {
  const path = join(dataDir, 'store');
  if (existsSync(path)) return path;
  if (existsSync(join(dataDir, 'CURRENT'))) return dataDir;
  throw new Error(`there is no store in ${dataDir}`);
}

/**
 * Checks every file, every checksum, every record and that the log has no gap. Problems are told as they are found. Rejects when
 * an agent is using the store.
 */
export async function verifyStore(path: string, onProblem: (problem: StoreProblem) => void): Promise<StoreReport> {
  const unlock = await lockStore(path);
  let problems = 0;
  const tell = (where: string, problem: string) => {
    problems += 1;
    onProblem({ where, problem });
  };
  try {
    for await (const { file, problem } of checkFiles(path)) tell(file, problem);
  } finally {
    await unlock();
  }
  const files = (await readdir(path)).length;
  const contents = new Contents(tell);
  let view: StoreView;
  try {
    view = await viewStore(path, { repair: problems > 0 });
  } catch (error) {
    if (!(error instanceof DiskCorrupt)) throw error;
    tell(path, textOf(error));
    return { files, ...contents.report };
  }
  try {
    for await (const [key, value] of view.scan('', '\uffff')) contents.add(key, value);
  } catch (error) {
    tell(path, textOf(error));
  } finally {
    await view.close();
  }
  contents.conclude(await readMark(path));
  return { files, ...contents.report };
}

const isIn = (key: string, [from, to]: readonly [string, string]) => key >= from && key < to;

/** The values of a store, in key order. */
class Contents {
  private meta: StoredMeta | undefined;
  private objects = 0;
  private tombstones = 0;
  private frames = 0;
  private head: Position | undefined;
  private first: Position | undefined;
  private batches = 0;

  constructor(private readonly tell: (where: string, problem: string) => void) {}

  get report() {
    const { objects, tombstones, frames, meta, head } = this;
    return { objects, tombstones, frames, format: meta?.level, revision: head?.revision ?? meta?.applied.revision };
  }

  add(key: string, value: Uint8Array): void {
    try {
      if (key === BATCH_COUNT_KEY) this.batches = batchCount(value);
      else if (key === META) this.meta = readMeta(value);
      else if (isIn(key, RECORD_RANGE)) this.addRecord(key, value);
      else if (isIn(key, FRAME_RANGE)) this.addFrame(key, value);
    } catch (error) {
      this.tell(key, textOf(error));
    }
  }

  conclude(marked: number | undefined): void {
    const { meta, first, head, objects, frames } = this;
    if (marked !== undefined && marked > this.batches) {
      this.tell('end', `${marked} batches were written, ${this.batches} are there`);
    }
    if (!meta) {
      if (objects + frames > 0) this.tell(META, 'is missing');
      return;
    }
    if (first && !samePosition(first, meta.base)) this.tell('log', 'does not begin where it should');
    const end = head ?? meta.base;
    if (end.revision < meta.applied.revision && frames > 0) this.tell('log', 'ends before what was applied of it');
  }

  private addRecord(key: string, value: Uint8Array): void {
    if (storedRecord([key, value]).value) this.objects += 1;
    else this.tombstones += 1;
  }

  private addFrame(key: string, value: Uint8Array): void {
    const frame = readFrame(value);
    if (!frame) throw new Error('a frame that cannot be read');
    this.first ??= frame.previous;
    if (this.head && !samePosition(frame.previous, this.head)) this.tell(key, 'does not continue the frame before it');
    this.head = frameEnd(frame);
    this.frames += 1;
  }
}

export interface StoredObject {
  readonly key: ObjectKey;
  readonly value: KubeObject;
}

/**
 * The objects of a store in key order, as they are stored; what the log has beyond them is in place already. Values that cannot be
 * read are told and left out. Rejects when an agent is using the store.
 */
export async function* objectsIn(
  path: string,
  onProblem: (problem: StoreProblem) => void,
): AsyncGenerator<StoredObject> {
  const view = await viewStore(path);
  try {
    const newest = await newestOfLog(view);
    for await (const entry of view.scan(...RECORD_RANGE)) {
      const [name] = entry;
      try {
        const record = storedRecord(entry);
        const later = newest.get(record.key);
        newest.delete(record.key);
        const value = later === undefined ? record.value : later;
        if (value) yield { key: parseKey(record.key), value };
      } catch (error) {
        onProblem({ where: name, problem: textOf(error) });
      }
    }
    for (const [key, value] of newest) if (value) yield { key: parseKey(key), value };
  } finally {
    await view.close();
  }
}

/** What frames wrote that is not in the records yet, by key; null for what they deleted. */
async function newestOfLog(view: StoreView): Promise<Map<string, KubeObject | null>> {
  const newest = new Map<string, KubeObject | null>();
  let applied = 0;
  for await (const [key, value] of view.scan(META, `${META}\u0000`)) if (key === META) applied = appliedIn(value);
  for await (const [, value] of view.scan(...FRAME_RANGE)) {
    for (const entry of readFrame(value)?.entries ?? []) {
      if (entry.op === 'reign' || entry.revision <= applied) continue;
      if (entry.op === 'put') newest.set(entry.key, JSON.parse(entry.value) as KubeObject);
      else if (entry.op === 'delete') newest.set(entry.key, null);
      else newest.set(entry.key, storedRecord([RECORD_RANGE[0] + entry.key, entry.record]).value ?? null);
    }
  }
  return newest;
}

function appliedIn(value: Uint8Array): number {
  try {
    return readMeta(value).applied.revision;
  } catch {
    return 0;
  }
}
