/** `skein describe`: every field of an object, and its events. */
import type { Command } from 'commander';
import { ApiError, isNotFound } from '../../api/errors.js';
import type { KubeObject } from '../../api/object.js';
import { EVENTS } from '../../api/resource.js';
import type { Event } from '../../api/types/core-v1.js';
import type { HttpClient } from '../../client/http-client.js';
import { addConnectionOptions, connect, type ConnectionFlags } from '../connection.js';
import type { CliContext } from '../context.js';
import { describeFailure, SilentExit, UsageError } from '../failure.js';
import { describeObject, eventTime } from '../printers/description.js';
import { ServedResources } from '../resources.js';
import { parseTargets, resolveTargets, type Target } from '../targets.js';

interface Flags extends ConnectionFlags {
  readonly namespace?: string;
  readonly allNamespaces?: true;
  readonly selector?: string;
  readonly events: boolean;
}

export function configure(command: Command, context: CliContext): void {
  addConnectionOptions(command)
    .description('Show objects in detail, with their events: `skein describe pod web`, `skein describe nodes`.')
    .argument('<types-and-names...>', 'Types (by plural, singular or short name) and names or beginnings of names')
    .option('-n, --namespace <name>', 'Namespace; the one of the kubeconfig unless told')
    .option('-A, --all-namespaces', 'In all namespaces')
    .option('-l, --selector <labels>', 'Only objects with these labels, such as app=web')
    .option('--no-events', 'Without events')
    .action((args: string[], flags: Flags) => describeAll(args, flags, context));
}

async function describeAll(args: readonly string[], flags: Flags, context: CliContext): Promise<void> {
  const words = parseTargets(args);
  if (flags.allNamespaces && words.groups.some(({ names }) => names.length > 0)) {
    throw new UsageError('a resource cannot be retrieved by name across all namespaces');
  }
  const connected = await connect(flags, context);
  const { client } = connected;
  const namespace = flags.allNamespaces ? '' : (flags.namespace ?? connected.namespace);
  const targets = resolveTargets(words, await ServedResources.discover(client.connection));
  let failed = false;
  const texts: string[] = [];
  for (const target of targets) {
    const { objects, missing } = await objectsOf(client, target, namespace, flags);
    for (const error of missing) context.stderr.write(`${describeFailure(error).text}\n`);
    failed ||= missing.length > 0;
    for (const object of objects) {
      const events = flags.events ? await eventsOf(client, object) : undefined;
      texts.push(describeObject(object, events, context.clock.nowMs()));
    }
  }
  if (texts.length > 0) context.stdout.write(texts.join('\n\n'));
  else if (!failed) {
    const namespaced = namespace !== '' && targets.some(({ resource }) => resource.namespaced);
    context.stderr.write(namespaced ? `No resources found in ${namespace} namespace.\n` : 'No resources found\n');
  }
  if (failed) throw new SilentExit(1);
}

interface Found {
  readonly objects: readonly KubeObject[];
  readonly missing: readonly ApiError[];
}

async function objectsOf(
  client: HttpClient,
  { resource, names }: Target,
  namespace: string,
  { selector }: Flags,
): Promise<Found> {
  const all = async (labelSelector?: string) =>
    (await client.list(resource, { namespace, ...(labelSelector === undefined ? {} : { labelSelector }) })).items;
  if (names.length === 0) return { objects: await all(selector), missing: [] };
  const objects: KubeObject[] = [];
  const missing: ApiError[] = [];
  for (const name of names) {
    try {
      objects.push(await client.get(resource, namespace, name));
    } catch (error) {
      if (!isNotFound(error) || !(error instanceof ApiError)) throw error;
      // As kubectl: no such name, so perhaps the beginning of some.
      const similar = (await all()).filter(({ metadata }) => metadata.name?.startsWith(name));
      if (similar.length === 0) missing.push(error);
      objects.push(...similar);
    }
  }
  return { objects, missing };
}

/** The events of an object, oldest first. Nodes have theirs under their name instead of their uid, in any namespace. */
async function eventsOf(client: HttpClient, object: KubeObject): Promise<Event[]> {
  const { name = '', namespace = '' } = object.metadata;
  const fieldSelector = [`involvedObject.name=${name}`, `involvedObject.kind=${object.kind ?? ''}`].join(',');
  const { items } = await client.list<Event>(EVENTS, { namespace, fieldSelector });
  const uid = object.metadata.uid;
  return items
    .filter(({ involvedObject }) => !involvedObject.uid || involvedObject.uid === uid || involvedObject.uid === name)
    .toSorted((a, b) => eventTime(a) - eventTime(b));
}
