/**
 * What can still be had of a damaged store: every record that its checksum vouches for, and what the frames of the log say beyond
 * them. Not a state that ever was: of what cannot be read an older version may come back, or nothing. Good enough where nobody
 * else has the data, and never without a word (see `Replica`).
 */
import type { KubeObject } from '../../api/object.js';
import { freezeObject } from '../frozen-object.js';
import type { KindPolicies } from '../kind-policy.js';
import { compareEpochs, NO_EPOCH, type Entry, type Epoch, type Frame } from '../log-entry.js';
import { parseKey, type Revision } from '../object-store.js';
import { afterDelete, afterPut, decodeRecord, type ObjectRecord } from '../record.js';
import { FRAME_RANGE } from '../replication/frame-log.js';
import { REGISTRY_KEY, registryOf } from '../replication/peer-registry.js';
import { META, readFrame, readMeta, RECORD_RANGE, storedRecord } from '../replication/storage.js';

/** Keys of lost values that are told; more are only counted. */
const KEYS_TOLD = 20;

export interface Salvaged {
  readonly records: readonly ObjectRecord[];
  /** The newest that any of it speaks of. */
  readonly revision: Revision;
  readonly epoch: Epoch;
  /** Peer ids of the whole cluster; undefined when nothing is left that tells. */
  readonly peers: readonly string[] | undefined;
  /** Values that cannot be read. */
  readonly lost: number;
  /** Some of their keys. */
  readonly lostKeys: readonly string[];
}

/** Reads everything there is. */
export async function salvage(
  entries: AsyncIterable<readonly [key: string, value: Uint8Array]>,
  policies: KindPolicies,
): Promise<Salvaged> {
  const collected = new Collected(policies);
  for await (const [key, bytes] of entries) collected.add(key, bytes);
  return collected.result();
}

const isIn = (key: string, [from, to]: readonly [string, string]) => key >= from && key < to;

class Collected {
  private readonly records = new Map<string, ObjectRecord>();
  private readonly frames: Frame[] = [];
  private members: readonly string[] | undefined;
  private revision: Revision = 0;
  private epoch: Epoch = NO_EPOCH;
  private lost = 0;
  private readonly lostKeys: string[] = [];

  constructor(private readonly policies: KindPolicies) {}

  add(key: string, bytes: Uint8Array): void {
    try {
      if (isIn(key, RECORD_RANGE)) this.addRecord(storedRecord([key, bytes]));
      else if (isIn(key, FRAME_RANGE)) this.addFrame(readFrame(bytes));
      else if (key === META) {
        const { promised, applied, peers } = readMeta(bytes);
        this.see(promised, applied.revision);
        this.members = peers;
      }
    } catch {
      this.lost += 1;
      if (this.lostKeys.length < KEYS_TOLD) this.lostKeys.push(key);
    }
  }

  result(): Salvaged {
    for (const { entries } of this.frames) for (const entry of entries) this.apply(entry);
    const { revision, epoch, lost, lostKeys } = this;
    const registered = registryOf(this.records.get(REGISTRY_KEY))?.peers.map(({ id }) => id);
    return { records: [...this.records.values()], revision, epoch, peers: registered ?? this.members, lost, lostKeys };
  }

  private addRecord(record: ObjectRecord): void {
    this.see(NO_EPOCH, record.revision);
    this.records.set(record.key, record);
  }

  private addFrame(frame: Frame | undefined): void {
    if (!frame) throw new Error('a frame that cannot be read');
    this.see(frame.epoch, frame.entries.at(-1)?.revision ?? 0);
    this.frames.push(frame);
  }

  private see(epoch: Epoch, revision: Revision): void {
    if (compareEpochs(epoch, this.epoch) > 0) this.epoch = epoch;
    this.revision = Math.max(this.revision, revision);
  }

  /** An entry says the whole of its object, so that one which is missing before it does no harm. */
  private apply(entry: Entry): void {
    if (entry.op === 'reign') return;
    const { key, revision, stamp } = entry;
    const before = this.records.get(key);
    if (before && before.revision >= revision) return;
    if (entry.op === 'put') {
      const { group, resource } = parseKey(key);
      const value = freezeObject(JSON.parse(entry.value) as KubeObject);
      this.records.set(key, afterPut(before, key, value, revision, stamp, this.policies.policyOf(group, resource)));
    } else if (entry.op === 'merge') this.records.set(key, { ...decodeRecord(entry.record), revision });
    else if (before) this.records.set(key, afterDelete(before, revision, stamp));
  }
}
