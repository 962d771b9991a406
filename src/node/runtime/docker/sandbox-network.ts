/**
 * The addresses of sandboxes. `PodNetwork.attach` is idempotent, so nothing is stored: a runtime that starts again
 * attaches what runs once more and learns the addresses from the answer. One attach at a time per sandbox.
 */
import type { PodNetwork } from '../runtime.js';

export class SandboxNetwork {
  private readonly addresses = new Map<string, readonly string[]>();
  private readonly attaching = new Map<string, Promise<readonly string[]>>();

  constructor(private readonly network: PodNetwork | undefined) {}

  get managed(): boolean {
    return this.network !== undefined;
  }

  /** The addresses of a sandbox that was attached; undefined otherwise. */
  of(sandboxId: string): readonly string[] | undefined {
    return this.addresses.get(sandboxId);
  }

  async attach(sandboxId: string, pid: number): Promise<readonly string[]> {
    const network = this.network;
    if (!network) return [];
    const known = this.addresses.get(sandboxId) ?? this.attaching.get(sandboxId);
    if (known) return known;
    const pending = network.attach(sandboxId, pid).then((ips) => {
      this.addresses.set(sandboxId, ips);
      return ips;
    });
    this.attaching.set(sandboxId, pending);
    try {
      return await pending;
    } finally {
      this.attaching.delete(sandboxId);
    }
  }

  async detach(sandboxId: string): Promise<void> {
    await this.attaching.get(sandboxId)?.catch(() => undefined);
    this.addresses.delete(sandboxId);
    await this.network?.detach(sandboxId);
  }
}
