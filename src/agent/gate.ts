/**
 * Whom this peer talks to, of those that the cluster's CA has signed for: nobody who was removed (`skein peer remove`), nobody
 * whose build cannot read what is written here, and nobody whose cluster writes what this build cannot read. Both sides judge
 * formats alike, so both say so. Before the store is read nobody is known to be removed; then it is made up for.
 */
import type { Clock } from '../base/clock.js';
import type { VersionRange } from '../base/version-range.js';
import type { Service } from '../base/lifecycle.js';
import type { Logger } from '../base/log.js';
import type { MembershipView } from '../p2p/membership-view.js';
import type { PeerId, PeerInfo } from '../p2p/transport.js';
import { StoreFollower } from '../store/follower.js';
import { FIRST_FORMAT, FORMATS, formatRefusal, type Formats } from '../store/formats.js';
import type { Replica } from '../store/replication/replica.js';
import { REGISTRY_OBJECT } from '../store/replication/peer-registry.js';
import { REVOKED_PEERS } from '../store/replication/revoked-peer.js';

/** How long a peer that finds itself removed goes on, in milliseconds: whoever asked it to do that waits for the answer. */
const FAREWELL_MS = 1_000;

export class Gate {
  private readonly revoked = new Set<string>();
  private level = FIRST_FORMAT;

  /** @param formats what the build knows. */
  constructor(private readonly formats: VersionRange = FORMATS) {}

  get own(): Formats {
    return { formats: this.formats, level: this.level };
  }

  /** Why that peer is not to be talked to, by its id and, once it has said hello, its formats; undefined when it may. */
  denied({ id, formats }: Pick<PeerInfo, 'id' | 'formats'>): string | undefined {
    if (this.revoked.has(id)) return 'removed from the cluster; it may join again with an empty data directory';
    return formats && formatRefusal(this.own, { formats, level: FIRST_FORMAT });
  }

  /** The same for what a hello says. */
  refusal(hello: Formats): string | undefined {
    return formatRefusal(this.own, hello);
  }

  isRevoked(id: string): boolean {
    return this.revoked.has(id);
  }

  /** @internal */
  revoke(ids: readonly string[]): void {
    for (const id of ids) this.revoked.add(id);
  }

  /** @internal True when it rose. */
  raise(level: number): boolean {
    if (level <= this.level) return false;
    this.level = level;
    return true;
  }
}

/** What the gatekeeper needs of the mesh. */
export interface GatedMesh {
  readonly transport: { readonly self: PeerInfo; enforceDenials(): void; forget(peer: PeerId): void };
  readonly membership: MembershipView & { forget(peer: PeerId): void };
}

/** Keeps the gate up to date with the store, and closes the connections that it forbids. */
export class Gatekeeper implements Service {
  readonly name = 'gatekeeper';
  private readonly follower: StoreFollower;
  private stops: (() => void)[] = [];

  /** @param onRemoved this peer itself was removed: it has to end. */
  constructor(
    private readonly deps: { readonly clock: Clock; readonly log: Logger },
    private readonly gate: Gate,
    private readonly mesh: GatedMesh,
    replica: Replica,
    private readonly onRemoved: () => void,
  ) {
    const { group, resource } = REGISTRY_OBJECT;
    const level = () => this.onLevel(replica.level);
    this.follower = new StoreFollower(
      this.name,
      replica,
      [
        {
          ...REVOKED_PEERS,
          reset: (objects) => this.revoke(objects.map(({ metadata }) => metadata.name ?? '')),
          changed: ({ type, key }) => {
            if (type !== 'DELETED') this.revoke([key.name]);
          },
        },
        { group, resource, reset: level, changed: level },
      ],
      deps.log,
    );
  }

  async start(): Promise<void> {
    this.stops = [this.mesh.membership.onChange(() => this.forgetDead())];
    await this.follower.start();
  }

  async stop(): Promise<void> {
    for (const stop of this.stops.splice(0)) stop();
    await this.follower.stop();
  }

  private revoke(ids: readonly string[]): void {
    const added = ids.filter((id) => !this.gate.isRevoked(id));
    if (added.length === 0) return;
    this.gate.revoke(added);
    const { self } = this.mesh.transport;
    if (added.includes(self.id)) this.stops.push(this.deps.clock.timer(FAREWELL_MS, this.onRemoved));
    this.mesh.transport.enforceDenials();
    for (const id of added) this.mesh.transport.forget(id as PeerId);
    this.forgetDead();
  }

  private onLevel(level: number): void {
    if (!this.gate.raise(level)) return;
    this.deps.log.info('the cluster writes a newer format', { level });
    this.mesh.transport.enforceDenials();
  }

  /** A removed peer is no member that is missed. */
  private forgetDead(): void {
    for (const { id, liveness } of this.mesh.membership.members())
      if (liveness === 'dead' && this.gate.isRevoked(id)) this.mesh.membership.forget(id);
  }
}
