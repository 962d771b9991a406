/**
 * The agent's configuration: one schema holds type, default, unit and doc of every setting. File < environment < flag;
 * checked before anything is touched; frozen.
 */
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { isIPv4 } from 'node:net';
import { parse as parseYaml } from 'yaml';
import { z } from 'zod';
import { parseCidr } from '../base/ipv4.js';

const integer = z.coerce.number({ error: 'must be a number' }).int('must be a whole number');
const port = integer.min(0, 'must be a port').max(65_535, 'must be a port');
const positive = integer.positive('must be greater than 0');
const flag = z.union([z.boolean(), z.enum(['true', 'false']).transform((text) => text === 'true')]);
const ipv4 = z.string().refine((text) => isIPv4(text), 'must be an IPv4 address');
const cidr = z.string().refine((text) => parseCidr(text) !== undefined, 'must be an IPv4 range such as 10.244.0.0/16');
const nodeName = z
  .string()
  .regex(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/, 'must be a lower case DNS name')
  .max(253);

export const agentConfigSchema = z.strictObject({
  name: nodeName.default(() => hostname().toLowerCase()).describe('Name of this node, unique in the cluster'),
  dataDir: z.string().min(1).default('/var/lib/skein').describe('Where everything is kept'),
  address: ipv4
    .optional()
    .describe('Address at which other machines reach this one; found by the default route unless told'),
  apiPort: port.default(6443).describe('TCP port of the Kubernetes API (HTTPS)'),
  p2pPort: port.default(7443).describe('TCP port for the other peers (libp2p)'),
  kubeletPort: port.default(10_250).describe('TCP port of the node server (HTTPS; logs, exec, images)'),
  readOnlyPort: port.default(10_255).describe('TCP port of the read-only node server; 0 switches it off'),
  join: z.string().optional().describe('Token of a cluster to join; without it the first start founds one'),
  dockerHost: z.string().default('unix:///var/run/docker.sock').describe('Address of the Docker Engine'),
  runtime: z.enum(['docker', 'process', 'fake']).default('docker').describe('What runs containers'),
  proxyMode: z.enum(['iptables', 'userspace', 'none']).default('iptables').describe('How Services are served'),
  clusterCidr: cidr.default('10.244.0.0/16').describe('Addresses of pods; each node takes a /24 of it'),
  serviceCidr: cidr.default('10.96.0.0/12').describe('Addresses of Services'),
  clusterDomain: z.string().default('cluster.local').describe('DNS domain of the cluster'),
  mdns: flag.default(false).describe('Look for peers of the cluster on the local link'),
  logLevel: z.enum(['debug', 'info', 'warn', 'error']).default('info').describe('What is logged'),
  logFormat: z.enum(['text', 'json']).default('text').describe('How it is logged'),
  auditPolicyFile: z
    .string()
    .optional()
    .describe('Audit policy (audit.k8s.io/v1) that says which requests are recorded; without it none are'),
  auditLogPath: z
    .string()
    .optional()
    .describe('File of the audit log, - for standard output; audit.log in the data directory unless told'),
  auditLogMegabytes: positive.default(100).describe('Size at which the audit log is put aside, in MiB'),
  auditLogBackups: positive.default(10).describe('Audit logs put aside that are kept'),
  niceness: integer
    .min(-20)
    .max(19)
    .default(-10)
    .describe(
      'Scheduling priority of the agent, as nice(1) has it: heartbeats must be on time on a busy machine; needs root, runtime docker only',
    ),
  chaos: flag
    .default(false)
    .describe('Let cluster administrators kill, pause or cut off this peer by skein chaos, to see the cluster go on'),
  metricsAgeSeconds: positive
    .default(15)
    .describe('How long the use of nodes and pods that metrics.k8s.io shows is shown again, in seconds'),
  metricsTimeoutSeconds: positive.default(5).describe('How long a node may take to tell what it uses, in seconds'),
  metricsMegabytes: positive.default(16).describe('What one node may tell at most, in MiB'),
  metricsNodesAtOnce: positive.default(16).describe('Nodes that are asked for what they use at the same time'),
  ack: z
    .enum(['one', 'majority', 'all'])
    .default('majority')
    .describe('On how many live peers a write must be on disk'),
  fsync: flag.default(true).describe('Force acknowledged writes through to the medium'),
  historyEvents: positive.default(10_000).describe('Events kept for watches to resume from'),
  changesPerObject: positive.default(50).describe('Changes of an object kept to be shown by `skein history`'),
  changesMegabytes: positive
    .default(32)
    .describe(
      'Size of all changes kept, in memory and on disk, in MiB; of the objects not changed for longest they go first',
    ),
  conflictsKept: positive
    .default(2_000)
    .describe('Values overridden by merges that are kept to be shown by `skein conflicts`; the oldest go first'),
  conflictsMegabytes: positive.default(16).describe('… and their size, in MiB'),
  logMegabytes: positive.default(64).describe('Log kept in memory and on disk for peers that catch up, in MiB'),
  tombstoneRetentionHours: positive.default(24).describe('How long deletions are remembered'),
  certificateHours: positive
    .default(8_760)
    .describe("How long this peer's certificates live, in hours; they are renewed when a third of it is left"),
  eventTtlMinutes: positive.default(60).describe('How long Events are kept after they last happened, in minutes'),
  tolerationSeconds: integer
    .min(0)
    .default(5)
    .describe(
      'How long pods stay bound to a node that is not ready or unreachable, in seconds, unless they say otherwise',
    ),
});

export type AgentConfig = Readonly<z.output<typeof agentConfigSchema>>;

/** A setting that cannot be used; one line that names it. */
export class ConfigError extends Error {
  readonly code = 'ERR_CONFIG';
}

/** `dataDir` -> `SKEIN_DATA_DIR`. */
export const environmentName = (key: string): string =>
  `SKEIN_${key.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;

/** Puts the sources together and checks them. Throws {@link ConfigError}. */
export function loadConfig(
  flags: Readonly<Record<string, unknown>>,
  environment: Readonly<Record<string, string | undefined>>,
  file: string | undefined,
): AgentConfig {
  const fromEnvironment = Object.fromEntries(
    Object.keys(agentConfigSchema.shape)
      .map((key) => [key, environment[environmentName(key)]] as const)
      .filter(([, value]) => value !== undefined && value !== ''),
  );
  const given = Object.fromEntries(Object.entries(flags).filter(([, value]) => value !== undefined));
  const parsed = agentConfigSchema.safeParse({ ...readConfigFile(file), ...fromEnvironment, ...given });
  if (!parsed.success) {
    const problems = parsed.error.issues.map(({ path, message }) =>
      path.length > 0 ? `${path.join('.')}: ${message}` : message,
    );
    throw new ConfigError(`invalid configuration: ${problems.join('; ')}`);
  }
  return Object.freeze(parsed.data);
}

function readConfigFile(file: string | undefined): Record<string, unknown> {
  if (file === undefined) return {};
  let content: unknown;
  try {
    content = parseYaml(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new ConfigError(`cannot read the configuration ${file}: ${(error as Error).message.split('\n')[0]}`, {
      cause: error,
    });
  }
  if (content === null || content === undefined) return {};
  if (typeof content !== 'object' || Array.isArray(content))
    throw new ConfigError(`${file} must hold a mapping of settings`);
  return content as Record<string, unknown>;
}
