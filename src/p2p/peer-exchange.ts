/**
 * Peers tell each other whom they know, so that everybody who belongs finds everybody else: a new connection is told all
 * known addresses, everybody is told of a new connection, and every peer gossips its own address at an interval, for those
 * that no neighbour told. Only hints: whoever is dialled still has to prove its membership. Bounded by {@link MAX_PEERS}
 * per message.
 */
import { pack, unpack } from 'msgpackr';
import type { Cancel, Clock } from '../base/clock.js';
import type { Service } from '../base/lifecycle.js';
import type { Logger } from '../base/log.js';
import type { PeerId, PeerInfo, Transport } from './transport.js';

/** The channel between neighbours and the gossip topic. */
const CHANNEL = 'peers';
const MAX_PEERS = 1_024;
const MAX_ADDRESSES = 16;

type Hint = readonly [id: string, addresses: readonly string[]];

export class PeerExchange implements Service {
  readonly name = 'peer-exchange';
  private stops: Cancel[] = [];

  constructor(
    private readonly deps: { readonly clock: Clock; readonly log: Logger },
    private readonly transport: Transport,
    /** Milliseconds between repetitions; 10,000 unless told. */
    private readonly options: { readonly intervalMs?: number } = {},
  ) {}

  start(): Promise<void> {
    this.stops = [
      this.transport.onMessage(CHANNEL, (from, message) => this.receive(from, message)),
      this.transport.onGossip(CHANNEL, (from, message) => this.receive(from, message)),
      this.transport.subscribe({
        onConnected: (peer) => {
          this.tell(peer.id, this.known(peer.id));
          for (const { id } of this.transport.peers()) if (id !== peer.id) this.tell(id, [hintOf(peer)]);
        },
        onDisconnected: () => undefined,
      }),
      this.deps.clock.interval(this.options.intervalMs ?? 10_000, () => {
        if (this.transport.peers().length > 0) this.transport.publish(CHANNEL, pack([hintOf(this.transport.self)]));
      }),
    ];
    return Promise.resolve();
  }

  stop(): Promise<void> {
    for (const stop of this.stops.splice(0)) stop();
    return Promise.resolve();
  }

  private known(except: PeerId): Hint[] {
    return this.transport
      .peers()
      .filter(({ id }) => id !== except)
      .slice(0, MAX_PEERS)
      .map(hintOf);
  }

  private tell(to: PeerId, hints: readonly Hint[]): void {
    if (hints.length > 0) this.transport.send(to, CHANNEL, pack(hints));
  }

  private receive(from: PeerId | undefined, message: Uint8Array): void {
    const hints = readHints(message);
    if (!hints) this.deps.log.warn('dropped a list of peers that could not be read', { from });
    const connected = new Set(this.transport.peers().map(({ id }) => id));
    for (const [id, addresses] of hints ?? []) {
      if (id === this.transport.self.id || connected.has(id as PeerId)) continue;
      this.transport.addAddresses({ id: id as PeerId, addresses });
    }
  }
}

const hintOf = ({ id, addresses }: PeerInfo): Hint => [id, addresses.slice(0, MAX_ADDRESSES)];

function readHints(message: Uint8Array): Hint[] | undefined {
  try {
    const value: unknown = unpack(message);
    if (!Array.isArray(value)) return undefined;
    return value.slice(0, MAX_PEERS).filter(isHint);
  } catch {
    return undefined;
  }
}

function isHint(value: unknown): value is Hint {
  if (!Array.isArray(value)) return false;
  const [id, addresses] = value as unknown[];
  return (
    typeof id === 'string' &&
    Array.isArray(addresses) &&
    addresses.length <= MAX_ADDRESSES &&
    addresses.every((address) => typeof address === 'string')
  );
}
