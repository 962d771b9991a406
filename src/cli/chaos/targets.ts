/** The peers of a cluster, each asked by itself: where they are, whether they take part, and whether they are whole. */

import type { HttpClient, HttpClientOptions } from '../../client/http-client.js';
import type { Random } from '../../base/random.js';
import type { ClusterStatus } from '../commands/status.js';
import { connect, type ConnectionFlags } from '../connection.js';
import type { CliContext } from '../context.js';
import { CliError } from '../failure.js';

export interface Target {
  readonly name: string;
  readonly client: HttpClient;
}

export type Action = 'kill' | 'cut' | 'pause';

const STATUS_PATH = '/skein/v1/status';
const CHAOS_PATH = '/skein/v1/chaos';
/** For questions to peers that may be down, in milliseconds. */
const ASK_MS = 3_000;

/** All living peers with a client each. Throws unless each of them takes part. */
export async function findTargets(
  flags: ConnectionFlags,
  context: CliContext,
  options: Partial<HttpClientOptions>,
): Promise<readonly Target[]> {
  const { client } = await connect(flags, context, options);
  const status = await client.connection.json<ClusterStatus>({ path: STATUS_PATH });
  client.close();
  const living = status.peers.filter(({ liveness }) => liveness !== 'dead');
  const targets = await Promise.all(
    living.map(async ({ name, address, apiPort }): Promise<Target> => {
      if (address === undefined || apiPort === undefined)
        throw new CliError(`the address of peer ${name} is not known`);
      const server = `https://${address}:${apiPort}`;
      return { name, client: (await connect({ ...flags, server }, context, options)).client };
    }),
  );
  const off: string[] = [];
  for (const { name, client: peer } of targets) {
    const { enabled } = await peer.connection.json<{ enabled: boolean }>({ path: CHAOS_PATH });
    if (!enabled) off.push(name);
  }
  if (off.length > 0) {
    throw new CliError(
      `${off.join(', ')}: takes no part in chaos; start the agents with --chaos (or SKEIN_CHAOS=true)`,
    );
  }
  return targets.toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

/** Asks a peer to harm itself. Throws what it answers. */
export async function strike(
  { client }: Target,
  action: Action,
  { seconds, evenLast }: { readonly seconds: number; readonly evenLast: boolean },
): Promise<void> {
  const body = JSON.stringify({ action, seconds, evenLast });
  await client.connection.request({ method: 'POST', path: CHAOS_PATH, body, timeoutMs: ASK_MS });
}

/** Whether a peer answers at all. */
export async function isServing({ client }: Target): Promise<boolean> {
  return (await statusOf(client)) !== undefined;
}

/** Whether all peers answer and are of one component under one epoch; why not, otherwise. */
export async function missingToWhole(targets: readonly Target[]): Promise<string | undefined> {
  const all = await Promise.all(targets.map(async ({ name, client }) => ({ name, status: await statusOf(client) })));
  const silent = all.filter(({ status }) => status === undefined).map(({ name }) => name);
  if (silent.length > 0) return `${silent.join(', ')} did not answer`;
  const apart = all.filter(({ status }) => status?.view?.voters.length !== targets.length).map(({ name }) => name);
  if (apart.length > 0) return `${apart.join(', ')} did not see all peers`;
  const epochs = new Set(all.map(({ status }) => `${status?.view?.epoch.n} ${status?.view?.epoch.leader}`));
  return epochs.size > 1 ? 'peers follow different sequencers' : undefined;
}

async function statusOf(client: HttpClient): Promise<ClusterStatus | undefined> {
  try {
    return await client.connection.json<ClusterStatus>({ path: STATUS_PATH, timeoutMs: ASK_MS });
  } catch {
    return undefined;
  }
}

export function pick<T>(items: readonly T[], random: Random): T | undefined {
  return items[random.int(items.length)];
}
