/**
 * What a restored data directory says about the cluster that its first agent founds: `D/restored.json`, 0600 as it may hold the
 * cluster's keys. It is gone once that agent has its identity.
 */
import { open, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { ClusterKeys } from '../../store/backup/backup-file.js';

export interface FoundingFacts {
  readonly clusterCidr: string;
  readonly serviceCidr: string;
  /** Of the backed-up cluster; without them the new one makes its own. */
  readonly keys?: ClusterKeys;
}

const FILE = 'restored.json';
const FORMAT = 1;

export async function writeFoundingFacts(dataDir: string, { keys, ...facts }: FoundingFacts): Promise<void> {
  const secret = keys && { ...keys, clusterSecret: Buffer.from(keys.clusterSecret).toString('base64') };
  const file = await open(join(dataDir, FILE), 'wx', 0o600);
  try {
    await file.writeFile(`${JSON.stringify({ format: FORMAT, ...facts, ...(secret ? { keys: secret } : {}) })}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Undefined for a data directory that nothing was restored into, or whose agent has been started since. */
export async function readFoundingFacts(dataDir: string): Promise<FoundingFacts | undefined> {
  let text: string;
  try {
    text = await readFile(join(dataDir, FILE), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const { clusterCidr, serviceCidr, keys } = JSON.parse(text) as FoundingFacts & {
      keys?: { clusterSecret: string; caCertPem: string; caKeyPem: string };
    };
    const found = keys && { ...keys, clusterSecret: Buffer.from(keys.clusterSecret, 'base64') };
    return { clusterCidr, serviceCidr, ...(found ? { keys: found } : {}) };
  } catch (cause) {
    throw new Error(`${join(dataDir, FILE)} is damaged: restore the backup again`, { cause });
  }
}

export const removeFoundingFacts = (dataDir: string): Promise<void> => rm(join(dataDir, FILE), { force: true });
