/**
 * Keeps one side of a synchronisation in step with the other: what is said is numbered, and what is heard counts only when its
 * turn has come. Whatever comes twice, or too early, would be taken for an answer to something else: records would be left out.
 */
import type { SyncMessage } from './messages.js';

export class Turns {
  private said = 0;
  private heard = 0;

  say(message: SyncMessage): SyncMessage {
    this.said += 1;
    return { ...message, n: this.said };
  }

  /** Whether this is what comes next. An older build says no numbers. */
  hears({ n }: SyncMessage): boolean {
    if (n === undefined) return true;
    if (n !== this.heard + 1) return false;
    this.heard = n;
    return true;
  }
}
