/** `skein history`: who changed which fields of an object, and when, as far as the peer that is asked remembers. */
import { Option, type Command } from 'commander';
import { addConnectionOptions, type ConnectionFlags } from '../connection.js';
import type { CliContext } from '../context.js';
import { columns } from '../printers/columns.js';
import { fieldLine, type ShownField } from '../printers/changes.js';
import { jsonText } from '../printers/documents.js';
import { pastOf } from '../past.js';

/** What `GET /skein/v1/history/…` answers. */
interface History {
  readonly reachesBackTo: { readonly revision: number; readonly time: string };
  readonly changes: readonly {
    readonly revision: number;
    readonly time: string;
    readonly kind: 'created' | 'changed' | 'deleted';
    readonly by: string;
    readonly fields: readonly ShownField[];
  }[];
}

type Flags = ConnectionFlags & { readonly namespace?: string; readonly output?: 'json' };

export function configure(command: Command, context: CliContext): void {
  addConnectionOptions(command)
    .description('Show who changed which fields of an object, and when: `skein history deploy/web`.')
    .argument('<type-and-name...>', 'One object: deploy/web, or deploy web')
    .option('-n, --namespace <name>', 'Namespace; the one of the kubeconfig unless told')
    .addOption(new Option('-o, --output <format>', 'Print the whole answer').choices(['json']))
    .action(async (args: string[], flags: Flags) => {
      const history = await pastOf<History>(args, flags, context, {});
      context.stdout.write(flags.output === 'json' ? jsonText(history) : text(history));
    });
}

function text({ reachesBackTo, changes }: History): string {
  const rows = changes.flatMap(({ revision, time, kind, by, fields }) => {
    const lines = kind === 'changed' ? fields.map(fieldLine) : [kind];
    const [first = 'only what every write moves', ...more] = lines;
    return [[String(revision), time, by || '-', first], ...more.map((line) => ['', '', '', line])];
  });
  const { revision, time } = reachesBackTo;
  const since = changes[0]?.kind === 'created' ? '' : `Nothing is known from before revision ${revision} (${time}).\n`;
  return (rows.length > 0 ? columns([['REVISION', 'TIME', 'BY', 'CHANGE'], ...rows]) : '') + since;
}
