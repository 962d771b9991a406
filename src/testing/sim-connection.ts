/** A connection of a simulated network, and what is under way on it. */
import type { PeerId } from '../p2p/transport.js';
import type { SimTransport } from './sim-transport.js';

/** Everything at one end of a connection. */
export interface End {
  readonly owner: SimTransport;
  open: boolean;
  /** What is under way to this end. */
  readonly lanes: Map<string, Lane>;
  inFlightBytes: number;
}

/** One channel in one direction: a queue, and arrivals that each let its first message through. */
export interface Lane {
  readonly queue: Uint8Array[];
  lastArrivalMs: number;
  /** Arrivals that happened while the way was cut or the receiver frozen. */
  stalled: number;
}

/** A connection between two started transports. Each end learns of its end by itself, like with TCP. */
export class SimConnection {
  readonly ends: readonly [End, End];

  constructor(a: SimTransport, b: SimTransport) {
    this.ends = [newEnd(a), newEnd(b)];
  }

  end(id: PeerId): End {
    return this.ends[0].owner.self.id === id ? this.ends[0] : this.ends[1];
  }

  far(id: PeerId): End {
    return this.ends[0].owner.self.id === id ? this.ends[1] : this.ends[0];
  }
}

function newEnd(owner: SimTransport): End {
  return { owner, open: true, lanes: new Map(), inFlightBytes: 0 };
}
