/**
 * The cluster's DNS on this node: a server on the bridge's address, and this node's own slice of `kube-system/kube-dns`.
 * The Service's internal traffic policy is Local, so every pod asks the server of its own node.
 */
import { readFileSync } from 'node:fs';
import type { Clock } from '../base/clock.js';
import type { Service } from '../base/lifecycle.js';
import type { Logger } from '../base/log.js';
import type { Metrics } from '../base/metrics.js';
import type { Random } from '../base/random.js';
import { isAlreadyExists } from '../api/errors.js';
import { ENDPOINTSLICES } from '../api/resource.js';
import type { EndpointSlice } from '../api/types/discovery-v1.js';
import type { Client } from '../client/client.js';
import { Controller } from '../client/controller.js';
import { DnsServer } from '../node/dns/dns-server.js';

interface Deps {
  readonly client: Client;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
}

const PORT = 53;
const NAMESPACE = 'kube-system';

export class NodeDns implements Service {
  readonly name = 'node-dns';
  private readonly controller: Controller;
  private gateway: string | undefined;
  private server: DnsServer | undefined;

  constructor(
    private readonly deps: Deps,
    private readonly options: { readonly nodeName: string; readonly clusterDomain: string },
  ) {
    this.controller = new Controller(deps, { name: 'node-dns', waitFor: [], reconcile: () => this.reconcile() });
  }

  /** The bridge is there: serve on its address. */
  serveAt(gateway: string): void {
    this.gateway = gateway;
    this.controller.queue.add('dns');
  }

  start(): Promise<void> {
    return this.controller.start();
  }

  async stop(): Promise<void> {
    await this.controller.stop();
    await this.server?.stop();
    this.server = undefined;
  }

  private async reconcile(): Promise<void> {
    const { gateway } = this;
    if (gateway === undefined) return;
    if (!this.server) {
      const server = new DnsServer(this.deps, {
        addresses: [{ ip: gateway, port: PORT }],
        upstream: machineResolvers().map((ip) => ({ ip, port: PORT })),
        clusterDomain: this.options.clusterDomain,
      });
      await server.start();
      this.server = server;
    }
    await this.publish(gateway);
  }

  private async publish(gateway: string): Promise<void> {
    const { nodeName } = this.options;
    const slice: EndpointSlice = {
      metadata: {
        name: `kube-dns-${nodeName}`,
        namespace: NAMESPACE,
        labels: {
          'kubernetes.io/service-name': 'kube-dns',
          'endpointslice.kubernetes.io/managed-by': 'node-dns.skein.dev',
        },
      },
      addressType: 'IPv4',
      endpoints: [{ addresses: [gateway], conditions: { ready: true, serving: true, terminating: false }, nodeName }],
      ports: [
        { name: 'dns', port: PORT, protocol: 'UDP' },
        { name: 'dns-tcp', port: PORT, protocol: 'TCP' },
      ],
    };
    try {
      await this.deps.client.create(ENDPOINTSLICES, slice);
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
      const name = slice.metadata.name as string;
      const { endpoints, ports } = slice;
      await this.deps.client.patch(ENDPOINTSLICES, NAMESPACE, name, 'merge', { endpoints, ports });
    }
  }
}

/** The nameservers of resolv.conf(5) that are IPv4 addresses. */
export function machineResolvers(path = '/etc/resolv.conf'): string[] {
  return resolvLines(path, 'nameserver').filter((ip) => /^\d+\.\d+\.\d+\.\d+$/.test(ip));
}

/** All values of a keyword in resolv.conf(5); none when there is no such file. */
export function resolvLines(path: string, keyword: string): string[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return [];
  }
  return text
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([first]) => first === keyword)
    .flatMap(([, ...values]) => values);
}
