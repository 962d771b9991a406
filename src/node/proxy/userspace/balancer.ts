/** Picks an endpoint for each new flow: round robin, or the one that a client had within the affinity time. */
import type { EndpointState, ServicePortState } from '../model.js';

/** Clients remembered per Service port; the one that was seen longest ago goes first. */
const MAX_CLIENTS = 10_000;

export class Balancer {
  private next = 0;
  private readonly clients = new Map<string, { endpoint: string; seenMs: number }>();

  /** Undefined when nobody can answer. */
  pick(port: ServicePortState, client: string, nowMs: number, external: boolean): EndpointState | undefined {
    const isLocal = external ? port.externalLocal : port.internalLocal;
    const endpoints = isLocal ? port.local : port.cluster;
    if (endpoints.length === 0) return undefined;
    const remembered = this.clients.get(client);
    if (port.affinitySeconds > 0 && remembered && nowMs - remembered.seenMs <= port.affinitySeconds * 1000) {
      const again = endpoints.find((at) => `${at.ip}:${at.port}` === remembered.endpoint);
      if (again) return this.remember(client, again, nowMs);
    }
    const chosen = endpoints[this.next++ % endpoints.length];
    if (!chosen || port.affinitySeconds === 0) return chosen;
    return this.remember(client, chosen, nowMs);
  }

  private remember(client: string, at: EndpointState, seenMs: number): EndpointState {
    this.clients.delete(client);
    this.clients.set(client, { endpoint: `${at.ip}:${at.port}`, seenMs });
    if (this.clients.size > MAX_CLIENTS)
      for (const oldest of this.clients.keys()) {
        this.clients.delete(oldest);
        break;
      }
    return at;
  }
}
