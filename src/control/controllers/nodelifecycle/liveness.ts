/** Which nodes are alive, as the controllers ask it; implemented from the mesh's membership. */
import type { Clock } from '../../../base/clock.js';

export interface NodeLiveness {
  /** Undefined: the membership does not know this node (any more, or not yet). */
  isAlive(nodeName: string): boolean | undefined;
  /** Calls back with the node's name on every change; the result ends that. */
  onChange(listener: (nodeName: string) => void): () => void;
}

/**
 * Turns "not known" into an answer: a node of which the membership has never heard is given `unknownGraceMs` to appear
 * (this peer may have just started), then it counts as dead.
 */
export class LivenessJudge {
  private readonly unknownSince = new Map<string, number>();

  constructor(
    private readonly liveness: NodeLiveness,
    private readonly clock: Clock,
    private readonly unknownGraceMs: number,
  ) {}

  /** `waitMs`: ask again then. */
  judge(nodeName: string): { readonly alive: boolean; readonly waitMs?: number } {
    const alive = this.liveness.isAlive(nodeName);
    if (alive !== undefined) {
      this.unknownSince.delete(nodeName);
      return { alive };
    }
    const now = this.clock.monotonicMs();
    const since = this.unknownSince.get(nodeName) ?? now;
    this.unknownSince.set(nodeName, since);
    const waitMs = since + this.unknownGraceMs - now;
    return waitMs > 0 ? { alive: true, waitMs } : { alive: false };
  }

  forget(nodeName: string): void {
    this.unknownSince.delete(nodeName);
  }
}
