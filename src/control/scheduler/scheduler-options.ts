/** What of the scheduler can be set. */
export interface SchedulerOptions {
  /** Share of the nodes to find fit before choosing, 1 to 100; 0 (the default): upstream's 50 % down to 5 %. */
  readonly percentageOfNodesToScore?: number;
  /** Most bindings under way at once; 256. */
  readonly maxBindings?: number;
  /** Most preemptions under way at once; 16. */
  readonly maxPreemptions?: number;
  /** Longest time to decide without letting others run, in milliseconds; 10. */
  readonly turnMs?: number;
  /** Most pods decided in one go; 256. */
  readonly turnPods?: number;
  /** First back-off of a pod that could not be placed, in milliseconds; 1,000. */
  readonly initialBackoffMs?: number;
  /** Longest such back-off, in milliseconds; 10,000. */
  readonly maxBackoffMs?: number;
  /** Pods that fit nowhere are tried again after so long without any event, in milliseconds; 300,000. */
  readonly flushMs?: number;
  /** Most Event and condition writes under way; 32. */
  readonly maxReportWrites?: number;
  /** Most such writes waiting; 20,000. */
  readonly maxReportsWaiting?: number;
}

export const DEFAULT_SCHEDULER_OPTIONS: Required<SchedulerOptions> = {
  percentageOfNodesToScore: 0,
  maxBindings: 256,
  maxPreemptions: 16,
  turnMs: 10,
  turnPods: 256,
  initialBackoffMs: 1_000,
  maxBackoffMs: 10_000,
  flushMs: 300_000,
  maxReportWrites: 32,
  maxReportsWaiting: 20_000,
};
