/** Obeying a sequencer: takes its views and frames, tells how far they are on disk, and is brought over when on another line. */
import { samePosition, type Epoch, type Position } from '../log-entry.js';
import type { Revision } from '../object-store.js';
import type { Allegiance } from './allegiance.js';
import type { ReplicaContext } from './context.js';
import type { Message, SyncMessage } from './messages.js';
import { readFrame } from './storage.js';
import { SyncClient } from './sync-client.js';
import type { View } from './view.js';
import { commonUntil } from './watermark.js';

export class Following {
  private readonly syncClient: SyncClient;

  constructor(
    private readonly context: ReplicaContext,
    private readonly allegiance: Allegiance,
  ) {
    const { self, storage } = context;
    this.syncClient = new SyncClient(
      context,
      () => allegiance.formerVoters.flatMap((peer) => context.nameOf(peer) ?? []),
      () => {
        const voters = (allegiance.followedView?.voters ?? []).filter((peer) => peer !== self);
        return commonUntil(storage.current.contacts ?? {}, voters);
      },
      (from, position) => this.onInstalled(from, position),
      (error) => allegiance.fail(error),
    );
  }

  /** What comes of a synchronisation under way is not wanted any more. */
  cancelSync(): void {
    this.syncClient.cancel();
  }

  /** Gives a sequencer up that died, gave up itself, or never came. */
  checkLeader(): void {
    const { allegiance, context } = this;
    const { following, followedView } = allegiance;
    const waited = context.clock.monotonicMs() - allegiance.idleSinceMs;
    const lost = !context.alive().includes(following);
    const state = allegiance.peerStates.get(following);
    const gaveUp = followedView !== undefined && state !== undefined && state.leader !== following;
    if (lost || gaveUp) allegiance.becomeIdle(lost ? 'the sequencer is gone' : 'the sequencer gave up');
    else if (!followedView && waited > context.options.inviteMs) {
      allegiance.becomeIdle('the promised view did not come');
    }
  }

  onView(from: string, view: View, commit: Revision): void {
    const { allegiance } = this;
    if (!allegiance.follows(from, view.epoch)) {
      this.nack(from, view.epoch);
      return;
    }
    if (allegiance.onLine) this.commit(commit);
    if (allegiance.followedView && allegiance.followedView.version >= view.version) return;
    allegiance.followedView = view;
    allegiance.tookView(view);
  }

  onAppend(from: string, { epoch, previous, frame: bytes, commit }: Message & { t: 'append' }): void {
    const { context, allegiance } = this;
    const { state } = context;
    if (!allegiance.follows(from, epoch)) {
      this.nack(from, epoch);
      return;
    }
    if (!samePosition(previous, state.head)) {
      // A repetition of what is here already needs no second answer than where we are.
      if (state.log.has(previous) && allegiance.onLine) this.acknowledge(from, epoch);
      else this.nack(from, epoch);
      return;
    }
    allegiance.reachLine();
    if (!bytes) {
      this.commit(commit);
      this.acknowledge(from, epoch);
      return;
    }
    const frame = readFrame(bytes, context.storage.formats);
    if (!frame) {
      this.nack(from, epoch);
      return;
    }
    // A copy: the received buffer is larger than the frame, and the log keeps it.
    const saved = state.append(frame, new Uint8Array(bytes));
    const head = state.head;
    saved.then(
      () => context.send(from, { t: 'ack', epoch, position: head }),
      () => undefined, // The replica stops through ReplicaState.onFailure.
    );
    this.commit(commit);
  }

  onCommit(from: string, epoch: Epoch, revision: Revision): void {
    if (this.allegiance.follows(from, epoch) && this.allegiance.onLine) this.context.state.commitUpTo(revision);
  }

  onSync(from: string, message: SyncMessage): void {
    this.syncClient.onMessage(from, message);
  }

  /** As far as the log goes. */
  private commit(revision: Revision): void {
    const { state } = this.context;
    state.commitUpTo(Math.min(revision, state.head.revision));
  }

  private nack(to: string, epoch: Epoch): void {
    const { promised } = this.allegiance;
    this.context.send(to, { t: 'nack', epoch, promised, state: this.allegiance.peerState() });
  }

  private acknowledge(to: string, epoch: Epoch): void {
    const position = this.context.state.head;
    // Everything in the log was queued for the disk before: an empty write comes after it.
    this.context.storage.appendFrames([]).then(
      () => this.context.send(to, { t: 'ack', epoch, position }),
      () => undefined,
    );
  }

  private onInstalled(from: string, position: Position): void {
    const { allegiance } = this;
    if (allegiance.mode !== 'following' || allegiance.following !== from) return;
    allegiance.reachLine();
    this.context.send(from, { t: 'ack', epoch: allegiance.promised, position });
    allegiance.broadcastState();
  }
}
