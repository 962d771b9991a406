/**
 * A sequencer's state on its way to a peer: comes in pieces, is prepared beside the present state in slices that let others work
 * in between, and shows all at once.
 *
 * An empty peer writes the pieces as they come: what is on its disk counts only once something is applied. Any other writes
 * them in one batch at the end, for its disk must hold one line's state or the other's.
 */
import type { Clock } from '../../base/clock.js';
import { WorkSlices } from '../../base/work-slices.js';
import type { DiskOperation } from '../disk.js';
import type { ObjectChange } from '../object-change.js';
import type { ObjectHistory } from '../object-history.js';
import type { Revision } from '../object-store.js';
import type { ObjectTable } from '../object-table.js';
import { decodeRecord, type ObjectRecord } from '../record.js';
import { laterStamp, NO_STAMP, type Stamp } from '../stamp.js';
import { TableContents } from '../table-contents.js';
import { recordWrite, type ReplicaStorage } from './storage.js';

export interface InstallationDeps {
  readonly storage: ReplicaStorage;
  readonly history: ObjectHistory;
  readonly clock: Clock;
}

export class Installation {
  /** Records of a peer that is not empty; an empty one's are in its contents at once. */
  private readonly received = new Map<string, ObjectRecord>();
  private readonly absent = new Set<string>();
  private readonly pasts = new Map<string, readonly ObjectChange[]>();
  private readonly deletions: [key: string, version: Stamp][] = [];
  private newestStamp = NO_STAMP;
  private operations: DiskOperation[] = [];
  private contents: TableContents | undefined;
  /** With what was received, once that is prepared. */
  private history: ObjectHistory | undefined;
  private begun = false;
  private readonly slices: WorkSlices;

  constructor(
    private readonly deps: InstallationDeps,
    private readonly isEmpty: boolean,
    /** Records handled in one go. */
    private readonly slice: number,
  ) {
    this.slices = new WorkSlices(deps.clock, slice);
    if (isEmpty) this.contents = new TableContents();
  }

  /** What still has to be written when the state shows. */
  get unwritten(): readonly DiskOperation[] {
    return this.operations;
  }

  /** Keys and versions of the tombstones. */
  get tombstones(): readonly (readonly [key: string, version: Stamp])[] {
    return this.deletions;
  }

  /** The latest version received. */
  get newest(): Stamp {
    return this.newestStamp;
  }

  get removed(): readonly string[] {
    return [...this.absent];
  }

  /** Whether the key is among what was received or is absent there. */
  replaces(key: string): boolean {
    return this.received.has(key) || this.absent.has(key);
  }

  /** Takes encoded records, each with what led to it as far as that is known. Resolves when there is room for more. */
  async add(
    encoded: readonly Uint8Array[],
    changesOf: (index: number) => readonly ObjectChange[],
    absent: readonly string[],
  ): Promise<void> {
    await this.begin();
    for (const key of absent) this.absent.add(key);
    for (const [index, bytes] of encoded.entries()) {
      const record = decodeRecord(bytes, this.deps.storage.formats);
      this.operations.push(recordWrite(record.key, bytes));
      this.newestStamp = laterStamp(this.newestStamp, record.version);
      if (!record.value) this.deletions.push([record.key, record.version]);
      this.take(record, changesOf(index));
      if (this.slices.isOver()) await this.slices.pause();
    }
    if (!this.isEmpty) return;
    const operations = [...this.operations, ...this.deps.history.takeUnwritten()];
    this.operations = [];
    await this.deps.storage.writeAhead(operations);
  }

  /** What an earlier one left in an empty peer goes. */
  private async begin(): Promise<void> {
    if (!this.isEmpty || this.begun) return;
    this.begun = true;
    this.deps.history.clear();
    await this.deps.storage.dropAhead();
  }

  private take(record: ObjectRecord, changes: readonly ObjectChange[]): void {
    if (this.isEmpty) {
      this.contents?.place(record);
      this.deps.history.replace(record.key, changes);
    } else {
      this.received.set(record.key, record);
      this.pasts.set(record.key, changes);
      for (const change of changes) this.deps.history.prepare(change);
    }
  }

  /** Makes {@link show} quick. The table must not change from here on. */
  async prepare(table: ObjectTable): Promise<void> {
    const { slices, slice } = this;
    if (this.isEmpty || this.received.size + this.absent.size <= slice) return;
    const contents = await table.stage(() => slices.pause());
    for (const record of this.received.values()) {
      contents.place(record);
      if (slices.isOver()) await slices.pause();
    }
    for (const key of this.absent) {
      contents.remove(key);
      if (slices.isOver()) await slices.pause();
    }
    this.contents = contents;
    this.history = await this.stagedHistory();
  }

  private async stagedHistory(): Promise<ObjectHistory> {
    const { absent, pasts, slices } = this;
    const history = await this.deps.history.staged(slices);
    for (const key of absent) {
      history.replace(key, []);
      if (slices.isOver()) await slices.pause();
    }
    for (const [key, changes] of pasts) {
      history.replace(key, changes);
      if (slices.isOver()) await slices.pause();
    }
    return history;
  }

  /** Puts the state, with those records besides, in the place of the table's. Synchronous. */
  show(table: ObjectTable, besides: readonly ObjectRecord[], revision: Revision): void {
    const { contents, received, absent, pasts } = this;
    for (const record of contents ? besides : []) contents?.place(record);
    table.replace([...besides, ...received.values()], [...absent], revision, contents);
    if (this.history) this.deps.history.adopt(this.history);
    else {
      for (const key of absent) this.deps.history.replace(key, []);
      for (const [key, changes] of pasts) this.deps.history.replace(key, changes);
    }
  }
}
