/** Connections that did not come about because one side did not want the other: for the log, in bounds, and for status. */
import type { Clock } from '../../base/clock.js';
import type { Logger } from '../../base/log.js';

export interface Refusal {
  readonly peer: string;
  /** The node's name, when the peer proved it. */
  readonly name?: string;
  readonly address: string;
  readonly reason: string;
  /** Who refused whom. */
  readonly by: 'self' | 'peer';
}

/** Peers that are remembered; the one that was refused longest ago goes first. */
const MAX_PEERS = 64;
/** They try again for ever: the same reason is said in the log once in this time, in milliseconds. */
const REPEAT_MS = 60_000;
/** What has not happened for so long is over, in milliseconds: dials come every few seconds. */
const STALE_MS = 30_000;

export class Refusals {
  private readonly known = new Map<string, { refusal: Refusal; loggedMs: number; seenMs: number }>();

  constructor(private readonly deps: { readonly clock: Clock; readonly log: Logger }) {}

  note(refusal: Refusal): void {
    const { peer, name, address, reason, by } = refusal;
    const now = this.deps.clock.monotonicMs();
    const before = this.known.get(peer);
    const isNew = before?.refusal.reason !== reason || now - before.loggedMs >= REPEAT_MS;
    if (isNew) {
      const fields = { peer, address, reason, ...(name === undefined ? {} : { node: name }) };
      this.deps.log.warn(by === 'self' ? 'refused a peer' : 'was refused by a peer', fields);
    }
    this.known.delete(peer);
    this.known.set(peer, { refusal, loggedMs: isNew ? now : (before?.loggedMs ?? now), seenMs: now });
    if (this.known.size <= MAX_PEERS) return;
    for (const oldest of this.known.keys()) {
      this.known.delete(oldest);
      break;
    }
  }

  /** The two are connected: nothing stands between them any more. */
  clear(peer: string): void {
    this.known.delete(peer);
  }

  list(): readonly Refusal[] {
    const since = this.deps.clock.monotonicMs() - STALE_MS;
    return [...this.known.values()].filter(({ seenMs }) => seenMs >= since).map(({ refusal }) => refusal);
  }
}
