/**
 * Writes the rules with `iptables-restore`, atomically per table. The first sync, and any after a failure, writes everything
 * and deletes chains of earlier runs; later ones only what changed since.
 */
import { runOrThrow, type Command } from '../../base/command.js';
import type { Clock } from '../../base/clock.js';
import type { Logger } from '../../base/log.js';
import type { Metrics } from '../../base/metrics.js';
import { ConntrackCleaner } from './conntrack.js';
import type { ProxyState, ServicePortState } from './model.js';
import type { Proxier } from './proxier.js';
import {
  fullTransaction,
  partialTransaction,
  portsByKey,
  renderRules,
  rerender,
  type RenderOptions,
  type Rules,
} from './render.js';

export interface IptablesProxierDeps {
  readonly command: Command;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

const NEW = '-m conntrack --ctstate NEW';
const portals = '-m comment --comment "kubernetes service portals"';

/** What leads into our chains, first to last, in the spelling of `iptables-save`. */
const JUMPS: readonly { readonly table: string; readonly chain: string; readonly rule: string }[] = [
  { table: 'nat', chain: 'PREROUTING', rule: `${portals} -j KUBE-SERVICES` },
  {
    table: 'nat',
    chain: 'PREROUTING',
    rule: `-m comment --comment "kubernetes host ports" -m addrtype --dst-type LOCAL -j KUBE-HOSTPORTS`,
  },
  { table: 'nat', chain: 'OUTPUT', rule: `${portals} -j KUBE-SERVICES` },
  {
    table: 'nat',
    chain: 'OUTPUT',
    rule: `-m comment --comment "kubernetes host ports" -m addrtype --dst-type LOCAL -j KUBE-HOSTPORTS`,
  },
  {
    table: 'nat',
    chain: 'POSTROUTING',
    rule: '-m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING',
  },
  ...['INPUT', 'FORWARD', 'OUTPUT'].flatMap((chain) => [
    {
      table: 'filter',
      chain,
      rule: `${NEW} -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL`,
    },
    ...(chain === 'FORWARD'
      ? []
      : [{ table: 'filter', chain, rule: `-m comment --comment "kubernetes local network" -j KUBE-FIREWALL` }]),
    ...(chain === 'FORWARD'
      ? [{ table: 'filter', chain, rule: '-m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD' }]
      : []),
    ...(chain === 'INPUT' ? [] : [{ table: 'filter', chain, rule: `${NEW} ${portals} -j KUBE-SERVICES` }]),
    ...(chain === 'OUTPUT'
      ? []
      : [
          {
            table: 'filter',
            chain,
            rule: `${NEW} -m comment --comment "kubernetes externally-visible service portals" -j KUBE-EXTERNAL-SERVICES`,
          },
        ]),
  ]),
];

const OURS = /^KUBE-(SVC|SVL|SEP|EXT|FW)-[A-Z2-7]{16}$/;
/** Tens of thousands of chains take iptables' nf_tables backend a while. */
const RESTORE_TIMEOUT_MS = 300_000;
const RESTORE = ['--noflush', '-w', '5'];

export class IptablesProxier implements Proxier {
  private written: { rules: Rules; ports: ReadonlyMap<string, ServicePortState> } | undefined;
  private readonly conntrack: ConntrackCleaner;

  constructor(
    private readonly deps: IptablesProxierDeps,
    private readonly options: RenderOptions,
  ) {
    this.conntrack = new ConntrackCleaner(deps.command, deps.log);
  }

  async sync(state: ProxyState, full: boolean): Promise<void> {
    const { command, clock, metrics } = this.deps;
    const began = clock.monotonicMs();
    const before = this.written;
    const ports = portsByKey(state);
    const partial = before !== undefined && !full;
    const rules = partial ? rerender(state, this.options, before) : renderRules(state, this.options);
    this.written = undefined;
    const text = partial ? partialTransaction(before.rules, rules) : await this.everything(rules);
    if (text) await runOrThrow(command, 'iptables-restore', RESTORE, { input: text, timeoutMs: RESTORE_TIMEOUT_MS });
    this.written = { rules, ports };
    if (before) await this.conntrack.clean(before.ports, ports);
    metrics
      .histogram('skein_proxy_sync_seconds', 'Duration of writing the proxy rules', { labelNames: ['partial'] })
      .observe((clock.monotonicMs() - began) / 1000, { partial: String(partial) });
  }

  /** Leaves the rules, so that Services work while the agent restarts. */
  async stop(): Promise<void> {
    return Promise.resolve();
  }

  async cleanup(): Promise<void> {
    this.written = undefined;
    for (const table of ['filter', 'nat']) {
      const lines = (await runOrThrow(this.deps.command, 'iptables-save', ['-t', table])).split('\n');
      const chains = lines.flatMap((line) => /^:(KUBE-[A-Z0-9-]+) /.exec(line)?.[1] ?? []);
      const jumps = lines
        .filter((line) => /^-A (?!KUBE-).* -j KUBE-/.test(line))
        .map((line) => line.replace('-A', '-D'));
      const text = [
        `*${table}`,
        ...chains.map((chain) => `:${chain} - [0:0]`),
        ...jumps,
        ...chains.map((chain) => `-X ${chain}`),
        'COMMIT',
        '',
      ].join('\n');
      await runOrThrow(this.deps.command, 'iptables-restore', RESTORE, { input: text });
    }
  }

  /** The full text, with missing jumps put in front and chains that nothing wants any more deleted. */
  private async everything(rules: Rules): Promise<string> {
    const { command } = this.deps;
    if (this.options.localhostNodePorts) {
      await runOrThrow(command, 'sysctl', ['-qw', 'net/ipv4/conf/all/route_localnet=1']);
    }
    const saved = await Promise.all(
      ['filter', 'nat'].map((table) => runOrThrow(command, 'iptables-save', ['-t', table])),
    );
    const present = new Map(['filter', 'nat'].map((table, i) => [table, new Set(saved[i]?.split('\n'))]));
    const wanted = new Set([...rules.blocks.values()].flatMap((block) => [...block.keys()]));
    const stale = [...(present.get('nat') ?? [])]
      .flatMap((line) => (line.startsWith(':') ? [line.slice(1).split(' ')[0] ?? ''] : []))
      .filter((chain) => OURS.test(chain) && !wanted.has(chain));
    let text = fullTransaction(rules, stale);
    for (const table of ['filter', 'nat']) {
      const missing = JUMPS.filter(
        (jump) => jump.table === table && !present.get(table)?.has(`-A ${jump.chain} ${jump.rule}`),
      );
      if (missing.length === 0) continue;
      const lines = missing.reverse().map(({ chain, rule }) => `-I ${chain} 1 ${rule}`);
      text += [`*${table}`, ...lines, 'COMMIT', ''].join('\n');
    }
    return text;
  }
}
