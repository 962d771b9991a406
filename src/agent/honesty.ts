/**
 * Tells users when the cluster is in parts: a `Warning:` header on every write that another part could contradict, and
 * Events on objects whose values a merge overrode.
 */
import { parseKey } from '../store/object-store.js';
import type { ObjectReader, WriteExecutor, WriteReply } from '../store/object-store.js';
import type { KubeObject } from '../api/object.js';
import type { Conflict, Side } from '../store/crdt/conflicts.js';
import type { MergeReport } from '../store/replication/conflict-log.js';
import type { Metrics } from '../base/metrics.js';
import type { EventRecorder } from '../client/event-recorder.js';

/**
 * The executor with warnings on the answers to users' successful writes while members are out of reach. `handicap`: what this
 * part of the cluster cannot do meanwhile, if there is something.
 */
export function warningExecutor(
  executor: WriteExecutor,
  outOfReach: () => ReadonlySet<string>,
  handicap: () => string | undefined,
): WriteExecutor {
  return (transaction, request): WriteReply => {
    const reply = executor(transaction, request);
    // Writes that begin at an API server carry a body; components in this process are told in other ways.
    const fromUser = (request as { body?: unknown }).body !== undefined;
    if (!fromUser || reply.code >= 300) return reply;
    const missing = [...outOfReach()];
    if (missing.length === 0) return reply;
    const text =
      `${missing.length} peer(s) out of reach (${missing.join(', ')}): if they are alive, they may change this too; ` +
      'such changes are merged when they return';
    const more = handicap();
    return { ...reply, warnings: [...reply.warnings, text, ...(more === undefined ? [] : [more])] };
  };
}

/** Fields that one Event names, and characters of a value that it shows. */
const SHOWN_FIELDS = 5;
const SHOWN_CHARS = 80;

/** Turns merge reports into Events (reason `MergeConflict`) and the metric `skein_merge_conflicts_total`. */
export function createMergeReporter(deps: {
  readonly reader: ObjectReader;
  readonly events: EventRecorder;
  readonly metrics: Metrics;
}): (report: MergeReport) => void {
  const total = deps.metrics.counter('skein_merge_conflicts_total', 'Values that a merge overrode, by resource', [
    'resource',
  ]);
  return ({ key, parts, conflicts }) => {
    const parsed = parseKey(key);
    total.inc({ resource: parsed.resource }, conflicts.length);
    // Of what is gone, an Event tells too: it names what was there.
    const values = conflicts.filter(({ path }) => path === '').flatMap(({ kept, dropped }) => [kept, ...dropped]);
    const last = values.find(({ value }) => value !== undefined)?.value as KubeObject | undefined;
    const object = deps.reader.get(parsed) ?? last;
    if (!object) return;
    // Whoever may read Events may not therefore read Secrets.
    const isSecret = parsed.group === '' && parsed.resource === 'secrets';
    const shown = conflicts
      .slice(0, SHOWN_FIELDS)
      .map((conflict) => (isSecret && conflict.path !== '' ? conflict.path : conflictText(conflict, parts)));
    const more = conflicts.length > SHOWN_FIELDS ? [`${conflicts.length - SHOWN_FIELDS} more`] : [];
    const text = [...shown, ...more].join('; ');
    deps.events.event(object, 'Warning', 'MergeConflict', `two parts of the cluster changed this: ${text}`);
  };
}

function conflictText({ path, kept, dropped }: Conflict, parts: MergeReport['parts']): string {
  const part = (side: Side) => (side === 'both' ? 'before' : `in the part of ${parts[side].join(', ') || '?'}`);
  const [first] = dropped;
  if (path === '') {
    if (kept.value === undefined) return `deleted ${part(kept.side)}, and changed ${part(first?.side ?? 'both')}`;
    return first?.value === undefined
      ? `deleted ${part(first?.side ?? 'both')}, and kept: it lives ${part(kept.side)}`
      : `deleted and created anew ${part(kept.side)}, and changed ${part(first.side)}`;
  }
  const values = dropped.map(({ value, side }) => `${valueText(value)} (${part(side)})`);
  return `${path}: kept ${valueText(kept.value)} (${part(kept.side)}), dropped ${values.join(' and ')}`;
}

function valueText(value: unknown): string {
  if (value === undefined) return 'nothing';
  const text = JSON.stringify(value);
  return text.length <= SHOWN_CHARS ? text : `${text.slice(0, SHOWN_CHARS - 1)}…`;
}
