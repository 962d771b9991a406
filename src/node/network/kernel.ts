/** Reads the kernel's network state and carries a {@link NetworkPlan} out, by means of iproute2 and iptables. */
import { runOrThrow, type Command } from '../../base/command.js';
import {
  planIptablesRemoval,
  ROUTE_PROTOCOL,
  sysctlKeys,
  type NetworkPlan,
  type NetworkSettings,
  type Observed,
} from './plan.js';

interface IpAddr {
  readonly ifname: string;
  readonly mtu: number;
  readonly flags: readonly string[];
  readonly address?: string;
  readonly addr_info: readonly { readonly family: string; readonly local: string; readonly prefixlen: number }[];
}

/** `ip -j` prints nothing at all for an empty list. */
const parse = <T>(text: string): readonly T[] => (text.trim() === '' ? [] : (JSON.parse(text) as readonly T[]));

export class Kernel {
  constructor(
    private readonly command: Command,
    private readonly settings: NetworkSettings,
  ) {}

  async observe(): Promise<Observed> {
    const { command, settings } = this;
    const run = (program: string, ...args: string[]) => runOrThrow(command, program, args);
    const [links, routes, filter, nat, sysctls] = await Promise.all([
      run('ip', '-j', 'addr', 'show'),
      run('ip', '-j', '-4', 'route', 'show', 'proto', String(ROUTE_PROTOCOL)),
      run('iptables-save', '-t', 'filter'),
      run('iptables-save', '-t', 'nat'),
      this.sysctls(),
    ]);
    const found = parse<IpAddr>(links);
    const tunnel = found.some(({ ifname }) => ifname === settings.vxlanDevice);
    const [neighbours, forwarding] = tunnel
      ? await Promise.all([
          run('ip', '-j', '-4', 'neigh', 'show', 'dev', settings.vxlanDevice, 'nud', 'permanent'),
          run('bridge', '-j', 'fdb', 'show', 'dev', settings.vxlanDevice),
        ])
      : ['', ''];
    return {
      links: found.map((link) => ({
        name: link.ifname,
        up: link.flags.includes('UP'),
        mtu: link.mtu,
        mac: link.address ?? '',
        addresses: link.addr_info.filter(({ family }) => family === 'inet').map((a) => `${a.local}/${a.prefixlen}`),
      })),
      routes: parse<{ dst: string; gateway?: string; dev?: string }>(routes).map(({ dst, gateway, dev }) => ({
        dst,
        gateway,
        dev,
      })),
      neighbours: new Map(
        parse<{ dst: string; lladdr?: string }>(neighbours).map(({ dst, lladdr }) => [dst, lladdr ?? '']),
      ),
      forwarding: new Map(
        parse<{ mac: string; dst?: string }>(forwarding).flatMap(({ mac, dst }) => (dst ? [[mac, dst] as const] : [])),
      ),
      iptables: filter + nat,
      sysctls,
    };
  }

  async execute(plan: NetworkPlan): Promise<void> {
    const { command } = this;
    const batch = async (program: string, lines: readonly string[]) => {
      if (lines.length > 0) await runOrThrow(command, program, ['-batch', '-'], { input: `${lines.join('\n')}\n` });
    };
    await batch('ip', plan.ip);
    await batch('bridge', plan.fdb);
    if (plan.iptables)
      await runOrThrow(command, 'iptables-restore', ['--noflush', '-w', '5'], { input: plan.iptables });
    if (plan.sysctls.length > 0) await runOrThrow(command, 'sysctl', ['-qw', ...plan.sysctls]);
  }

  /** Removes devices, routes and chains. What is already gone is fine. */
  async remove(): Promise<void> {
    const { command, settings } = this;
    await command.run('ip', ['-4', 'route', 'flush', 'proto', String(ROUTE_PROTOCOL)]);
    await command.run('ip', ['link', 'del', settings.vxlanDevice]);
    await command.run('ip', ['link', 'del', settings.bridge]);
    const saved = await Promise.all(
      ['filter', 'nat'].map((table) => runOrThrow(command, 'iptables-save', ['-t', table])),
    );
    const text = planIptablesRemoval(saved.join(''));
    if (text) await runOrThrow(command, 'iptables-restore', ['--noflush', '-w', '5'], { input: text });
  }

  private async sysctls(): Promise<ReadonlyMap<string, string>> {
    // Keys of devices that do not exist yet fail, and are then set by the plan.
    const { stdout } = await this.command.run('sysctl', ['-e', ...sysctlKeys(this.settings)]);
    return new Map(
      stdout.split('\n').flatMap((line) => {
        const [key, value] = line.split(' = ');
        return key && value !== undefined ? [[normalize(key), value.trim()] as const] : [];
      }),
    );
  }
}

/** `net.ipv4.conf.skein/vxlan.rp_filter`, as sysctl prints a device with a dot, in the form with slashes. */
function normalize(key: string): string {
  return key.replace(/[./]/g, (char) => (char === '.' ? '/' : '.'));
}
