/**
 * Services without iptables: TCP and UDP are forwarded by this process. NodePorts listen on all addresses; cluster IPs and
 * external IPs are put on the loopback device (`ip addr replace`), where that is allowed, so that this machine and its
 * host-network pods reach them.
 *
 * Not done here, because it needs the kernel: SCTP, host ports, source ranges of load balancers, and the client's source
 * address at the endpoint.
 */
import type { Command } from '../../../base/command.js';
import type { Clock } from '../../../base/clock.js';
import { errorText, type Logger } from '../../../base/log.js';
import type { EndpointState, ProxyState, ServicePortState } from '../model.js';
import type { Proxier } from '../proxier.js';
import { Balancer } from './balancer.js';
import { listenTcp, listenUdp, type Listener, type ListenerDeps } from './listener.js';

export interface UserspaceProxierDeps {
  readonly command: Command;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface UserspaceProxierOptions {
  /** Most connections and UDP flows at once, over all Services. */
  readonly maxConnections: number;
  /** An idle UDP flow ends after so many milliseconds. */
  readonly udpIdleMs: number;
}

interface Entry {
  port: ServicePortState;
  readonly external: boolean;
  readonly address: string;
  readonly listenPort: number;
}

interface Opened {
  readonly entry: Entry;
  readonly balancer: Balancer;
  /** Undefined when listening failed; tried again at each sync. */
  listener: Listener | undefined;
}

export class UserspaceProxier implements Proxier {
  private readonly opened = new Map<string, Opened>();
  private readonly addresses = new Set<string>();
  private connections = 0;
  private readonly complaints = new Set<string>();

  constructor(
    private readonly deps: UserspaceProxierDeps,
    private readonly options: UserspaceProxierOptions,
  ) {}

  async sync(state: ProxyState, full: boolean): Promise<void> {
    const wanted = entries(state);
    for (const [key, { listener }] of this.opened) {
      if (wanted.has(key)) continue;
      this.opened.delete(key);
      this.complaints.delete(key);
      await listener?.close();
    }
    await this.syncAddresses(wanted, full);
    for (const [key, entry] of wanted) {
      const present = this.opened.get(key);
      if (present && present.entry.port !== entry.port) {
        present.entry.port = entry.port;
        const wantedNow = new Set([...entry.port.cluster, ...entry.port.local].map(({ ip, port }) => `${ip}:${port}`));
        present.listener?.retain(({ ip, port }) => wantedNow.has(`${ip}:${port}`));
      }
      const opened = present ?? { entry, balancer: new Balancer(), listener: undefined };
      this.opened.set(key, opened);
      if (!opened.listener) await this.open(key, opened);
    }
  }

  async stop(): Promise<void> {
    for (const { listener } of this.opened.values()) await listener?.close();
    this.opened.clear();
    await this.syncAddresses(new Map(), false);
  }

  cleanup(): Promise<void> {
    return this.stop();
  }

  private async open(key: string, opened: Opened): Promise<void> {
    const { entry } = opened;
    const deps: ListenerDeps = {
      clock: this.deps.clock,
      udpIdleMs: this.options.udpIdleMs,
      pick: (client) => this.pick(opened, client),
      acquire: () => {
        if (this.connections >= this.options.maxConnections) return false;
        this.connections++;
        return true;
      },
      release: () => this.connections--,
    };
    const listen = entry.port.protocol === 'TCP' ? listenTcp : listenUdp;
    try {
      opened.listener = await listen(entry.address, entry.listenPort, deps);
      this.complaints.delete(key);
    } catch (error) {
      if (this.complaints.has(key)) return;
      this.complaints.add(key);
      this.deps.log.warn('cannot listen for a Service', { service: entry.port.name, key, error: errorText(error) });
    }
  }

  private pick({ entry, balancer }: Opened, client: string): EndpointState | undefined {
    return balancer.pick(entry.port, client, this.deps.clock.monotonicMs(), entry.external);
  }

  /** What cannot be added (no right to) shows when listening fails. */
  private async syncAddresses(wanted: ReadonlyMap<string, Entry>, full: boolean): Promise<void> {
    const needed = new Set([...wanted.values()].map(({ address }) => address));
    needed.delete('0.0.0.0');
    for (const address of this.addresses) {
      if (needed.has(address)) continue;
      this.addresses.delete(address);
      await this.ip('del', address);
    }
    for (const address of needed) {
      // "replace": what an earlier run left is ours, too.
      if ((full || !this.addresses.has(address)) && (await this.ip('replace', address))) this.addresses.add(address);
    }
  }

  private async ip(action: 'replace' | 'del', address: string): Promise<boolean> {
    try {
      const { code } = await this.deps.command.run('ip', ['addr', action, `${address}/32`, 'dev', 'lo']);
      return code === 0;
    } catch {
      return false;
    }
  }
}

function entries(state: ProxyState): ReadonlyMap<string, Entry> {
  const wanted = new Map<string, Entry>();
  for (const port of state.services) {
    if (port.protocol === 'SCTP') continue;
    const add = (address: string, listenPort: number, external: boolean) => {
      wanted.set(`${port.protocol} ${address}:${listenPort}`, { port, external, address, listenPort });
    };
    add(port.clusterIp, port.port, false);
    for (const ip of [...port.externalIps, ...port.loadBalancerIps]) add(ip, port.port, true);
    if (port.nodePort > 0) add('0.0.0.0', port.nodePort, true);
  }
  return wanted;
}
