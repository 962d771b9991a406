/** `skein diff`: what of an object changed between two moments, as far as the peer that is asked remembers. */
import { Option, type Command } from 'commander';
import { addConnectionOptions, type ConnectionFlags } from '../connection.js';
import type { CliContext } from '../context.js';
import { fieldLine, type ShownField } from '../printers/changes.js';
import { jsonText } from '../printers/documents.js';
import { printable } from '../printers/printable.js';
import { pastOf } from '../past.js';

/** What `GET /skein/v1/history/…?from=` answers; null where there was no such object. */
interface Difference {
  readonly from: number | null;
  readonly to: number | null;
  readonly fields: readonly ShownField[];
}

interface Flags extends ConnectionFlags {
  readonly namespace?: string;
  readonly from: string;
  readonly to?: string;
  readonly output?: 'json';
}

export function configure(command: Command, context: CliContext): void {
  addConnectionOptions(command)
    .description('Show what of an object changed since a revision or a time: `skein diff deploy/web --from 1234`.')
    .argument('<type-and-name...>', 'One object: deploy/web, or deploy web')
    .requiredOption('--from <moment>', 'A revision, or a time such as 2026-01-31T12:00:00Z')
    .option('--to <moment>', 'Until then; until now unless told')
    .option('-n, --namespace <name>', 'Namespace; the one of the kubeconfig unless told')
    .addOption(new Option('-o, --output <format>', 'Print the whole answer').choices(['json']))
    .action(async (args: string[], flags: Flags) => {
      const { from, to } = flags;
      const difference = await pastOf<Difference>(args, flags, context, { from, to });
      context.stdout.write(flags.output === 'json' ? jsonText(difference) : text(difference));
    });
}

const side = (revision: number | null) => (revision === null ? 'no object' : `revision ${revision}`);

function text({ from, to, fields }: Difference): string {
  const lines = fields.map((field) => `${printable(fieldLine(field))}\n`);
  return `${side(from)} -> ${side(to)}\n${lines.length > 0 ? lines.join('') : 'no difference\n'}`;
}
