/**
 * `POST /skein/v1/backup`: everything that the store shows at one revision, as a stream (`store/backup/backup-file.ts`);
 * `POST /skein/v1/backup/keys`: with the cluster's keys. Any peer answers, once all that was acknowledged before is applied there.
 * Two paths, so that RBAC can grant the one without the other; a POST, because who may read every path is not meant by it.
 */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { bodyOf, type ApiResponse } from '../control/apiserver/http/exchange.js';
import { writeBackup, type BackupHeader, type ClusterKeys } from '../store/backup/backup-file.js';
import { belongsInBackup } from '../store/backup/restored-store.js';
import type { StoreSnapshot } from '../store/replication/replica.js';

export interface BackupDeps {
  /** Until what was acknowledged before the request is applied here. */
  fresh(): Promise<unknown>;
  /** All records as of one revision. */
  snapshot(): StoreSnapshot;
  readonly facts: Pick<BackupHeader, 'clusterId' | 'clusterCidr' | 'serviceCidr' | 'version'>;
  readonly keys: ClusterKeys;
  nowMs(): number;
}

export async function sendBackup(deps: BackupDeps, response: ApiResponse, withKeys: boolean): Promise<void> {
  await deps.fresh();
  const { revision, epoch, records } = deps.snapshot();
  // Records are immutable: what is written meanwhile makes new ones.
  const chosen = records.filter(belongsInBackup);
  const header: BackupHeader = {
    ...deps.facts,
    revision,
    epoch,
    createdMs: deps.nowMs(),
    records: chosen.length,
    ...(withKeys ? { keys: deps.keys } : {}),
  };
  response.writeHead(200, { 'Content-Type': 'application/octet-stream' });
  // One chunk ahead: the reader sets the pace.
  await pipeline(Readable.from(writeBackup(header, chosen), { highWaterMark: 1 }), bodyOf(response));
}
