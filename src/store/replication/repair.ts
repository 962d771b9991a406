/**
 * Opens a replica's store. Damaged data is set aside and never served. Where the cluster has other peers this one then begins
 * empty, and they give it everything; the only peer of a cluster takes over what can still be read, since nobody else has it.
 */
import { errorText, type Logger } from '../../base/log.js';
import { fillStore } from '../backup/restored-store.js';
import { salvage, type Salvaged } from '../backup/salvage.js';
import { DiskCorrupt, type Disk } from '../disk.js';
import type { KindPolicies } from '../kind-policy.js';
import type { ReplicaStorage } from './storage.js';

/** What was found, and what became of it. */
export interface StoreDamage {
  readonly problem: string;
  /** Where the damaged store is now. */
  readonly aside: string;
  /** Objects that were taken over; undefined where the other peers give back everything. */
  readonly salvaged?: number;
}

interface RepairDeps {
  readonly disk: Disk;
  readonly policies: KindPolicies;
  readonly log: Logger;
  readonly storage: ReplicaStorage;
  readonly self: string;
}

type Load = () => Promise<{ readonly fresh: boolean }>;

/** `load` reads the opened disk into memory. Rejects when the store cannot be reached, or is another version's. */
export async function openStore(
  deps: RepairDeps,
  load: Load,
): Promise<{ readonly fresh: boolean; readonly damage?: StoreDamage }> {
  try {
    await deps.disk.open();
    return await load();
  } catch (error) {
    if (!(error instanceof DiskCorrupt)) throw error;
    const damage = await replaceDamaged(deps, errorText(error));
    return { ...(await load()), damage };
  }
}

async function replaceDamaged(
  { disk, policies, log, storage, self }: RepairDeps,
  problem: string,
): Promise<StoreDamage> {
  const aside = await disk.setAside();
  const found = await readable(disk, aside, policies, log);
  await disk.open();
  const isAlone = found?.peers?.every((peer) => peer === self) ?? false;
  if (!found || !isAlone) {
    await storage.beginRebuilding();
    log.error(
      'the store is damaged and was set aside; waiting for the other peers to rebuild it (if there are none left: ' +
        'skein restore --replace)',
      { aside, problem },
    );
    return { problem, aside };
  }
  const salvaged = await fillStore(disk, found, found.records);
  const { lost, lostKeys } = found;
  log.error(
    'the store is damaged and was set aside; no other peer has the data, so what can be read of it was taken over: ' +
      'objects may be missing, or older than they were',
    { aside, problem, objects: salvaged, unreadable: lost, keys: lostKeys },
  );
  return { problem, aside, salvaged };
}

async function readable(disk: Disk, aside: string, policies: KindPolicies, log: Logger): Promise<Salvaged | undefined> {
  if (!disk.salvage) return undefined;
  try {
    return await salvage(disk.salvage(aside), policies);
  } catch (error) {
    log.warn('nothing can be read of the damaged store', { aside, error: errorText(error) });
    return undefined;
  }
}
