/**
 * `GET /skein/v1/history/<path of an object>`: its last changes; with `at=` its state at a revision or a time; with `from=` and
 * perhaps `to=` what changed in between. Objects are shown as they are stored. Whoever may get the object may ask; every peer
 * answers from what it has seen itself.
 */
import { badRequest, expired, notFound, notFoundPath } from '../api/errors.js';
import type { KubeObject } from '../api/object.js';
import type { KindRegistry } from '../api/schema/registry.js';
import { rfc3339 } from '../base/clock.js';
import { parseResourcePath, type ResourcePath } from '../control/apiserver/http/request-info.js';
import { fieldChanges, pathText, type FieldChange, type ObjectChange } from '../store/object-change.js';
import { HistoryGone, type Moment, type ObjectPast } from '../store/object-history.js';
import type { ObjectKey } from '../store/object-store.js';

export const HISTORY_PREFIX = '/skein/v1/history/';

/** What every write moves. */
const BOOKKEEPING = new Set(['resourceVersion', 'managedFields', 'generation']);

const shownFields = (fields: readonly FieldChange[]) =>
  fields
    .filter(({ path }) => !(path[0] === 'metadata' && BOOKKEEPING.has(String(path[1]))))
    .map(({ path, ...values }) => ({ path: pathText(path), ...values }))
    .toSorted((a, b) => (a.path < b.path ? -1 : 1));

const shownChange = ({ revision, atMs, kind, by, fields }: ObjectChange) => ({
  revision,
  time: rfc3339(atMs),
  kind,
  by,
  fields: shownFields(fields),
});

/** The object whose history a path asks for; undefined when it asks for something else. */
export function historyTarget(pathname: string): ResourcePath | undefined {
  if (!pathname.startsWith(HISTORY_PREFIX)) return undefined;
  const path = parseResourcePath(pathname.slice(HISTORY_PREFIX.length - 1));
  return path && path.name !== '' && path.subresource === '' ? path : undefined;
}

export interface HistoryDeps {
  readonly registry: KindRegistry;
  past(key: ObjectKey): ObjectPast;
  /** Until what was acknowledged before the request is applied here. */
  fresh(): Promise<unknown>;
}

/** The answer's body. Throws the errors of the API: 404 without such an object then, 410 where the history does not reach. */
export async function answerHistory(deps: HistoryDeps, { pathname, searchParams }: URL): Promise<unknown> {
  const path = historyTarget(pathname);
  const info = path && deps.registry.find(path.group, path.version, path.resource);
  if (!path || !info) throw notFoundPath();
  await deps.fresh();
  const { group, resource, namespace, name } = path;
  const past = deps.past({ group, resource, namespace, name });
  if (!past.reach) throw notFound(info, name);
  const shown = (object: KubeObject) => ({
    apiVersion: group ? `${group}/${path.version}` : path.version,
    kind: info.kind,
    ...object,
  });
  const at = searchParams.get('at');
  if (at !== null) return shown(existing(past, momentOf(at), info, name));
  const from = searchParams.get('from');
  if (from !== null) {
    const to = searchParams.get('to');
    const before = stateAt(past, momentOf(from));
    const after = stateAt(past, to === null ? { revision: Number.MAX_SAFE_INTEGER } : momentOf(to));
    if (!before && !after) throw notFound(info, name);
    return { from: revisionOf(before), to: revisionOf(after), fields: shownFields(fieldChanges(before, after)) };
  }
  const { revision, atMs } = past.reach;
  return { reachesBackTo: { revision, time: rfc3339(atMs) }, changes: past.changes.map(shownChange) };
}

const revisionOf = (object: KubeObject | undefined) => (object ? Number(object.metadata.resourceVersion) : null);

function existing(past: ObjectPast, moment: Moment, of: { group: string; resource: string }, name: string): KubeObject {
  const object = stateAt(past, moment);
  if (!object) throw notFound(of, name);
  return object;
}

function stateAt(past: ObjectPast, moment: Moment): KubeObject | undefined {
  try {
    return past.at(moment);
  } catch (error) {
    if (!(error instanceof HistoryGone)) throw error;
    const { revision, atMs } = error.reaches;
    throw expired(`what this peer remembers of the object reaches back to revision ${revision} (${rfc3339(atMs)})`);
  }
}

/** A revision (`1234`) or a time (RFC 3339). */
function momentOf(text: string): Moment {
  if (/^\d{1,15}$/.test(text)) return { revision: Number(text) };
  const atMs = Date.parse(text);
  if (Number.isNaN(atMs)) throw badRequest(`"${text}" is neither a revision nor a time such as 2026-01-31T12:00:00Z`);
  return { atMs };
}
