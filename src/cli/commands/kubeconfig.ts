/** `skein kubeconfig`: prints what kubectl needs, made by the agent on this machine. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { parseDocument, visit } from 'yaml';
import { ADMIN_KUBECONFIG, dataDirOf, DEFAULT_DATA_DIR } from '../connection.js';
import type { CliContext } from '../context.js';
import { CliError, systemText, UsageError } from '../failure.js';

interface Flags {
  readonly server?: string;
  readonly dataDir?: string;
}

export function configure(command: Command, context: CliContext): void {
  command
    .description('Print the kubeconfig of the administrator, with certificates inline.')
    .option('--server <url>', 'Put this URL in, such as https://10.0.0.1:6443, for use on another machine')
    .option(
      '--data-dir <dir>',
      `Data directory of the agent on this machine (default: ${DEFAULT_DATA_DIR}; SKEIN_DATA_DIR)`,
    )
    .action((flags: Flags) => {
      const file = join(dataDirOf(flags, context), ADMIN_KUBECONFIG);
      let text: string;
      try {
        text = readFileSync(file, 'utf8');
      } catch (cause) {
        throw new CliError(`cannot read the kubeconfig: ${systemText(cause)}`, 1, { cause });
      }
      context.stdout.write(flags.server === undefined ? text : withServer(text, flags.server));
    });
}

/** The same file with every cluster at another address; everything else stays as it is. */
export function withServer(text: string, server: string): string {
  if (!URL.canParse(server) || !/^https?:$/.test(new URL(server).protocol)) {
    throw new UsageError(`--server: "${server}" is not a URL such as https://10.0.0.1:6443`);
  }
  const document = parseDocument(text);
  const clusters = document.get('clusters');
  visit(clusters as Parameters<typeof visit>[0], {
    Pair(_, pair) {
      if ((pair.key as { value?: unknown } | null)?.value === 'server') pair.value = document.createNode(server);
    },
  });
  return document.toString({ lineWidth: 0 });
}
