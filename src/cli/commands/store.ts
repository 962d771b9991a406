/** `skein store verify|dump`: looks at the store of a machine whose agent is not running. Never writes to it. */
import { Option, type Command } from 'commander';
import type { KubeObject } from '../../api/object.js';
import type { DumpSelection } from '../../agent/offline/dump.js';
import { dataDirOf, DEFAULT_DATA_DIR } from '../connection.js';
import type { CliContext, TextSink } from '../context.js';
import { CliError, SilentExit, systemText, UsageError } from '../failure.js';
import { columns } from '../printers/columns.js';
import { goJson, yamlText } from '../printers/documents.js';

interface Flags {
  readonly dataDir?: string;
}

interface DumpFlags extends Flags {
  readonly output: 'json' | 'yaml';
  readonly namespace?: string;
  readonly secrets?: boolean;
}

const addDataDir = (command: Command) =>
  command.option(
    '--data-dir <dir>',
    `Data directory of a stopped agent, or a store that was set aside (default: ${DEFAULT_DATA_DIR}; SKEIN_DATA_DIR)`,
  );

export function configure(command: Command, context: CliContext): void {
  addDataDir(command.command('verify'))
    .description('Check every file, checksum and record, and the log; exit code 1 when something is damaged')
    .action((flags: Flags) => plainly(() => verify(flags, context)));
  addDataDir(command.command('dump'))
    .description('Print the objects as manifests, as the machine has them')
    .argument('[type]', 'Objects of one type only, or one of them: deploy, deploy/web')
    .addOption(new Option('-o, --output <format>', 'Form of the manifests').choices(['json', 'yaml']).default('yaml'))
    .option('-n, --namespace <name>', 'Objects of one namespace only')
    .option('--secrets', 'With the Secrets')
    .action((type: string | undefined, flags: DumpFlags) => plainly(() => dump(type, flags, context)));
}

/** What goes wrong here is about a directory, and said in one line. */
async function plainly(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (cause) {
    if (cause instanceof CliError || cause instanceof SilentExit) throw cause;
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === 'ERR_DISK_UNAVAILABLE' && /in use/.test(message)) {
      throw new CliError(`${message}: stop its agent first`, 1, { cause });
    }
    throw new CliError(systemText(cause), 1, { cause });
  }
}

async function verify(flags: Flags, context: CliContext): Promise<void> {
  const { storePathOf, verifyStore } = await import('../../agent/offline/store-files.js');
  const path = storePathOf(dataDirOf(flags, context));
  let problems = 0;
  const report = await verifyStore(path, ({ where, problem }) => {
    problems += 1;
    context.stdout.write(`${where}: ${problem}\n`);
  });
  const { files, objects, tombstones, frames, format, revision } = report;
  context.stdout.write(
    columns([
      ['Store:', path],
      ['Format:', String(format ?? '<unknown>')],
      ['Revision:', String(revision ?? '<unknown>')],
      ['Files:', String(files)],
      ['Objects:', String(objects)],
      ['Tombstones:', String(tombstones)],
      ['Log frames:', String(frames)],
      ['Problems:', String(problems)],
    ]),
  );
  if (problems > 0) throw new SilentExit(1);
}

function selectionOf(type: string | undefined, { namespace, secrets }: DumpFlags): DumpSelection {
  const [kind, name, ...more] = type?.split('/') ?? [];
  if (more.length > 0 || kind === '' || name === '') throw new UsageError(`"${type}" is neither a type nor type/name`);
  return {
    ...(kind === undefined ? {} : { type: kind }),
    ...(name === undefined ? {} : { name }),
    ...(namespace === undefined ? {} : { namespace }),
    secrets: secrets ?? false,
  };
}

async function dump(type: string | undefined, flags: DumpFlags, context: CliContext): Promise<void> {
  const selection = selectionOf(type, flags);
  const { storePathOf } = await import('../../agent/offline/store-files.js');
  const { dumpObjects } = await import('../../agent/offline/dump.js');
  let hidden = 0;
  let problems = 0;
  const objects = dumpObjects(storePathOf(dataDirOf(flags, context)), selection, {
    onSecret: () => (hidden += 1),
    onProblem: ({ where, problem }) => {
      problems += 1;
      context.stderr.write(`${where}: ${problem}\n`);
    },
  });
  await (flags.output === 'json' ? writeJson(objects, context.stdout) : writeYaml(objects, context.stdout));
  if (hidden > 0) context.stderr.write(`${hidden} Secrets were left out; --secrets prints them too\n`);
  if (problems > 0) throw new SilentExit(1);
}

async function write(sink: TextSink, text: string): Promise<void> {
  if (!sink.write(text)) await new Promise<void>((resolve) => sink.once('drain', resolve));
}

async function writeYaml(objects: AsyncIterable<KubeObject>, sink: TextSink): Promise<void> {
  let separator = '';
  for await (const object of objects) {
    await write(sink, `${separator}${yamlText(object)}`);
    separator = '---\n';
  }
}

/** One `List`, an item at a time. */
async function writeJson(objects: AsyncIterable<KubeObject>, sink: TextSink): Promise<void> {
  await write(sink, '{"apiVersion":"v1","kind":"List","items":[');
  let separator = '\n';
  for await (const object of objects) {
    await write(sink, `${separator}${goJson(object)}`);
    separator = ',\n';
  }
  await write(sink, '\n]}\n');
}
