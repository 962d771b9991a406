/** `skein delete`: by name, by labels, by manifest; waits until the objects are gone. */
import { Option, type Command } from 'commander';
import { ApiError, isExpired, isNotFound } from '../../api/errors.js';
import type { KubeObject } from '../../api/object.js';
import type { DeleteOptions } from '../../client/client.js';
import { pathOf, type HttpClient } from '../../client/http-client.js';
import { addConnectionOptions, connect, type ConnectionFlags } from '../connection.js';
import type { CliContext } from '../context.js';
import { parseDuration } from '../duration.js';
import { CliError, describeFailure, SilentExit, UsageError } from '../failure.js';
import { ManifestResolver } from '../manifest-targets.js';
import { readManifests, type Manifest } from '../manifests.js';
import { ServedResources, type ServedResource } from '../resources.js';
import { parseTargets, resolveTargets, singularOf, type TargetWords } from '../targets.js';

interface Flags extends ConnectionFlags {
  readonly filename?: string[];
  readonly recursive?: true;
  readonly namespace?: string;
  readonly allNamespaces?: true;
  readonly selector?: string;
  readonly all?: true;
  readonly wait: string | boolean;
  readonly timeout: string;
  readonly gracePeriod: string;
  readonly now?: true;
  readonly force?: true;
  readonly cascade: 'background' | 'foreground' | 'orphan';
  readonly ignoreNotFound?: true;
  readonly output?: 'name';
}

/** One object to delete. */
interface Victim {
  readonly resource: ServedResource;
  readonly namespace: string;
  readonly name: string;
}

export function configure(command: Command, context: CliContext): void {
  addConnectionOptions(command)
    .description(
      'Delete objects: `skein delete pod web`, `skein delete deploy/web svc/web`, `skein delete -f web.yaml`.',
    )
    .argument('[types-and-names...]', 'Types (by plural, singular or short name) and names')
    .option('-f, --filename <path...>', 'The objects of these manifests; - for standard input')
    .option('-R, --recursive', 'Directories named with -f with everything below them')
    .option('-n, --namespace <name>', 'Namespace; the one of the kubeconfig unless told')
    .option('-A, --all-namespaces', 'In all namespaces; with -l or --all')
    .option('-l, --selector <labels>', 'All objects with these labels, such as app=web')
    .option('--all', 'All objects of the types')
    .option('--wait [true|false]', 'Wait until the objects are gone', 'true')
    .option('--no-wait', 'Do not wait')
    .option('--timeout <duration>', 'How long to wait; 0 is without limit', '0')
    .option('--grace-period <seconds>', 'Time for pods to end by themselves; -1 is what each pod says', '-1')
    .option('--now', 'The same as --grace-period=1')
    .option('--force', 'With --grace-period=0: do not wait for the node to confirm the end of a pod')
    .addOption(
      new Option('--cascade <how>', 'What becomes of what the objects own')
        .choices(['background', 'foreground', 'orphan'])
        .default('background'),
    )
    .option('--ignore-not-found', 'Objects that do not exist are no failure')
    .addOption(new Option('-o, --output <format>', 'Print names only').choices(['name']))
    .action((args: string[], flags: Flags) => deleteObjects(args, flags, context));
}

async function deleteObjects(args: readonly string[], flags: Flags, context: CliContext): Promise<void> {
  const options = deleteOptions(flags);
  const timeoutMs = parseDuration(flags.timeout);
  if (timeoutMs === undefined)
    throw new UsageError(`--timeout: "${flags.timeout}" is not a duration such as 30s or 5m`);
  if (!['true', 'false', true, false].includes(flags.wait)) throw new UsageError('--wait must be true or false');
  const words = wordsOf(args, flags);
  const manifests = flags.filename
    ? await readManifests(flags.filename, flags.recursive === true, context.stdin)
    : undefined;
  const { client, namespace } = await connect(flags, context);
  const victims = manifests
    ? await victimsOfManifests(manifests, client, flags, namespace)
    : await victimsOfWords(words, client, flags, namespace);
  if (victims.length === 0) {
    if (!flags.ignoreNotFound) context.stderr.write('No resources found\n');
    return;
  }
  if (flags.force) {
    context.stderr.write(
      'Warning: Immediate deletion does not wait for confirmation that the running resource has been terminated. ' +
        'The resource may continue to run on the cluster indefinitely.\n',
    );
  }
  const deleted: (Victim & { readonly uid: string | undefined })[] = [];
  let failed = false;
  for (const victim of victims) {
    try {
      const uid = await deleteOne(client, victim, options);
      deleted.push({ ...victim, uid });
      const label = singularOf(victim.resource);
      const how = flags.force && options.gracePeriodSeconds === 0 ? 'force deleted' : 'deleted';
      context.stdout.write(
        flags.output === 'name' ? `${label}/${victim.name}\n` : `${label} "${victim.name}" ${how}\n`,
      );
    } catch (error) {
      if (!(error instanceof ApiError) || error.code >= 500) throw error;
      if (isNotFound(error) && flags.ignoreNotFound) continue;
      context.stderr.write(`${describeFailure(error).text}\n`);
      failed = true;
    }
  }
  if (String(flags.wait) === 'true' && !flags.force) await waitUntilGone(client, deleted, timeoutMs, context);
  if (failed) throw new SilentExit(1);
}

function deleteOptions(flags: Flags): DeleteOptions {
  const given = Number(flags.gracePeriod);
  if (!Number.isInteger(given))
    throw new UsageError(`--grace-period: "${flags.gracePeriod}" is not a whole number of seconds`);
  if (flags.now && given >= 0) throw new UsageError('--now and --grace-period cannot be specified together');
  let grace = flags.now ? 1 : given;
  if (flags.force && grace < 0) grace = 0;
  if (flags.force && grace > 0)
    throw new UsageError('--force and --grace-period greater than 0 cannot be specified together');
  // Without --force nothing is torn out of its node's hands.
  if (grace === 0 && !flags.force) grace = 1;
  const propagationPolicy = ({ background: 'Background', foreground: 'Foreground', orphan: 'Orphan' } as const)[
    flags.cascade
  ];
  return { propagationPolicy, ...(grace >= 0 ? { gracePeriodSeconds: grace } : {}) };
}

function wordsOf(args: readonly string[], flags: Flags): TargetWords {
  if (flags.filename) {
    if (args.length > 0) throw new UsageError('-f and types or names exclude each other');
    if (flags.selector !== undefined || flags.all) throw new UsageError('-f cannot be used with -l or --all');
    return { groups: [] };
  }
  const words = parseTargets(args);
  const named = words.groups.some(({ names }) => names.length > 0);
  const many = flags.selector !== undefined || flags.all === true;
  if (named && many) throw new UsageError('name cannot be provided when a selector is specified');
  if (!named && !many) throw new UsageError('resource(s) were provided, but no name was specified');
  if (named && flags.allNamespaces)
    throw new UsageError('a resource cannot be retrieved by name across all namespaces');
  return words;
}

async function victimsOfWords(
  words: TargetWords,
  client: HttpClient,
  flags: Flags,
  fallback: string,
): Promise<Victim[]> {
  const served = await ServedResources.discover(client.connection);
  const namespace = flags.allNamespaces ? '' : (flags.namespace ?? fallback);
  const victims: Victim[] = [];
  for (const { resource, names } of resolveTargets(words, served)) {
    if (names.length > 0) victims.push(...names.map((name) => ({ resource, namespace, name })));
    else {
      const { selector: labelSelector } = flags;
      const { items } = await client.list(resource, {
        namespace,
        ...(labelSelector === undefined ? {} : { labelSelector }),
      });
      victims.push(
        ...items.map(({ metadata: { name = '', namespace: own = '' } }) => ({ resource, namespace: own, name })),
      );
    }
  }
  return victims;
}

async function victimsOfManifests(
  manifests: readonly Manifest[],
  client: HttpClient,
  flags: Flags,
  fallback: string,
): Promise<Victim[]> {
  const resolver = await ManifestResolver.create(client.connection);
  const victims: Victim[] = [];
  for (const manifest of manifests) {
    const { resource, namespace, object, source } = await resolver.resolve(manifest, {
      given: flags.namespace,
      fallback,
    });
    const { name } = object.metadata;
    if (!name) throw new CliError(`${source}: an object to delete needs metadata.name`);
    victims.push({ resource, namespace, name });
  }
  return victims;
}

/** Returns the uid of what is being deleted, where the server tells it. */
async function deleteOne(
  client: HttpClient,
  { resource, namespace, name }: Victim,
  options: DeleteOptions,
): Promise<string | undefined> {
  const answer = await client.connection.json<{ metadata?: { uid?: string }; details?: { uid?: string } }>({
    method: 'DELETE',
    path: pathOf(resource, namespace, name),
    body: JSON.stringify({ apiVersion: 'v1', kind: 'DeleteOptions', ...options }),
  });
  return answer.details?.uid ?? answer.metadata?.uid;
}

async function waitUntilGone(
  client: HttpClient,
  deleted: readonly (Victim & { readonly uid: string | undefined })[],
  timeoutMs: number,
  { clock }: CliContext,
): Promise<void> {
  const abort = new AbortController();
  const stopTimer = timeoutMs > 0 ? clock.timer(timeoutMs, () => abort.abort()) : () => undefined;
  try {
    for (const victim of deleted) {
      await goneOrAborted(client, victim, abort.signal);
      if (abort.signal.aborted) {
        throw new CliError(`timed out waiting for the condition on ${victim.resource.resource}/${victim.name}`);
      }
    }
  } finally {
    stopTimer();
  }
}

async function goneOrAborted(
  client: HttpClient,
  { resource, namespace, name, uid }: Victim & { readonly uid: string | undefined },
  signal: AbortSignal,
): Promise<void> {
  const fieldSelector = `metadata.name=${name}`;
  const another = (object: KubeObject) => uid !== undefined && object.metadata.uid !== uid;
  while (!signal.aborted) {
    const { items, resourceVersion } = await client.list(resource, { namespace, fieldSelector });
    const [present] = items;
    // An object of the same name that came afterwards is not the one we wait for.
    if (!present || another(present)) return;
    try {
      for await (const event of client.watch(resource, { namespace, fieldSelector, resourceVersion, signal })) {
        if (event.type === 'DELETED' || (event.type !== 'BOOKMARK' && another(event.object))) return;
      }
    } catch (error) {
      if (!isExpired(error)) throw error;
    }
  }
}
