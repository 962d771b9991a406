/** `skein conflicts`: what merges after splits overrode, with both values. */
import { Option, type Command } from 'commander';
import { pathOf } from '../../client/http-client.js';
import { rfc3339 } from '../../base/clock.js';
import { addConnectionOptions, connect, type ConnectionFlags } from '../connection.js';
import type { CliContext } from '../context.js';
import { parseDuration } from '../duration.js';
import { UsageError } from '../failure.js';
import { columns } from '../printers/columns.js';
import { jsonText } from '../printers/documents.js';
import { ServedResources } from '../resources.js';
import { parseTargets, resolveTargets, type TargetWords } from '../targets.js';

const PATH = '/skein/v1/conflicts';

interface Value {
  readonly value?: unknown;
  readonly time?: string;
  readonly by?: string;
  readonly part: readonly string[];
}

/** What `GET /skein/v1/conflicts` answers, the newest first. */
interface Conflicts {
  readonly items: readonly {
    readonly group: string;
    readonly resource: string;
    /** Empty for a kind that is gone. */
    readonly kind: string;
    readonly namespace: string;
    readonly name: string;
    readonly field: string;
    readonly kept: Value;
    readonly dropped: readonly Value[];
    readonly merged: string;
  }[];
}

interface Flags extends ConnectionFlags {
  readonly namespace?: string;
  readonly since?: string;
  readonly output?: 'json' | 'wide';
}

export function configure(command: Command, context: CliContext): void {
  addConnectionOptions(command)
    .description(
      'Show what merges after splits overrode, with both values: `skein conflicts`, `skein conflicts deploy/web`.',
    )
    .argument('[type-and-name...]', 'Objects: deploy, deploy/web, or deploy web; all unless told')
    .option('-n, --namespace <name>', 'Namespace; of objects the one of the kubeconfig, otherwise all unless told')
    .option('--since <duration>', 'Only merges of that time, such as 2h')
    .addOption(
      new Option('-o, --output <format>', 'Who wrote where and when, or the whole answer').choices(['wide', 'json']),
    )
    .action(async (args: string[], flags: Flags) => {
      const answer = await ask(args, flags, context);
      context.stdout.write(flags.output === 'json' ? jsonText(answer) : text(answer, flags.output === 'wide'));
    });
}

async function ask(args: readonly string[], flags: Flags, context: CliContext): Promise<Conflicts> {
  const words = args.length > 0 ? parseTargets(args) : undefined;
  const ms = flags.since === undefined ? undefined : parseDuration(flags.since);
  if (flags.since !== undefined && ms === undefined) throw new UsageError(`"${flags.since}" is no duration such as 2h`);
  const query = ms === undefined ? {} : { since: rfc3339(context.clock.nowMs() - ms) };
  const { client, namespace } = await connect(flags, context);
  if (!words) {
    const all = flags.namespace === undefined ? query : { ...query, namespace: flags.namespace };
    return client.connection.json<Conflicts>({ path: PATH, query: all });
  }
  const paths = pathsOf(words, await ServedResources.discover(client.connection), flags.namespace ?? namespace);
  const answers = await Promise.all(
    paths.map((path) => client.connection.json<Conflicts>({ path: PATH + path, query })),
  );
  return { items: answers.flatMap(({ items }) => items).toSorted((a, b) => (a.merged < b.merged ? 1 : -1)) };
}

const pathsOf = (words: TargetWords, served: ServedResources, namespace: string): string[] =>
  resolveTargets(words, served).flatMap(({ resource, names }) =>
    names.length === 0 ? [pathOf(resource, namespace)] : names.map((name) => pathOf(resource, namespace, name)),
  );

const MAX_VALUE = 40;

function valueText({ value }: Value, wide: boolean): string {
  if (value === undefined) return '<none>';
  const json = JSON.stringify(value);
  return wide || json.length <= MAX_VALUE ? json : `${json.slice(0, MAX_VALUE - 1)}…`;
}

const originText = ({ by, time, part }: Value) =>
  `${by ?? '-'} ${time ?? '-'} ${part.length > 0 ? part.join(',') : '-'}`;

function text({ items }: Conflicts, wide: boolean): string {
  if (items.length === 0) return 'No conflicts: no merge overrode anything, as far as it is kept.\n';
  const head = [
    'NAMESPACE',
    'KIND/NAME',
    'FIELD',
    'KEPT',
    'DROPPED',
    ...(wide ? ['KEPT-BY', 'DROPPED-BY'] : []),
    'WHEN',
  ];
  const rows = items.map(({ group, resource, kind, namespace, name, field, kept, dropped, merged }) => [
    namespace || '<none>',
    `${kind.toLowerCase() || resource}${group ? `.${group}` : ''}/${name}`,
    // What has no path is the object itself.
    field || '<object>',
    valueText(kept, wide),
    dropped.map((value) => valueText(value, wide)).join(' '),
    ...(wide ? [originText(kept), dropped.map(originText).join('; ')] : []),
    merged,
  ]);
  return columns([head, ...rows]);
}
