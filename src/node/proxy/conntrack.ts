/**
 * Forgets UDP flows that the kernel would go on sending to endpoints that are gone, or to nowhere: TCP ends by itself,
 * UDP has no end. Needs the `conntrack` program; without it such flows last until they time out, which is logged once.
 */
import type { Command } from '../../base/command.js';
import { errorText, type Logger } from '../../base/log.js';
import type { ServicePortState } from './model.js';

/** Arguments of the `conntrack -D` calls for a change. Pure. */
export function staleFlows(
  before: ReadonlyMap<string, ServicePortState>,
  after: ReadonlyMap<string, ServicePortState>,
): string[][] {
  const calls: string[][] = [];
  const forget = (...args: string[]) => calls.push(['-D', '-p', 'udp', ...args]);
  const addresses = (port: ServicePortState) => [port.clusterIp, ...port.externalIps, ...port.loadBalancerIps];
  for (const [key, old] of before) {
    const now = after.get(key);
    if (old.protocol !== 'UDP' || old === now) continue;
    const usable = new Set(now?.cluster.map(({ ip, port }) => `${ip}:${port}`));
    for (const { ip, port } of old.cluster) {
      if (usable.has(`${ip}:${port}`)) continue;
      for (const address of addresses(old)) forget('--orig-dst', address, '--dst-nat', ip);
      if (old.nodePort > 0) forget('--orig-port-dst', String(old.nodePort), '--dst-nat', ip);
    }
  }
  for (const [key, now] of after) {
    const old = before.get(key);
    if (now.protocol !== 'UDP' || old === now || now.cluster.length === 0 || (old && old.cluster.length > 0)) continue;
    // Flows from before there was an endpoint are not translated.
    for (const address of addresses(now)) forget('--orig-dst', address);
    if (now.nodePort > 0) forget('--orig-port-dst', String(now.nodePort));
  }
  return calls;
}

export class ConntrackCleaner {
  private available = true;

  constructor(
    private readonly command: Command,
    private readonly log: Logger,
  ) {}

  async clean(
    before: ReadonlyMap<string, ServicePortState>,
    after: ReadonlyMap<string, ServicePortState>,
  ): Promise<void> {
    if (!this.available) return;
    for (const args of staleFlows(before, after)) {
      try {
        const { code, stderr } = await this.command.run('conntrack', args);
        if (code === 127 || /failed to execute/.test(stderr)) throw new Error(stderr.trim());
        // Code 1 with "0 flow entries" only says that there was nothing to forget.
      } catch (error) {
        this.available = false;
        this.log.warn('UDP flows to removed endpoints last until they time out: `conntrack` cannot be run', {
          error: errorText(error),
        });
        return;
      }
    }
  }
}
