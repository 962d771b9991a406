/** What every controller is given. */
import type { Clock } from '../../base/clock.js';
import type { Logger } from '../../base/log.js';
import type { Metrics } from '../../base/metrics.js';
import type { Random } from '../../base/random.js';
import type { Client } from '../../client/client.js';
import { createEventRecorder, type EventRecorder } from '../../client/event-recorder.js';
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
  /** Records Events as one component, e.g. `replicaset-controller`. The same recorder for the same name. */
  events(component: string): EventRecorder;
}

/** One recorder a component, made when first asked for. */
export function eventRecorders(environment: ControllerEnvironment): (component: string) => EventRecorder {
  const made = new Map<string, EventRecorder>();
  return (component) => {
    let recorder = made.get(component);
    if (!recorder) made.set(component, (recorder = createEventRecorder(environment, { component })));
    return recorder;
  };
}
