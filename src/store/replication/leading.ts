/** Being the sequencer among other peers: begins and ends the reign, takes in whoever is outside, brings strays over. */
import { compareEpochs, sameEpoch, type Epoch, type Position } from '../log-entry.js';
import type { Allegiance } from './allegiance.js';
import type { ReplicaContext } from './context.js';
import type { Message, SyncMessage } from './messages.js';
import { Reign, type ReignEvents } from './reign.js';
import { isRevoked } from './revoked-peer.js';
import { SyncServer } from './sync-server.js';
import { compareComponents, componentOf, type Component, type PeerState } from './view.js';

export class Leading {
  private syncServer: SyncServer | undefined;
  /** When a peer was last asked to join. */
  private readonly invited = new Map<string, number>();

  constructor(
    private readonly context: ReplicaContext,
    private readonly allegiance: Allegiance,
    /** Asks all living peers for a new epoch. */
    private readonly stand: (component: Component) => void,
  ) {
    // Else a peer whose answers take longer than the log reaches back is brought over again and again, without an end.
    context.state.neededFrom = () =>
      Math.min(allegiance.reign?.neededFrom ?? Infinity, this.syncServer?.neededFrom ?? Infinity);
  }

  begin(epoch: Epoch, heads: ReadonlyMap<string, Position>, takesIn: boolean): void {
    const { allegiance, context } = this;
    allegiance.mode = 'leading';
    this.invited.clear();
    const isCurrent = () => allegiance.reign === reign;
    const events: ReignEvents = {
      onView: (view) => {
        if (isCurrent()) allegiance.tookView(view);
      },
      onDiverged: (peer) => {
        if (isCurrent()) this.syncServer?.start(peer);
      },
      onSyncVoid: (peer) => this.syncServer?.forget(peer),
      onUnfollowed: (peer, promised, state) => {
        if (isCurrent()) this.onUnfollowed(peer, promised, state);
      },
    };
    const reign: Reign = new Reign(context, epoch, heads, allegiance.lastRoles, events, takesIn);
    allegiance.reign = reign;
    const server = new SyncServer(context, reign, () =>
      reign.view.voters.flatMap((peer) => context.nameOf(peer) ?? []),
    );
    this.syncServer = server;
    context.log.info('leads', {
      epoch: epoch.n,
      members: reign.view.members.length,
      revision: context.state.head.revision,
    });
    reign.start();
    for (const peer of heads.keys()) if (!reign.view.voters.includes(peer)) server.start(peer);
    allegiance.broadcastState();
  }

  /** Gives up the reign, if there is one. */
  abdicate(): void {
    const { reign } = this.allegiance;
    if (!reign) return;
    this.allegiance.reign = undefined;
    this.syncServer = undefined;
    this.allegiance.lastRoles = reign.view.roles;
    reign.stop();
  }

  /** Level-triggered: lets dead members go, and takes in living peers outside, or their whole group if ours is the larger. */
  tend(): void {
    const { context, allegiance } = this;
    const { reign } = allegiance;
    if (!reign) return;
    if (isRevoked(context.state.table, context.self)) {
      allegiance.becomeIdle('this peer was removed from the cluster');
      return;
    }
    const alive = context.alive();
    reign.setAlive(alive);
    for (const peer of alive) {
      if (reign.view.members.includes(peer)) continue;
      const state = allegiance.peerStates.get(peer);
      if (!state) continue;
      const isLed = state.size > 0 && alive.includes(state.leader) && state.leader !== context.self;
      if (!isLed) {
        this.invite(peer, reign);
        continue;
      }
      const mine = componentOf(reign.view);
      if (compareComponents(mine, state) > 0) {
        context.log.info('takes in another group', { leader: state.leader, size: state.size });
        allegiance.see(state.epoch);
        this.stand(mine);
        return;
      }
    }
  }

  /** False when the promise is none for this reign. */
  onPromise(from: string, epoch: Epoch, head: Position): boolean {
    const { reign } = this.allegiance;
    if (!reign || !sameEpoch(reign.epoch, epoch)) return false;
    reign.admit(from, head);
    return true;
  }

  /** An invited peer obeys a higher epoch but nobody leads it: only a new reign can take it in. */
  onRefuse({ epoch, why, state }: Message & { t: 'refuse' }): void {
    const { reign } = this.allegiance;
    if (!reign || !sameEpoch(reign.epoch, epoch)) return;
    if (why === 'promised' && state.size === 0) this.stand(componentOf(reign.view));
  }

  onAck(from: string, epoch: Epoch, position: Position): void {
    const { reign } = this.allegiance;
    if (!reign || !sameEpoch(reign.epoch, epoch)) return;
    if (this.syncServer?.finished(from, position)) reign.joined(from, position);
    else reign.onAck(from, position);
  }

  onNack(from: string, { epoch, promised, state }: Message & { t: 'nack' }): void {
    const { reign } = this.allegiance;
    if (reign && sameEpoch(reign.epoch, epoch)) reign.onNack(from, promised, state);
  }

  onSync(from: string, message: SyncMessage): void {
    this.syncServer?.onMessage(from, message);
  }

  /** A member obeys another epoch. */
  private onUnfollowed(peer: string, promised: Epoch, state: PeerState): void {
    const { allegiance } = this;
    const { reign } = allegiance;
    if (!reign) return;
    allegiance.onRefused(peer, promised, state);
    if (compareEpochs(promised, reign.epoch) <= 0) {
      this.invite(peer, reign);
      return;
    }
    const mine = componentOf(reign.view);
    // It lost its sequencer and is alone: only a new reign can take it in again.
    if (state.size === 0) this.stand(mine);
    // A group that took our members while we were taken for dead: it went on without us, so we join it.
    else if (compareComponents({ ...mine, size: mine.size - 1 }, state) <= 0) {
      allegiance.becomeIdle('a higher epoch rules', this.context.options.inviteMs);
    } else this.stand(mine);
  }

  private invite(peer: string, { epoch, view }: Reign): void {
    const now = this.context.clock.monotonicMs();
    if (now - (this.invited.get(peer) ?? Number.NEGATIVE_INFINITY) < this.context.options.gatherMs) return;
    this.invited.set(peer, now);
    this.allegiance.prepare(peer, epoch, componentOf(view));
  }
}
