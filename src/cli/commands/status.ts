/** `skein status`: how the cluster looks from the peer that is asked. */
import { Option, type Command } from 'commander';
import { addConnectionOptions, connect, type ConnectionFlags } from '../connection.js';
import type { CliContext } from '../context.js';
import { shortDuration } from '../duration.js';
import { rangeText, type VersionRange } from '../../base/version-range.js';
import { columns } from '../printers/columns.js';
import { jsonText } from '../printers/documents.js';

/** What `GET /skein/v1/status` answers. */
export interface ClusterStatus {
  readonly cluster: { readonly id: string };
  readonly self: { readonly id: string; readonly name: string };
  readonly mode?: string;
  readonly leader?: string | null;
  readonly view: ClusterView | null;
  readonly revision: string | number;
  readonly head?: string | number;
  readonly peers: readonly PeerStatus[];
  readonly warnings: readonly string[];
  /** Peers of which a majority is needed to change what must never exist twice. */
  readonly registered?: readonly { readonly id: string; readonly name: string; readonly newest?: number }[];
  /** The format in which the cluster writes. */
  readonly level?: number;
}

interface ClusterView {
  readonly epoch: { readonly n: number; readonly leader: string };
  readonly version: number;
  readonly members: readonly string[];
  readonly voters: readonly string[];
  readonly roles: Readonly<Record<string, { readonly holder: string | null; readonly epoch: number }>>;
}

interface PeerStatus {
  readonly id: string;
  readonly name: string;
  readonly address?: string;
  readonly apiPort?: number;
  readonly liveness: string;
  /** How long it has been so. */
  readonly sinceMs?: number;
  readonly version?: string;
  /** Which its build knows. */
  readonly formats?: VersionRange;
}

type Flags = ConnectionFlags & { readonly output?: 'json' };

export function configure(command: Command, context: CliContext): void {
  addConnectionOptions(command)
    .description('Show peers, liveness, role holders, revision and component, as the asked peer sees them.')
    .addOption(new Option('-o, --output <format>', 'Print the whole answer').choices(['json']))
    .action(async (flags: Flags) => {
      const { client } = await connect(flags, context);
      const status = await client.connection.json<ClusterStatus>({ path: '/skein/v1/status' });
      context.stdout.write(flags.output === 'json' ? jsonText(status) : statusText(status));
    });
}

/** Three blocks: the cluster, its peers, its roles; then what to worry about. */
export function statusText(status: ClusterStatus): string {
  const names = new Map(status.peers.map(({ id, name }) => [id, name]));
  const nameOf = (id: string | null | undefined) => (id ? (names.get(id) ?? id) : '<none>');
  const blocks = [columns(summaryRows(status, nameOf)), columns(peerRows(status, nameOf))];
  if (status.view) blocks.push(columns(roleRows(status.view, nameOf)));
  if (status.warnings.length > 0) blocks.push(status.warnings.map((text) => `Warning: ${text}\n`).join(''));
  return blocks.join('\n');
}

type NameOf = (id: string | null | undefined) => string;

function summaryRows(
  { cluster, self, view, mode, leader, revision, head, peers, level }: ClusterStatus,
  nameOf: NameOf,
) {
  const rows = [
    ['Cluster:', cluster.id],
    ['Asked peer:', mode ? `${self.name} (${mode})` : self.name],
    ['Sequencer:', nameOf(leader ?? view?.epoch.leader)],
    ...(level === undefined ? [] : [['Level:', `${level}`]]),
    [
      'Revision:',
      head === undefined || String(head) === String(revision) ? `${revision}` : `${revision} (newest known: ${head})`,
    ],
  ];
  if (!view) return [...rows, ['Component:', 'none: this peer has not found its place yet']];
  const members = view.members.map(nameOf).toSorted().join(', ');
  return [
    ...rows,
    ['Component:', `${view.members.length} of ${peers.length} peers: ${members}`],
    ['Epoch:', `${view.epoch.n}`],
  ];
}

function peerRows({ self, peers, view }: ClusterStatus, nameOf: NameOf): string[][] {
  const rows = peers
    .toSorted((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
    .map(({ id, address, apiPort, liveness, sinceMs, version, formats }) => [
      id === self.id ? `${nameOf(id)}*` : nameOf(id),
      liveness,
      sinceMs === undefined ? '<unknown>' : shortDuration(sinceMs),
      address === undefined ? '<unknown>' : apiPort === undefined ? address : `${address}:${apiPort}`,
      view?.members.includes(id) ? 'yes' : 'no',
      version ?? '<unknown>',
      formats ? rangeText(formats) : '<unknown>',
      id,
    ]);
  return [['PEER', 'LIVENESS', 'SINCE', 'API', 'IN COMPONENT', 'VERSION', 'FORMATS', 'ID'], ...rows];
}

function roleRows(view: ClusterView, nameOf: NameOf): string[][] {
  const rows = Object.entries(view.roles)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([role, { holder, epoch }]) => [role, nameOf(holder), `${epoch}`]);
  return [['ROLE', 'HOLDER', 'EPOCH'], ...rows];
}
