/** Asks a peer about the past of one object. */
import { pathOf, type HttpClient } from '../client/http-client.js';
import { connect, type ConnectionFlags } from './connection.js';
import type { CliContext } from './context.js';
import { UsageError } from './failure.js';
import { ServedResources, type ServedResource } from './resources.js';
import { parseTargets, resolveTargets } from './targets.js';

type Query = Readonly<Record<string, string | undefined>>;

/** The past of the one object that the arguments name. */
export async function pastOf<T>(
  args: readonly string[],
  flags: ConnectionFlags & { readonly namespace?: string },
  context: CliContext,
  query: Query,
): Promise<T> {
  const words = parseTargets(args);
  const [only, ...others] = words.groups;
  const [name, ...more] = only?.names ?? [];
  if (name === undefined || more.length > 0 || others.length > 0) {
    throw new UsageError('one object is needed, such as deploy/web');
  }
  const { client, namespace } = await connect(flags, context);
  const [target] = resolveTargets(words, await ServedResources.discover(client.connection));
  if (!target) throw new UsageError('one object is needed, such as deploy/web');
  return askPast(client, target.resource, flags.namespace ?? namespace, name, query);
}

export const askPast = <T>(
  client: HttpClient,
  resource: ServedResource,
  namespace: string,
  name: string,
  query: Query,
): Promise<T> => client.connection.json<T>({ path: `/skein/v1/history${pathOf(resource, namespace, name)}`, query });
