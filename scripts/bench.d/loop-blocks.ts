/** The longest time for which a process's event loop served nobody: heartbeats wait for so long. */
const EVERY_MS = 5;

export class LoopBlocks {
  private longest = 0;
  private lastMs = performance.now();
  private readonly timer = setInterval(() => this.look(), EVERY_MS);

  /** The longest block since the last call, in milliseconds. */
  take(): number {
    this.look();
    const { longest } = this;
    this.longest = 0;
    return longest;
  }

  stop(): void {
    clearInterval(this.timer);
  }

  private look(): void {
    const now = performance.now();
    this.longest = Math.max(this.longest, now - this.lastMs - EVERY_MS);
    this.lastMs = now;
  }
}
