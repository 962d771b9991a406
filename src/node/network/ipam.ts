/**
 * Addresses of this node's pods, persisted as one file per address (the way of the `host-local` CNI plugin): the file's
 * name is the address, its content the sandbox id. A claim is one `link(2)`, so a crash leaves an address either taken
 * with its owner's id or free. Addresses go round, so that a freed one is not handed out again at once.
 *
 * One instance per directory. Calls may overlap.
 */
import { link, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { contains, formatIp, parseIp, sizeOf, type Cidr } from '../../base/ipv4.js';
import { gatewayOf } from './cidr.js';

/** The pod CIDR has no free address. */
export class AddressesExhaustedError extends Error {
  readonly code = 'ERR_ADDRESSES_EXHAUSTED';
}

const LAST_FILE = 'last-reserved-ip';

export class AddressPool {
  private readonly owners = new Map<number, string>();
  private readonly bySandbox = new Map<string, number>();
  private last = 0;
  private writes = 0;

  constructor(private readonly directory: string) {}

  /** Reads what earlier runs left. Must come first. */
  async load(): Promise<void> {
    await mkdir(this.directory, { recursive: true, mode: 0o700 });
    for (const name of await readdir(this.directory)) {
      if (name.startsWith('.claim-')) await rm(join(this.directory, name), { force: true });
      const ip = parseIp(name);
      if (ip === undefined) continue;
      const owner = (await readFile(join(this.directory, name), 'utf8')).trim();
      this.owners.set(ip, owner);
      this.bySandbox.set(owner, ip);
    }
    this.last = parseIp(await readFile(join(this.directory, LAST_FILE), 'utf8').catch(() => '')) ?? 0;
  }

  addressOf(sandboxId: string): string | undefined {
    const ip = this.bySandbox.get(sandboxId);
    return ip === undefined ? undefined : formatIp(ip);
  }

  get sandboxes(): readonly string[] {
    return [...this.bySandbox.keys()];
  }

  /** The sandbox's address, new or as before. Throws {@link AddressesExhaustedError}. */
  async claim(sandboxId: string, cidr: Cidr): Promise<string> {
    const present = this.bySandbox.get(sandboxId);
    if (present !== undefined && contains(cidr, present)) return formatIp(present);
    if (present !== undefined) await this.release(sandboxId);
    const ip = this.nextFree(cidr);
    this.owners.set(ip, sandboxId);
    this.bySandbox.set(sandboxId, ip);
    this.last = ip;
    const text = formatIp(ip);
    const draft = join(this.directory, `.claim-${process.pid}-${this.writes++}`);
    try {
      await writeFile(draft, sandboxId);
      await link(draft, join(this.directory, text));
      await writeFile(join(this.directory, LAST_FILE), text);
    } catch (error) {
      this.owners.delete(ip);
      this.bySandbox.delete(sandboxId);
      throw error;
    } finally {
      await rm(draft, { force: true });
    }
    return text;
  }

  async release(sandboxId: string): Promise<void> {
    const ip = this.bySandbox.get(sandboxId);
    if (ip === undefined) return;
    // The file first: an address must not be free here while it is still taken on disk.
    await rm(join(this.directory, formatIp(ip)), { force: true });
    this.bySandbox.delete(sandboxId);
    this.owners.delete(ip);
  }

  private nextFree(cidr: Cidr): number {
    const first = gatewayOf(cidr) + 1;
    const count = sizeOf(cidr) - 3;
    const start = contains(cidr, this.last) && this.last >= first ? this.last - first + 1 : 0;
    for (let i = 0; i < count; i++) {
      const ip = first + ((start + i) % count);
      if (!this.owners.has(ip)) return ip;
    }
    throw new AddressesExhaustedError(`no free address among the ${Math.max(count, 0)} of this node's pod CIDR`);
  }
}
