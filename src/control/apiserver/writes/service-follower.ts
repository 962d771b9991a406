/** Tells the allocator of Services that other sequencers wrote, so that it need not list them for every allocation. */
import type { Service } from '../../../base/lifecycle.js';
import type { ServiceAllocation } from '../../../security/admission/service-allocation.js';
import type { ObjectReader } from '../../../store/object-store.js';

export class ServiceFollower implements Service {
  readonly name = 'service-follower';
  private cancel: (() => void) | undefined;
  private stopped = false;

  constructor(
    private readonly store: ObjectReader,
    private readonly allocation: ServiceAllocation,
  ) {}

  start(): Promise<void> {
    this.follow();
    return Promise.resolve();
  }

  stop(): Promise<void> {
    this.stopped = true;
    this.cancel?.();
    return Promise.resolve();
  }

  /** To be called when this peer becomes the sequencer: what it gathered may not have been applied here yet. */
  reset(): void {
    this.allocation.observe(undefined);
  }

  private follow(): void {
    this.reset();
    if (this.stopped) return;
    this.cancel = this.store.watch('', 'services', undefined, this.store.revision, {
      onEvents: (events) => {
        for (const { type, object } of events) if (type !== 'DELETED') this.allocation.observe(object);
      },
      onEnd: () => {
        this.allocation.observe(undefined);
        // The store is in the middle of replacing its history.
        queueMicrotask(() => this.follow());
      },
    });
  }
}
