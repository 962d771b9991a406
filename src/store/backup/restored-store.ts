/**
 * Which part of a store goes into a backup, and how an empty disk becomes the store that a restored cluster begins with.
 *
 * What belongs to the peers of the old cluster stays behind: who is registered, what was deleted and how far deletions are
 * forgotten. A restored cluster has peers of its own, and none of them can be late.
 */
import type { Disk } from '../disk.js';
import type { Epoch } from '../log-entry.js';
import { parseKey, type Revision } from '../object-store.js';
import type { ObjectRecord } from '../record.js';
import { REGISTRY_OBJECT } from '../replication/peer-registry.js';
import { ReplicaStorage } from '../replication/storage.js';

/**
 * Revisions left out before a restored cluster goes on: far more than the old one can have given out after the backup was made,
 * so that no `resourceVersion` means two states (as `etcdutl snapshot restore --bump-revision`). A watch that was open goes on
 * with 410 Gone and lists again.
 */
export const REVISION_GAP = 1_000_000_000;

/** Records written in one batch. */
const BATCH = 256;

/** What every peer shows, and nothing of the peers themselves. */
export const belongsInBackup = ({ key, value }: ObjectRecord): boolean =>
  value !== undefined && parseKey(key).group !== REGISTRY_OBJECT.group;

/** Fills an empty disk; all of it is durable when it resolves. Returns the number of objects. */
export async function fillStore(
  disk: Disk,
  { revision, epoch }: { readonly revision: Revision; readonly epoch: Epoch },
  records: Iterable<ObjectRecord> | AsyncIterable<ObjectRecord>,
): Promise<number> {
  const storage = new ReplicaStorage(disk, true);
  let count = 0;
  let batch: ObjectRecord[] = [];
  // Whatever leads next has a higher epoch than anybody had before the backup.
  const start = { revision: revision + REVISION_GAP, epoch: { n: epoch.n + 1, leader: 'restore' } };
  const flush = async () => {
    await storage.flush(batch, [], start, start);
    count += batch.length;
    batch = [];
  };
  for await (const record of records) {
    if (!belongsInBackup(record)) continue;
    batch.push(record);
    if (batch.length >= BATCH) await flush();
  }
  await flush();
  await storage.promise(start.epoch);
  return count;
}
