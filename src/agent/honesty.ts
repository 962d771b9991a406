/**
 * Tells users when the cluster is in parts: a `Warning:` header on every write that another part could contradict, and
 * Events on objects whose values a merge overrode.
 */
import { parseKey } from '../store/object-store.js';
import type { ObjectReader, WriteExecutor, WriteReply } from '../store/object-store.js';
import type { MergeReport } from '../store/replication/context.js';
import type { Metrics } from '../base/metrics.js';
import type { EventRecorder } from '../client/event-recorder.js';

/**
 * The executor with warnings on the answers to users' successful writes while members are out of reach. `handicap`: what this
 * part of the cluster cannot do meanwhile, if there is something.
 */
export function warningExecutor(
  executor: WriteExecutor,
  outOfReach: () => readonly string[],
  handicap: () => string | undefined,
): WriteExecutor {
  return (transaction, request): WriteReply => {
    const reply = executor(transaction, request);
    // Writes that begin at an API server carry a body; components in this process are told in other ways.
    const fromUser = (request as { body?: unknown }).body !== undefined;
    const missing = fromUser && reply.code < 300 ? outOfReach() : [];
    if (missing.length === 0) return reply;
    const text =
      `${missing.length} peer(s) out of reach (${missing.join(', ')}): if they are alive, they may change this too; ` +
      'such changes are merged when they return';
    const more = handicap();
    return { ...reply, warnings: [...reply.warnings, text, ...(more === undefined ? [] : [more])] };
  };
}

const SHOWN_CONFLICTS = 5;

/** Turns merge reports into Events (reason `MergeConflict`) and the metric `skein_merge_conflicts_total`. */
export function createMergeReporter(deps: {
  readonly reader: ObjectReader;
  readonly events: EventRecorder;
  readonly metrics: Metrics;
}): (report: MergeReport) => void {
  const total = deps.metrics.counter('skein_merge_conflicts_total', 'Fields that a merge overrode, by resource', [
    'resource',
  ]);
  return ({ key, conflicts, deletedOver }) => {
    const parsed = parseKey(key);
    total.inc({ resource: parsed.resource }, conflicts.length + (deletedOver ? 1 : 0));
    const object = deps.reader.get(parsed);
    if (!object) return;
    const shown = conflicts
      .slice(0, SHOWN_CONFLICTS)
      .map(({ path, kept, dropped }) => `${path.join('.')}: kept ${kept}, dropped ${dropped.join(' and ')}`);
    const more = conflicts.length > SHOWN_CONFLICTS ? ` (and ${conflicts.length - SHOWN_CONFLICTS} more)` : '';
    const text = deletedOver
      ? 'was deleted in one part of the cluster and changed in another'
      : `both parts of the cluster changed ${shown.join('; ')}${more}`;
    deps.events.event(object, 'Warning', 'MergeConflict', text);
  };
}
