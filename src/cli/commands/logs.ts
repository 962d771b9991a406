/** `skein logs`: of a pod, or of one pod of what owns pods. */
import { pipeline } from 'node:stream/promises';
import type { Command } from 'commander';
import type { KubeObject } from '../../api/object.js';
import { PODS } from '../../api/resource.js';
import type { Pod } from '../../api/types/core-v1.js';
import { pathOf, type HttpClient } from '../../client/http-client.js';
import { addConnectionOptions, connect, type ConnectionFlags } from '../connection.js';
import type { CliContext } from '../context.js';
import { parseDuration } from '../duration.js';
import { CliError, UsageError } from '../failure.js';
import { ServedResources } from '../resources.js';
import { parseTargets, resolveTargets } from '../targets.js';

interface Flags extends ConnectionFlags {
  readonly namespace?: string;
  readonly container?: string;
  readonly follow?: true;
  readonly previous?: true;
  readonly timestamps?: true;
  readonly tail: string;
  readonly since?: string;
}

const DEFAULT_CONTAINER = 'kubectl.kubernetes.io/default-container';

export function configure(command: Command, context: CliContext): void {
  addConnectionOptions(command)
    .description('Print the logs of a container: `skein logs web-0`, `skein logs -f deploy/web -c app`.')
    .argument('<pod|type/name>', 'A pod, or something that has pods (the first of them is taken)')
    .argument('[container]', 'The same as -c')
    .option('-n, --namespace <name>', 'Namespace; the one of the kubeconfig unless told')
    .option('-c, --container <name>', 'Which container; the first unless told')
    .option('-f, --follow', 'Go on as the log grows')
    .option('-p, --previous', 'Of the container before its last restart')
    .option('--timestamps', 'With the time of each line')
    .option('--tail <lines>', 'Only the last lines; -1 is all', '-1')
    .option('--since <duration>', 'Only lines newer than this, such as 10s or 5m')
    .action((target: string, container: string | undefined, flags: Flags) => logs(target, container, flags, context));
}

function queryOf(flags: Flags) {
  const tailLines = Number(flags.tail);
  if (!Number.isInteger(tailLines) || tailLines < -1)
    throw new UsageError('--tail must be greater than or equal to -1');
  const sinceMs = flags.since === undefined ? undefined : parseDuration(flags.since);
  if (flags.since !== undefined && !sinceMs)
    throw new UsageError(`--since: "${flags.since}" is not a duration such as 10s or 5m`);
  return {
    follow: flags.follow,
    previous: flags.previous,
    timestamps: flags.timestamps,
    tailLines: tailLines < 0 ? undefined : tailLines,
    sinceSeconds: sinceMs ? Math.ceil(sinceMs / 1000) : undefined,
  };
}

async function logs(target: string, argument: string | undefined, flags: Flags, context: CliContext): Promise<void> {
  const query = queryOf(flags);
  if (argument !== undefined && flags.container !== undefined) {
    throw new UsageError('only one of -c or an inline [CONTAINER] arg is allowed');
  }
  const connected = await connect(flags, context);
  const { client } = connected;
  const namespace = flags.namespace ?? connected.namespace;
  const pod = await podOf(client, namespace, target, context);
  const container = argument ?? flags.container ?? defaultContainer(pod, context);
  const stream = await client.connection.stream({
    path: pathOf(PODS, namespace, pod.metadata.name, 'log'),
    query: { ...query, container },
    accept: '*/*',
  });
  await pipeline(stream, async (source: AsyncIterable<Buffer>) => {
    // Bytes as they come: a character may be parted between two chunks.
    const decoder = new TextDecoder();
    for await (const chunk of source) {
      if (context.stdout.write(decoder.decode(chunk, { stream: true }))) continue;
      await new Promise<void>((resolve) => context.stdout.once('drain', resolve));
    }
    context.stdout.write(decoder.decode());
  });
}

async function podOf(client: HttpClient, namespace: string, target: string, context: CliContext): Promise<Pod> {
  if (!target.includes('/')) return client.get<Pod>(PODS, namespace, target);
  const served = await ServedResources.discover(client.connection);
  const [found] = resolveTargets(parseTargets([target]), served);
  const [name = ''] = found?.names ?? [];
  if (!found) throw new UsageError(`"${target}" names nothing`);
  if (found.resource.group === '' && found.resource.resource === 'pods') return client.get<Pod>(PODS, namespace, name);
  const owner = await client.get(found.resource, namespace, name);
  const labelSelector = selectorOf(owner);
  if (labelSelector === undefined)
    throw new CliError(`${found.resource.resource}/${name} has no pods to take logs from`);
  const { items } = await client.list<Pod>(PODS, { namespace, labelSelector });
  const [pod] = items.toSorted(byReadiness);
  if (!pod) throw new CliError(`no pods found for ${found.resource.resource}/${name} (${labelSelector})`);
  if (items.length > 1) context.stderr.write(`Found ${items.length} pods, using pod/${pod.metadata.name ?? ''}\n`);
  return pod;
}

/** Running pods first, then by name. */
const byReadiness = (a: Pod, b: Pod) =>
  Number(b.status?.phase === 'Running') - Number(a.status?.phase === 'Running') ||
  ((a.metadata.name ?? '') < (b.metadata.name ?? '') ? -1 : 1);

/** The pods of a workload or of a Service, as a label selector. */
function selectorOf({ spec }: KubeObject): string | undefined {
  const selector: unknown = (spec as { selector?: unknown } | undefined)?.selector;
  if (typeof selector !== 'object' || selector === null) return undefined;
  const { matchLabels, matchExpressions } = selector as {
    matchLabels?: Record<string, string>;
    matchExpressions?: { key: string; operator: string; values?: string[] }[];
  };
  const labels = matchLabels || matchExpressions ? (matchLabels ?? {}) : (selector as Record<string, string>);
  const terms = [
    ...Object.entries(labels).map(([key, value]) => `${key}=${value}`),
    ...(matchExpressions ?? []).map(expressionText),
  ];
  return terms.length === 0 ? undefined : terms.join(',');
}

function expressionText({ key, operator, values = [] }: { key: string; operator: string; values?: string[] }): string {
  if (operator === 'Exists') return key;
  if (operator === 'DoesNotExist') return `!${key}`;
  return `${key} ${operator === 'In' ? 'in' : 'notin'} (${values.join(',')})`;
}

function defaultContainer(pod: Pod, context: CliContext): string | undefined {
  const annotated = pod.metadata.annotations?.[DEFAULT_CONTAINER];
  if (annotated !== undefined) return annotated;
  const containers = pod.spec?.containers ?? [];
  const inits = pod.spec?.initContainers ?? [];
  const first = containers[0]?.name;
  if (containers.length + inits.length > 1 && first !== undefined) {
    const names = [...containers.map(({ name }) => name), ...inits.map(({ name }) => `${name} (init)`)].join(', ');
    context.stderr.write(`Defaulted container "${first}" out of: ${names}\n`);
  }
  return first;
}
