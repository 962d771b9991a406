/** What every part of the agent is made with. */
import type { Clock } from '../base/clock.js';
import type { Logger } from '../base/log.js';
import type { Metrics } from '../base/metrics.js';
import type { Random } from '../base/random.js';
import type { PrometheusMetrics } from '../observability/metrics.js';

export interface ComponentBase {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
}

export interface AgentBase extends ComponentBase {
  readonly metrics: PrometheusMetrics;
}
