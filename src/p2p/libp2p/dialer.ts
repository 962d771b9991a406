/**
 * Keeps trying to reach every peer that is known, for ever, with capped back-off. Of two peers that know each other the
 * one with the lower id dials; the other one waits a little and then dials as well, in case only its way is open.
 */
import { backoffMs } from '../../base/backoff.js';
import type { Cancel, Clock } from '../../base/clock.js';
import type { Random } from '../../base/random.js';
import type { AddressBookEntry } from './admission.js';
import { parseHostPort } from './address.js';

export interface DialerOptions {
  /** First and longest wait between tries, in milliseconds. */
  readonly baseMs: number;
  readonly maxMs: number;
  /** How much longer the peer with the higher id waits, in milliseconds. */
  readonly politenessMs: number;
  /** How many peers and addresses are remembered; those that failed most often go first. */
  readonly maxTargets: number;
}

interface Target {
  readonly key: string;
  readonly id: string | undefined;
  addresses: readonly string[];
  failures: number;
  state: 'waiting' | 'dialing' | 'connected';
  cancel: Cancel;
}

/** How many addresses of one peer are kept. */
const MAX_ADDRESSES = 16;

export class Dialer {
  private readonly targets = new Map<string, Target>();
  private stopped = true;

  /** @param dial tries once; resolves when connected (or already so), rejects otherwise. */
  constructor(
    private readonly selfId: string,
    private readonly deps: { readonly clock: Clock; readonly random: Random },
    private readonly options: DialerOptions,
    private readonly dial: (id: string | undefined, addresses: readonly string[]) => Promise<void>,
    private readonly onChange: () => void,
  ) {}

  start(): void {
    this.stopped = false;
    for (const target of this.targets.values()) if (target.state === 'waiting') this.schedule(target);
  }

  stop(): void {
    this.stopped = true;
    for (const target of this.targets.values()) target.cancel();
  }

  /** Learns where a peer is. Its most recently told addresses come first. */
  add(id: string | undefined, addresses: readonly string[], ownAddresses: readonly string[]): void {
    const usable = addresses.filter((address) => parseHostPort(address) && !ownAddresses.includes(address));
    if (id === this.selfId || usable.length === 0) return;
    if (id === undefined) {
      for (const address of usable) if (!this.knows(address)) this.insert(address, undefined, [address]);
      return;
    }
    const present = this.targets.get(id);
    const merged = [...new Set([...usable, ...(present?.addresses ?? [])])].slice(0, MAX_ADDRESSES);
    for (const address of merged) this.remove(address);
    if (!present) this.insert(id, id, merged);
    else if (merged.join() !== present.addresses.join()) {
      present.addresses = merged;
      present.failures = 0;
      if (present.state === 'waiting') this.schedule(present);
      this.onChange();
    }
  }

  /** That peer is connected; `via` is the address it was dialled at, if it was dialled. */
  connected(id: string, addresses: readonly string[], via: string | undefined, ownAddresses: readonly string[]): void {
    this.add(id, via === undefined ? addresses : [...addresses, via], ownAddresses);
    if (via !== undefined) this.remove(via);
    const target = this.targets.get(id);
    if (!target) return;
    target.cancel();
    target.state = 'connected';
    target.failures = 0;
  }

  disconnected(id: string): void {
    const target = this.targets.get(id);
    if (!target) return;
    target.state = 'waiting';
    this.schedule(target);
  }

  /** Stops trying to reach that peer. */
  forget(id: string): void {
    this.remove(id);
    this.onChange();
  }

  addressesOf(id: string): readonly string[] {
    return this.targets.get(id)?.addresses ?? [];
  }

  entries(): readonly AddressBookEntry[] {
    return [...this.targets.values()].map(({ id, addresses }) =>
      id === undefined ? { addresses } : { id, addresses },
    );
  }

  private knows(address: string): boolean {
    for (const target of this.targets.values()) if (target.addresses.includes(address)) return true;
    return false;
  }

  private insert(key: string, id: string | undefined, addresses: readonly string[]): void {
    if (this.targets.size >= this.options.maxTargets) this.evict();
    const target: Target = { key, id, addresses, failures: 0, state: 'waiting', cancel: () => undefined };
    this.targets.set(key, target);
    this.schedule(target);
    this.onChange();
  }

  private evict(): void {
    let worst: Target | undefined;
    for (const target of this.targets.values())
      if (target.state !== 'connected' && target.failures >= (worst?.failures ?? 0)) worst = target;
    if (worst) this.remove(worst.key);
  }

  private remove(key: string): void {
    this.targets.get(key)?.cancel();
    this.targets.delete(key);
  }

  private schedule(target: Target): void {
    target.cancel();
    if (this.stopped) return;
    const { baseMs, maxMs } = this.options;
    const polite = target.id !== undefined && target.id < this.selfId ? this.options.politenessMs : 0;
    const retry = backoffMs(target.failures, { baseMs, maxMs, jitter: 0.5 }, this.deps.random);
    target.cancel = this.deps.clock.timer(polite + (target.failures === 0 ? 0 : retry), () => {
      target.state = 'dialing';
      this.dial(target.id, target.addresses).then(
        () => this.ended(target, false),
        () => this.ended(target, true),
      );
    });
  }

  /** A try is over. One that succeeded still counts as failed until the peer is admitted. */
  private ended(target: Target, failed: boolean): void {
    if (this.targets.get(target.key) !== target || target.state !== 'dialing') return;
    target.failures += failed || target.id !== undefined ? 1 : 2;
    target.state = 'waiting';
    this.schedule(target);
  }
}
