/**
 * API Priority and Fairness on one peer: every request belongs to a flow (FlowSchema) and takes seats of a priority level; when
 * there are none it waits its fair turn in a bounded queue for a bounded time, or is answered 429.
 * (https://kubernetes.io/docs/concepts/cluster-administration/flow-control/) Each peer divides its own seats.
 */
import type { Clock } from '../../../base/clock.js';
import { noMetrics, type Counter, type Gauge, type Metrics } from '../../../base/metrics.js';
import type { KubeObject } from '../../../api/object.js';
import { DEFAULT_FLOW_SCHEMAS, DEFAULT_PRIORITY_LEVELS, isMandatory } from '../../../api/flowcontrol/defaults.js';
import type { FlowSchema, PriorityLevelConfiguration } from '../../../api/types/flowcontrol-v1.js';
import type { AuthorizationAttributes } from '../../../security/authz/authorizer.js';
import type { FollowedResource } from '../../../store/follower.js';
import { PriorityLevel, type Rejection, type Release } from './level.js';
import { compareFlows, distinguisherOf, flowMatches } from './matching.js';
import { divideSeats, seatFree, widthIn } from './seats.js';

export interface FairnessOptions {
  /** Requests that run at once, all limited levels together (upstream: 400 reading and 200 writing). */
  readonly seats: number;
  /** How long a request waits for a seat at most, in milliseconds. */
  readonly queueWaitMs: number;
}

export const DEFAULT_FAIRNESS: FairnessOptions = Object.freeze({ seats: 600, queueWaitMs: 15_000 });

export interface Admitted {
  readonly flowSchemaUid: string;
  readonly priorityLevelUid: string;
  readonly release: Release;
}

/** The request found no seat: 429. */
export class TooManyRequests extends Error {
  readonly code = 'ERR_TOO_MANY_REQUESTS';
  constructor(
    readonly reason: Rejection,
    readonly flowSchemaUid: string,
    readonly priorityLevelUid: string,
  ) {
    super('Too many requests, please try again later.');
  }
}

const GROUP = 'flowcontrol.apiserver.k8s.io';
const nameOf = ({ metadata }: KubeObject) => metadata.name ?? '';

export class Fairness {
  private readonly flowObjects = new Map<string, FlowSchema>();
  private readonly levelObjects = new Map<string, PriorityLevelConfiguration>();
  private readonly levels = new Map<string, PriorityLevel>();
  private flows: readonly FlowSchema[] = [];
  private readonly rejected: Counter;
  private readonly inQueue: Gauge;
  private readonly executing: Gauge;

  constructor(
    private readonly clock: Clock,
    private readonly options: FairnessOptions = DEFAULT_FAIRNESS,
    metrics: Metrics = noMetrics,
  ) {
    const labels = ['priority_level', 'flow_schema', 'reason'];
    this.rejected = metrics.counter(
      'apiserver_flowcontrol_rejected_requests_total',
      'Requests refused with 429',
      labels,
    );
    this.inQueue = metrics.gauge('apiserver_flowcontrol_current_inqueue_requests', 'Requests that wait for a seat', [
      'priority_level',
    ]);
    this.executing = metrics.gauge('apiserver_flowcontrol_current_executing_seats', 'Seats taken', ['priority_level']);
    this.reconfigure();
  }

  /** What the configuration is read from; for a {@link StoreFollower}. */
  followed(): FollowedResource[] {
    return [
      this.following<FlowSchema>('flowschemas', this.flowObjects),
      this.following<PriorityLevelConfiguration>('prioritylevelconfigurations', this.levelObjects),
    ];
  }

  /**
   * Resolves when the request may run; its seats are taken until `release`. Rejects with {@link TooManyRequests} when it finds
   * no seat in time or no room to wait in, and at once when the signal, which is asked for when it has to wait, aborts.
   */
  async admit(asked: AuthorizationAttributes, wanted: number, gone: () => AbortSignal): Promise<Admitted> {
    const flow = this.flows.find((candidate) => flowMatches(candidate, asked));
    const level = this.levels.get(flow?.spec?.priorityLevelConfiguration.name ?? '') ?? this.levels.get('catch-all');
    const [flowSchemaUid, priorityLevelUid] = [flow?.metadata.uid ?? '', level?.uid ?? ''];
    const admitted = (release: Release): Admitted => ({ flowSchemaUid, priorityLevelUid, release });
    if (!flow || !level || level.exempt) return admitted(() => undefined);
    const width = widthIn(level.limits, wanted);
    const free = level.tryTake(width);
    if (free) return admitted(this.released(level, free));
    const key = `${flow.metadata.name} ${distinguisherOf(flow, asked)}`;
    const outcome = await this.wait(level, key, width, gone());
    this.inQueue.set(level.waiting, { priority_level: level.name });
    if (typeof outcome === 'function') return admitted(this.released(level, outcome));
    this.rejected.inc({ priority_level: level.name, flow_schema: flow.metadata.name ?? '', reason: outcome });
    throw new TooManyRequests(outcome, flowSchemaUid, priorityLevelUid);
  }

  private wait(level: PriorityLevel, key: string, width: number, signal: AbortSignal): Promise<Release | Rejection> {
    return new Promise((resolve) => {
      const settle = (outcome: Release | Rejection): void => {
        cancelTimer();
        signal.removeEventListener('abort', onAbort);
        resolve(outcome);
      };
      const withdraw = level.enqueue(key, width, settle);
      const leave = (reason: Rejection): void => {
        withdraw?.();
        settle(reason);
      };
      const onAbort = () => leave('cancelled');
      const cancelTimer = this.clock.timer(this.options.queueWaitMs, () => leave('time-out'));
      signal.addEventListener('abort', onAbort, { once: true });
      if (!withdraw) leave(level.rejection);
      else if (signal.aborted) leave('cancelled');
      this.inQueue.set(level.waiting, { priority_level: level.name });
    });
  }

  private released(level: PriorityLevel, release: Release): Release {
    this.executing.set(level.taken, { priority_level: level.name });
    return () => {
      release();
      this.executing.set(level.taken, { priority_level: level.name });
      // A seat of one level may be what another waits for.
      for (const other of this.levels.values()) if (other.waiting > 0) other.dispatch();
    };
  }

  private following<T extends KubeObject>(resource: string, objects: Map<string, T>): FollowedResource {
    return {
      group: GROUP,
      resource,
      reset: (all) => {
        objects.clear();
        for (const object of all) objects.set(nameOf(object), object as T);
        this.reconfigure();
      },
      changed: ({ type, object }) => {
        if (type === 'DELETED') objects.delete(nameOf(object));
        else objects.set(nameOf(object), object as T);
        this.reconfigure();
      },
    };
  }

  /** A store without configuration gets the defaults; the mandatory ones are there whatever it says. */
  private reconfigure(): void {
    this.flows = withDefaults(this.flowObjects, DEFAULT_FLOW_SCHEMAS).toSorted(compareFlows);
    const configs = withDefaults(this.levelObjects, DEFAULT_PRIORITY_LEVELS);
    const limits = divideSeats(this.options.seats, configs);
    const fits = (level: PriorityLevel, width: number) =>
      seatFree(this.options.seats, level, width, this.levels.values());
    for (const config of configs) {
      const name = nameOf(config);
      const level = this.levels.get(name) ?? new PriorityLevel(name, this.clock, fits);
      level.configure(config, limits.get(name) ?? level.limits);
      this.levels.set(name, level);
    }
    const names = new Set(configs.map(nameOf));
    // A level that was removed stays until nobody is in it.
    for (const [name, level] of this.levels) {
      if (!names.has(name) && level.taken === 0 && level.waiting === 0) this.levels.delete(name);
      // There may be more seats now.
      else if (level.waiting > 0) level.dispatch();
    }
  }
}

function withDefaults<T extends KubeObject>(objects: ReadonlyMap<string, T>, defaults: readonly T[]): T[] {
  const missing = defaults.filter(
    (object) => !objects.has(nameOf(object)) && (objects.size === 0 || isMandatory(nameOf(object))),
  );
  return [...objects.values(), ...missing];
}
