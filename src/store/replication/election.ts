/**
 * How a group of peers gets its sequencer: who stands when, whom a peer gives its promise, and what comes of a candidacy.
 *
 * Any group of peers that reach each other gets a sequencer, down to a single one; when two groups meet, the larger takes
 * the other in (`compareComponents`), object by object (`sync-server.ts`). A peer only ever obeys the highest epoch it
 * promised, and the promise is on disk before it is given.
 */
import { compareEpochs, sameEpoch, type Epoch, type Position } from '../log-entry.js';
import type { Allegiance } from './allegiance.js';
import { Candidacy } from './candidacy.js';
import type { ReplicaContext } from './context.js';
import type { Message } from './messages.js';
import { isRevoked } from './revoked-peer.js';
import { compareComponents, componentOf, nextEpoch, successionOrder, type Component } from './view.js';

/** How often a candidate asks peers again that still believe in the old sequencer, and how long it waits between. */
const STUBBORN_RETRIES = 10;
const STUBBORN_MS = 20;

/** A candidacy that succeeded: begin the reign. `takesIn`: over another group's peers as well. */
export type Lead = (epoch: Epoch, heads: ReadonlyMap<string, Position>, takesIn: boolean) => void;

export class Election {
  private candidacy: Candidacy | undefined;
  private stubborn = 0;
  private startedMs = 0;

  constructor(
    private readonly context: ReplicaContext,
    private readonly allegiance: Allegiance,
    private readonly lead: Lead,
  ) {}

  start(): void {
    this.startedMs = this.context.clock.monotonicMs();
  }

  /** Without a sequencer: stands when it is this peer's turn. */
  consider(): void {
    const { allegiance, context } = this;
    const { options, state, storage, self } = context;
    const now = context.clock.monotonicMs();
    if (!allegiance.mayFound && state.head.revision === 0) return;
    if (now < allegiance.standFromMs) return;
    const alive = context.alive();
    const waited = now - allegiance.idleSinceMs;
    const led = [...allegiance.peerStates.values()].some(
      ({ size, leader }) => size > 0 && leader !== self && alive.includes(leader),
    );
    // Somebody leads already: it will take us in.
    if (led && waited < options.inviteMs) return;
    const complete = storage.current.peers.every((peer) => alive.includes(peer));
    if (!complete && !allegiance.hadView && now - this.startedMs < options.bootGraceMs) return;
    const order = successionOrder(alive, (peer) =>
      peer === self ? state.head : allegiance.peerStates.get(peer)?.head,
    );
    if (waited >= order.indexOf(self) * options.successionMs) this.stand(null);
  }

  /**
   * Asks all living peers to follow a new epoch of this peer. Whoever waits for an answer asks the next reign. A peer that knows
   * that it was removed does not: alone, it would acknowledge what nobody will ever take from it.
   */
  stand(component: Component | null): void {
    const { allegiance, context } = this;
    if (isRevoked(context.state.table, context.self)) return;
    allegiance.enter('candidate');
    const epoch = nextEpoch(context.self, allegiance.promised, allegiance.highestSeen);
    const asked = context.alive().filter((peer) => peer !== context.self);
    const cancel = context.clock.timer(context.options.gatherMs, () => this.conclude(candidacy));
    const candidacy = new Candidacy(epoch, component, asked, cancel);
    this.candidacy = candidacy;
    allegiance.promise(epoch).then(
      () => {
        if (this.candidacy !== candidacy) return;
        candidacy.ready = true;
        for (const peer of asked) allegiance.prepare(peer, epoch, component);
        this.check();
      },
      (error: unknown) => allegiance.fail(error),
    );
  }

  /** Concludes the candidacy when nobody alive is left to answer. */
  check(): void {
    if (this.candidacy?.isComplete(this.context.alive())) this.conclude(this.candidacy);
  }

  cancel(): void {
    this.candidacy?.cancel();
    this.candidacy = undefined;
  }

  /** Another peer asks for this one's promise. */
  onPrepare(from: string, { epoch, component, removed }: Message & { t: 'prepare' }): void {
    const { allegiance, context } = this;
    if (allegiance.isBarred(from)) return;
    if (removed !== undefined) allegiance.bar(removed);
    allegiance.see(epoch);
    const order = compareEpochs(epoch, allegiance.promised);
    const refuse = (why: 'promised' | 'leader-alive' | 'larger') => {
      const { promised } = allegiance;
      context.send(from, { t: 'refuse', epoch, promised, why, state: allegiance.peerState() });
    };
    if (order < 0) {
      refuse('promised');
      return;
    }
    const { view, mode } = allegiance;
    const leaderAlive = mode === 'leading' || (mode === 'following' && context.alive().includes(allegiance.following));
    if (order > 0 && view && leaderAlive && allegiance.leader !== from) {
      if (!component || compareComponents(component, componentOf(view)) <= 0) {
        refuse(component ? 'larger' : 'leader-alive');
        return;
      }
    }
    if (order === 0 && epoch.leader !== from) return;
    this.follow(from, epoch);
  }

  /** A fuller log than the candidate's asks this peer to stand in its place. */
  onStand(epoch: Epoch): void {
    const { mode, promised } = this.allegiance;
    if (mode !== 'leading' && compareEpochs(epoch, promised) >= 0) this.stand(null);
  }

  onPromise(from: string, epoch: Epoch, head: Position): void {
    if (!this.candidacy || !sameEpoch(this.candidacy.epoch, epoch)) return;
    this.candidacy.promised(from, head);
    this.check();
  }

  /** False when the refusal is none of a candidacy. */
  onRefuse(from: string, { epoch, why, state }: Message & { t: 'refuse' }): boolean {
    if (!this.candidacy || !sameEpoch(this.candidacy.epoch, epoch)) return false;
    this.candidacy.refused(from, { why, leader: state.leader });
    this.check();
    return true;
  }

  private follow(leader: string, epoch: Epoch): void {
    const { allegiance, context } = this;
    allegiance.enter('following', leader);
    // What it told before does not speak of this epoch.
    allegiance.peerStates.delete(leader);
    allegiance.idleSinceMs = context.clock.monotonicMs();
    allegiance.promise(epoch).then(
      () => {
        if (!allegiance.follows(leader, epoch)) return;
        context.send(leader, { t: 'promise', epoch, head: context.state.head });
      },
      (error: unknown) => allegiance.fail(error),
    );
  }

  private conclude(candidacy: Candidacy): void {
    if (this.candidacy !== candidacy) return;
    const { allegiance, context } = this;
    this.cancel();
    if (!candidacy.ready) {
      allegiance.becomeIdle('the disk is slow');
      return;
    }
    const patient = this.stubborn < STUBBORN_RETRIES;
    const outcome = candidacy.outcome(context.alive(), context.state.head, patient);
    this.stubborn = outcome.type === 'refused' && outcome.why === 'stubborn' ? this.stubborn + 1 : 0;
    switch (outcome.type) {
      case 'refused':
        allegiance.becomeIdle('others object', this.waitAfterRefusal(outcome.why));
        return;
      case 'yield':
        context.send(outcome.to, { t: 'stand', epoch: candidacy.epoch });
        allegiance.becomeIdle('another log is fuller', context.options.gatherMs);
        return;
      case 'lead':
        this.lead(candidacy.epoch, outcome.heads, candidacy.component !== null);
    }
  }

  /** Milliseconds. Not all at once again: the others may be trying as well. */
  private waitAfterRefusal(why: 'led' | 'overtaken' | 'stubborn'): number {
    const { random, options } = this.context;
    const jitter = random.int(options.successionMs);
    switch (why) {
      case 'led':
        return options.inviteMs / 4;
      case 'overtaken':
        return jitter;
      case 'stubborn':
        return STUBBORN_MS + jitter / 4;
    }
  }
}
