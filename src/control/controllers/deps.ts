/** What every controller is given. */
import type { Clock } from '../../base/clock.js';
import type { Logger } from '../../base/log.js';
import type { Metrics } from '../../base/metrics.js';
import type { Random } from '../../base/random.js';
import type { Client } from '../../client/client.js';
import type { EventRecorder } from './event-recorder.js';
import type { InformerSet } from './informer-set.js';

/** What comes from outside the controllers. */
export interface ControllerEnvironment {
  readonly client: Client;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** What the controllers of one start share. */
export interface SharedDeps extends ControllerEnvironment {
  readonly informers: InformerSet;
  readonly events: EventRecorder;
}
