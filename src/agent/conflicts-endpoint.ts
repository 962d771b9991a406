/**
 * `GET /skein/v1/conflicts`: what merges overrode, with both values. With the path of an object or of a resource behind it, that
 * of those objects; `namespace=` and `since=` narrow it down. Whoever may get (or list) the objects may ask for theirs; all of
 * it, which may show Secrets, takes the right to the path itself.
 */
import { badRequest, notFoundPath } from '../api/errors.js';
import type { KindRegistry } from '../api/schema/registry.js';
import { rfc3339 } from '../base/clock.js';
import { parseResourcePath, type ResourcePath } from '../control/apiserver/http/request-info.js';
import type { ConflictValue } from '../store/crdt/conflicts.js';
import { parseKey } from '../store/object-store.js';
import type { MergeConflict } from '../store/replication/conflict-log.js';

export const CONFLICTS_PATH = '/skein/v1/conflicts';

/** The objects whose conflicts a path asks for; undefined when it asks for all, or for something else. */
export function conflictsTarget(pathname: string): ResourcePath | undefined {
  if (!pathname.startsWith(`${CONFLICTS_PATH}/`)) return undefined;
  const path = parseResourcePath(pathname.slice(CONFLICTS_PATH.length));
  return path && path.subresource === '' ? path : undefined;
}

export interface ConflictsDeps {
  readonly registry: KindRegistry;
  /** The oldest first. */
  conflicts(): readonly MergeConflict[];
  /** Until what was acknowledged before the request is applied here. */
  fresh(): Promise<unknown>;
}

/** The answer's body, the newest first. */
export async function answerConflicts(deps: ConflictsDeps, { pathname, searchParams }: URL): Promise<unknown> {
  const path = conflictsTarget(pathname);
  if (!path && pathname !== CONFLICTS_PATH) throw notFoundPath();
  const since = searchParams.get('since');
  const sinceMs = since === null ? 0 : Date.parse(since);
  if (Number.isNaN(sinceMs)) throw badRequest(`"${since}" is no time such as 2026-01-31T12:00:00Z`);
  const namespace = path ? path.namespace : (searchParams.get('namespace') ?? '');
  await deps.fresh();
  const kinds = new Map(deps.registry.all().map((info) => [`${info.group}/${info.resource}`, info]));
  const items = deps.conflicts().flatMap((one) => {
    const key = parseKey(one.object);
    if (one.mergedAtMs < sinceMs || (namespace !== '' && key.namespace !== namespace)) return [];
    if (path && (path.group !== key.group || path.resource !== key.resource)) return [];
    if (path && path.name !== '' && path.name !== key.name) return [];
    return [{ ...key, kind: kinds.get(`${key.group}/${key.resource}`)?.kind ?? '', ...shown(one) }];
  });
  return { items: items.toReversed() };
}

function shown({ mergedAtMs, parts, conflict }: MergeConflict) {
  const value = ({ side, atMs, ...rest }: ConflictValue) => ({
    ...rest,
    ...(atMs === undefined ? {} : { time: rfc3339(atMs) }),
    // Written before the split: both parts had it.
    part: side === 'both' ? [] : parts[side],
  });
  const { path, kept, dropped } = conflict;
  return { field: path, kept: value(kept), dropped: dropped.map(value), merged: rfc3339(mergedAtMs) };
}
