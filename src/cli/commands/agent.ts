/** `skein agent`: every setting of the agent's schema is a flag, an environment variable and a key of the file. */
import { Option, type Command } from 'commander';
import { agentConfigSchema, ConfigError, environmentName, loadConfig } from '../../agent/config.js';
import type { CliContext } from '../context.js';
import { CliError, UsageError } from '../failure.js';

/** What stands for the value in help texts, where the type does not say it. */
const PLACEHOLDERS: Readonly<Record<string, string>> = {
  name: 'name',
  dataDir: 'dir',
  address: 'ip',
  join: 'token',
  dockerHost: 'url',
  clusterCidr: 'cidr',
  serviceCidr: 'cidr',
  clusterDomain: 'domain',
};

/** Defaults that depend on the machine. */
const MACHINE_DEFAULTS: Readonly<Record<string, string>> = { name: 'the host name' };

/** The parts of a zod type that are read here. */
interface SchemaType {
  readonly description?: string | undefined;
  readonly def: { readonly type: string; readonly innerType?: SchemaType; readonly defaultValue?: unknown };
  readonly options?: readonly unknown[];
}

interface Setting {
  readonly key: string;
  readonly doc: string;
  readonly fallback: string | undefined;
  readonly placeholder: string;
  readonly isBoolean: boolean;
}

const kebab = (key: string) => key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

function settingOf(key: string, type: SchemaType): Setting {
  let inner = type;
  let fallback = MACHINE_DEFAULTS[key];
  while (inner.def.innerType) {
    if (inner.def.type === 'default') fallback ??= String(inner.def.defaultValue);
    inner = inner.def.innerType;
  }
  const isBoolean = inner.def.type === 'union' || inner.def.type === 'boolean';
  const byType = inner.def.type === 'number' ? 'n' : 'value';
  const placeholder = inner.def.type === 'enum' ? (inner.options ?? []).join('|') : (PLACEHOLDERS[key] ?? byType);
  return { key, doc: type.description ?? '', fallback, placeholder, isBoolean };
}

function optionOf({ key, doc, fallback, placeholder, isBoolean }: Setting): Option {
  const value = isBoolean ? '[true|false]' : `<${placeholder}>`;
  const notes = [...(fallback === undefined ? [] : [`default: ${fallback}`]), environmentName(key)];
  return new Option(`--${kebab(key)} ${value}`, `${doc} (${notes.join('; ')})`);
}

export function configure(command: Command, context: CliContext): void {
  command.description(
    'Run this machine as a peer of the cluster, in the foreground. Without --join the first start founds a cluster; ' +
      'later starts go on where the last one ended.',
  );
  for (const [key, type] of Object.entries(agentConfigSchema.shape)) {
    command.addOption(optionOf(settingOf(key, type as unknown as SchemaType)));
  }
  command.option(
    '--config <file>',
    'YAML file with these settings, in camelCase; environment and flags go first (SKEIN_CONFIG)',
  );
  command.action(async (flags: Record<string, unknown>) => {
    const { config: file, ...settings } = flags;
    await runUntilStopped(settings, typeof file === 'string' ? file : context.env['SKEIN_CONFIG'], context);
  });
}

async function runUntilStopped(
  flags: Record<string, unknown>,
  file: string | undefined,
  context: CliContext,
): Promise<void> {
  const config = readConfig(flags, file, context);
  const { runAgent } = await import('../../agent/agent.js');
  const stop = new AbortController();
  const onSignal = (name: NodeJS.Signals) => {
    // The second signal means now.
    if (stop.signal.aborted) process.exit(name === 'SIGINT' ? 130 : 143);
    stop.abort(new Error(`stopped by ${name}`));
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  try {
    await runAgent(config, { signal: stop.signal });
  } catch (error) {
    // The agent says anticipated faults in one line; SKEIN_DEBUG shows where it came from.
    const text = error instanceof Error ? error.message : String(error);
    throw new CliError(text.split('\n')[0] ?? text, 1, { cause: error });
  } finally {
    process.off('SIGINT', onSignal);
    process.off('SIGTERM', onSignal);
  }
}

function readConfig(flags: Record<string, unknown>, file: string | undefined, context: CliContext) {
  try {
    return loadConfig(flags, context.env, file);
  } catch (error) {
    if (error instanceof ConfigError) throw new UsageError(error.message, { cause: error });
    throw error;
  }
}
