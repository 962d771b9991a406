/**
 * Runs the control-plane roles this peer holds. The view says who holds which; this loop starts what was won and stops what
 * was lost, one step at a time, each term with a new instance.
 *
 * While there is no sequencer, held roles go on: their writes wait. A role that was given to another peer meanwhile is
 * fenced: its requests carry the role's epoch, and the sequencer refuses a lower one.
 */
import type { Clock } from '../base/clock.js';
import type { Service } from '../base/lifecycle.js';
import { errorText, type Logger } from '../base/log.js';
import type { RoleHolder, View } from '../store/replication/view.js';

/** Makes the service of one term of office. */
export type RoleFactory = (epoch: number) => Service;

interface Term {
  readonly epoch: number;
  readonly service: Service;
}

/** Milliseconds between winning a role and starting it. */
const TAKEOVER_PAUSE_MS = 100;

export class RoleRunner implements Service {
  readonly name = 'roles';
  private readonly terms = new Map<string, Term>();
  private wanted: Readonly<Record<string, RoleHolder>> = {};
  private work: Promise<void> = Promise.resolve();
  private stopped = false;

  constructor(
    private readonly clock: Clock,
    private readonly self: string,
    private readonly factories: Readonly<Record<string, RoleFactory>>,
    private readonly log: Logger,
  ) {}

  start(): Promise<void> {
    return Promise.resolve();
  }

  onView(view: View | undefined): void {
    if (!view) return;
    this.wanted = view.roles;
    this.work = this.work.then(() => this.settle());
  }

  /** The roles held here now. */
  held(): readonly string[] {
    return [...this.terms.keys()];
  }

  async stop(): Promise<void> {
    this.stopped = true;
    this.work = this.work.then(() => this.settle());
    await this.work;
  }

  private async settle(): Promise<void> {
    for (const [role, factory] of Object.entries(this.factories)) {
      const wanted = this.wanted[role];
      const mine = !this.stopped && wanted?.holder === this.self ? wanted : undefined;
      const term = this.terms.get(role);
      if (term && term.epoch !== mine?.epoch) await this.end(role, term);
      if (mine && !this.terms.has(role)) await this.begin(role, mine.epoch, factory);
    }
  }

  private async begin(role: string, epoch: number, factory: RoleFactory): Promise<void> {
    // Writes that waited for the takeover go first: starting a role keeps the event loop busy for a while.
    await this.clock.sleep(TAKEOVER_PAUSE_MS);
    if (this.stopped || this.wanted[role]?.epoch !== epoch) return;
    const service = factory(epoch);
    try {
      await service.start();
      this.terms.set(role, { epoch, service });
      this.log.info('took a role', { role, epoch });
    } catch (error) {
      this.log.error('could not take a role', { role, epoch, error: errorText(error) });
    }
  }

  private async end(role: string, { epoch, service }: Term): Promise<void> {
    this.terms.delete(role);
    try {
      await service.stop();
      this.log.info('gave up a role', { role, epoch });
    } catch (error) {
      this.log.error('a role did not stop cleanly', { role, epoch, error: errorText(error) });
    }
  }
}
