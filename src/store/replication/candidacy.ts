/**
 * One attempt to become the sequencer: who was asked, what they said, and what follows from it. Pure; the replica sends,
 * waits and acts.
 */
import type { Cancel } from '../../base/clock.js';
import { comparePositions, type Epoch, type Position } from '../log-entry.js';
import type { Component } from './view.js';

export type RefusalReason = 'promised' | 'leader-alive' | 'larger';

export interface Refusal {
  readonly why: RefusalReason;
  /** Whom the refusing peer follows; empty for nobody. */
  readonly leader: string;
}

export type Outcome =
  | { readonly type: 'lead'; readonly heads: ReadonlyMap<string, Position> }
  /** Somebody else is ahead: its log is fuller. */
  | { readonly type: 'yield'; readonly to: string }
  /**
   * Others object. `led`: they follow a living sequencer, which will take us in. `overtaken`: they promised a higher epoch.
   * `stubborn`: they follow one that only we know to be dead; it is worth asking again soon.
   */
  | { readonly type: 'refused'; readonly why: 'led' | 'overtaken' | 'stubborn' };

export class Candidacy {
  private readonly promises = new Map<string, Position>();
  private readonly refusals = new Map<string, Refusal>();
  /** The candidate's own promise is on disk: before, nobody may be asked and nothing concluded. */
  ready = false;

  constructor(
    readonly epoch: Epoch,
    /** The group that the candidate leads already, when it stands to take in another. */
    readonly component: Component | null,
    readonly asked: readonly string[],
    /** Ends the wait for answers. */
    readonly cancel: Cancel,
  ) {}

  promised(peer: string, head: Position): void {
    this.promises.set(peer, head);
  }

  refused(peer: string, refusal: Refusal): void {
    this.refusals.set(peer, refusal);
  }

  /** Nobody alive is left to answer. */
  isComplete(alive: readonly string[]): boolean {
    const answered = (peer: string) => this.promises.has(peer) || this.refusals.has(peer);
    return this.ready && this.asked.every((peer) => !alive.includes(peer) || answered(peer));
  }

  /** What to do with the answers there are. `patient`: stubborn peers are still given time. */
  outcome(alive: readonly string[], head: Position, patient: boolean): Outcome {
    const refusals = [...this.refusals].filter(([peer]) => alive.includes(peer)).map(([, refusal]) => refusal);
    if (refusals.some(({ why, leader }) => why !== 'promised' && alive.includes(leader))) {
      return { type: 'refused', why: 'led' };
    }
    if (refusals.some(({ why }) => why === 'promised')) return { type: 'refused', why: 'overtaken' };
    if (patient && refusals.length > 0) return { type: 'refused', why: 'stubborn' };
    const heads = [...this.promises].filter(([peer]) => alive.includes(peer));
    const [fullest] = heads
      .filter(([, other]) => comparePositions(other, head) > 0)
      .toSorted(([, a], [, b]) => comparePositions(b, a));
    // Who leads a group keeps its own line: what others have beyond it is merged.
    if (fullest && !this.component) return { type: 'yield', to: fullest[0] };
    return { type: 'lead', heads: new Map(heads) };
  }
}
