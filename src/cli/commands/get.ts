/** `skein get`: tables made by the server, or whole objects. */
import { Option, type Command } from 'commander';
import type { KubeObject } from '../../api/object.js';
import { apiVersionOf } from '../../api/resource.js';
import { pathOf, type HttpClient } from '../../client/http-client.js';
import { jsonLines } from '../../client/json-lines.js';
import { ApiError, type Status } from '../../api/errors.js';
import { addConnectionOptions, connect, type ConnectionFlags } from '../connection.js';
import type { CliContext } from '../context.js';
import { describeFailure, SilentExit, UsageError } from '../failure.js';
import { columns } from '../printers/columns.js';
import { jsonText, yamlText } from '../printers/documents.js';
import { TABLE_ACCEPT, tableRows, type ServerTable, type TableStyle } from '../printers/table.js';
import { askPast } from '../past.js';
import { ServedResources, type ServedResource } from '../resources.js';
import { parseTargets, resolveTargets, singularOf, type Target, type TargetWords } from '../targets.js';

export interface GetFlags extends ConnectionFlags {
  readonly namespace?: string;
  readonly allNamespaces?: true;
  readonly output?: string;
  readonly selector?: string;
  readonly fieldSelector?: string;
  readonly watch?: true;
  readonly watchOnly?: true;
  readonly headers: boolean;
  readonly showLabels?: true;
  readonly showManagedFields?: true;
  readonly ignoreNotFound?: true;
  readonly at?: string;
}

const FORMATS = ['json', 'name', 'wide', 'yaml'];
const MAX_LINE_BYTES = 16 * 1024 * 1024;

export function configure(command: Command, context: CliContext): void {
  addConnectionOptions(command)
    .description('Show objects: `skein get pods`, `skein get deploy web -o yaml`, `skein get deploy/web svc/web`.')
    .argument('[types-and-names...]', 'Types (by plural, singular or short name) and names')
    .option('-n, --namespace <name>', 'Namespace; the one of the kubeconfig unless told')
    .option('-A, --all-namespaces', 'In all namespaces')
    .addOption(new Option('-o, --output <format>', 'How to print: wide, yaml, json or name'))
    .option('-l, --selector <labels>', 'Only objects with these labels, such as app=web')
    .option('--field-selector <fields>', 'Only objects with these fields, such as status.phase=Running')
    .option('-w, --watch', 'Afterwards, print changes as they come')
    .option('--watch-only', 'Print changes only')
    .option('--no-headers', 'Without the header line')
    .option('--show-labels', 'With a column of labels')
    .option('--show-managed-fields', 'With metadata.managedFields in yaml and json')
    .option('--at <moment>', 'As they were at a revision or a time such as 2026-01-31T12:00:00Z; in yaml, or json')
    .option('--ignore-not-found', 'Objects that do not exist are no failure')
    .action((args: string[], flags: GetFlags) => get(args, flags, context));
}

/** What a query needs besides the target. */
interface Query {
  readonly client: HttpClient;
  readonly namespace: string;
  readonly flags: GetFlags;
}

async function get(args: readonly string[], flags: GetFlags, context: CliContext): Promise<void> {
  const { output } = flags;
  if (output !== undefined && !FORMATS.includes(output)) {
    throw new UsageError(
      `unable to match a printer suitable for the output format "${output}", allowed formats are: ${FORMATS.join(',')}`,
    );
  }
  const words = parseTargets(args);
  if (flags.at !== undefined) checkPast(words, flags);
  const connected = await connect(flags, context);
  const { client } = connected;
  const served = await ServedResources.discover(client.connection);
  const targets = resolveTargets(words, served);
  if (flags.allNamespaces && targets.some(({ names }) => names.length > 0)) {
    throw new UsageError('a resource cannot be retrieved by name across all namespaces');
  }
  const namespace = flags.allNamespaces ? '' : (flags.namespace ?? connected.namespace);
  const query = { client, namespace, flags };
  if (flags.watch || flags.watchOnly) await watch(targets, query, context);
  else if (flags.at !== undefined) await printObjects(targets, query, output ?? 'yaml', context);
  else if (output === undefined || output === 'wide') await printTables(targets, query, context);
  else await printObjects(targets, query, output, context);
}

function checkPast({ groups }: TargetWords, { watch, watchOnly, output }: GetFlags): void {
  if (watch || watchOnly || output === 'wide') throw new UsageError('--at goes with neither --watch nor -o wide');
  if (groups.some(({ names }) => names.length === 0)) throw new UsageError('--at needs the names of objects');
}

const selectors = ({ selector, fieldSelector }: GetFlags) => ({ labelSelector: selector, fieldSelector });

/** Runs for each name; failures are printed as they come and end in exit code 1. */
async function forEachName<T>(
  { names }: Target,
  flags: GetFlags,
  context: CliContext,
  work: (name: string) => Promise<T>,
): Promise<{ results: T[]; failed: boolean }> {
  const results: T[] = [];
  let failed = false;
  for (const name of names) {
    try {
      results.push(await work(name));
    } catch (error) {
      if (!(error instanceof ApiError) || error.reason !== 'NotFound') throw error;
      if (flags.ignoreNotFound) continue;
      context.stderr.write(`${describeFailure(error).text}\n`);
      failed = true;
    }
  }
  return { results, failed };
}

async function printTables(targets: readonly Target[], query: Query, context: CliContext): Promise<void> {
  const { client, namespace, flags } = query;
  const several = targets.length > 1;
  let failed = false;
  const blocks: string[] = [];
  for (const target of targets) {
    const { resource } = target;
    const path = (name = '') => pathOf(resource, namespace, name);
    const ask = (name?: string) =>
      client.connection.json<ServerTable>({
        path: path(name),
        query: name === undefined ? selectors(flags) : {},
        accept: TABLE_ACCEPT,
      });
    const found =
      target.names.length > 0
        ? await forEachName(target, flags, context, ask)
        : { results: [await ask()], failed: false };
    failed ||= found.failed;
    const first = found.results[0];
    const rows = found.results.flatMap((table) => table.rows ?? []);
    if (!first || rows.length === 0) continue;
    const style = styleOf(resource, query, several);
    blocks.push(columns(tableRows({ ...first, rows }, style)));
  }
  if (blocks.length > 0) context.stdout.write(blocks.join('\n'));
  else if (!failed && !flags.ignoreNotFound) context.stderr.write(`${nothingText(targets, namespace)}\n`);
  if (failed) throw new SilentExit(1);
}

function nothingText(targets: readonly Target[], namespace: string): string {
  const inNamespace = namespace !== '' && targets.some(({ resource }) => resource.namespaced);
  return inNamespace ? `No resources found in ${namespace} namespace.` : 'No resources found';
}

function styleOf(resource: ServedResource, { flags, namespace }: Query, several: boolean): TableStyle {
  return {
    wide: flags.output === 'wide',
    withHeader: flags.headers,
    withNamespace: namespace === '' && resource.namespaced,
    withLabels: flags.showLabels === true,
    prefix: several ? `${singularOf(resource)}/` : '',
  };
}

async function printObjects(
  targets: readonly Target[],
  query: Query,
  output: string,
  context: CliContext,
): Promise<void> {
  const { client, namespace, flags } = query;
  const objects: { object: KubeObject; resource: ServedResource }[] = [];
  let failed = false;
  for (const target of targets) {
    const { resource } = target;
    if (target.names.length > 0) {
      const found = await forEachName(target, flags, context, (name) =>
        flags.at === undefined
          ? client.get(resource, namespace, name)
          : askPast<KubeObject>(client, resource, namespace, name, { at: flags.at }),
      );
      failed ||= found.failed;
      objects.push(...found.results.map((object) => ({ object, resource })));
    } else {
      const { selector: labelSelector, fieldSelector } = flags;
      const { items } = await client.list(resource, {
        namespace,
        ...(labelSelector === undefined ? {} : { labelSelector }),
        ...(fieldSelector === undefined ? {} : { fieldSelector }),
      });
      objects.push(...items.map((object) => ({ object, resource })));
    }
  }
  const single = targets.length === 1 && targets[0]?.names.length === 1;
  if (output === 'name') {
    for (const { object, resource } of objects) {
      context.stdout.write(`${singularOf(resource)}/${object.metadata.name ?? ''}\n`);
    }
  } else if (!(single && objects.length === 0)) {
    const items = objects.map(({ object }) => (flags.showManagedFields ? object : withoutManagedFields(object)));
    const document = single ? items[0] : { apiVersion: 'v1', items, kind: 'List', metadata: { resourceVersion: '' } };
    context.stdout.write(output === 'json' ? jsonText(document) : yamlText(document));
  }
  if (failed) throw new SilentExit(1);
}

function withoutManagedFields(object: KubeObject): KubeObject {
  const { managedFields: _, ...metadata } = object.metadata;
  return { ...object, metadata };
}

async function watch(targets: readonly Target[], query: Query, context: CliContext): Promise<void> {
  const [target, ...more] = targets;
  if (!target || more.length > 0 || target.names.length > 1) {
    throw new UsageError('you may only specify a single resource type, and one name at most, with --watch');
  }
  const { flags, client, namespace } = query;
  const { resource } = target;
  const [name] = target.names;
  const byName = name === undefined ? undefined : `metadata.name=${name}`;
  const fieldSelector = [byName, flags.fieldSelector].filter((text) => text !== undefined).join(',') || undefined;
  const path = pathOf(resource, namespace);
  const whole = flags.output !== undefined && flags.output !== 'wide';
  // The rows of a table carry only metadata unless whole objects are asked for.
  const asked = { labelSelector: flags.selector, fieldSelector, includeObject: whole ? 'Object' : undefined };
  const printer = new WatchPrinter(resource, query, context);
  if (name !== undefined) await client.get(resource, namespace, name);
  const table = await client.connection.json<ServerTable>({ path, query: asked, accept: TABLE_ACCEPT });
  if (!flags.watchOnly) printer.table(table);
  else printer.remember(table);
  const stream = await client.connection.stream({
    path,
    query: { ...asked, watch: true, resourceVersion: table.metadata?.resourceVersion },
    accept: TABLE_ACCEPT,
  });
  for await (const line of jsonLines(stream, MAX_LINE_BYTES)) {
    const { type, object } = line as { type: string; object: unknown };
    if (type === 'ERROR') throw ApiError.fromStatus(object as Partial<Status>);
    if (type !== 'BOOKMARK') printer.table(object as ServerTable);
  }
}

/** Prints the tables of a watch one below the other, with one header and columns that only ever get wider. */
class WatchPrinter {
  private definitions: ServerTable['columnDefinitions'];
  private widths: number[] = [];
  private headerPrinted = false;

  constructor(
    private readonly resource: ServedResource,
    private readonly query: Query,
    private readonly context: CliContext,
  ) {}

  remember(table: ServerTable): void {
    this.definitions = table.columnDefinitions ?? this.definitions;
  }

  table(table: ServerTable): void {
    this.remember(table);
    const rows = table.rows ?? [];
    if (rows.length === 0) return;
    const { output } = this.query.flags;
    if (output === undefined || output === 'wide') this.lines(table);
    else for (const row of rows) this.document(row.object, output);
  }

  private lines(table: ServerTable): void {
    const style = styleOf(this.resource, this.query, false);
    const withHeader = style.withHeader && !this.headerPrinted;
    this.headerPrinted = true;
    const rows = tableRows(table, { ...style, withHeader }, this.definitions);
    for (const row of rows) row.forEach((cell, i) => (this.widths[i] = Math.max(this.widths[i] ?? 0, cell.length)));
    // A row of widths makes the others line up with what was printed before; it is not shown itself.
    const ruler = this.widths.map((width) => '-'.repeat(width));
    this.context.stdout.write(columns([ruler, ...rows]).replace(/^.*\n/, ''));
  }

  private document(object: KubeObject | undefined, output: string): void {
    if (!object) return;
    if (output === 'name') this.context.stdout.write(`${singularOf(this.resource)}/${object.metadata.name ?? ''}\n`);
    else {
      const whole = { apiVersion: apiVersionOf(this.resource), kind: this.resource.kind, ...object };
      this.context.stdout.write(output === 'json' ? jsonText(whole) : `---\n${yamlText(whole)}`);
    }
  }
}
