/** Conditions of an object's status. */
import { rfc3339 } from '../base/clock.js';

interface AnyCondition {
  readonly type?: string;
  readonly status?: string;
  readonly lastTransitionTime?: string;
}

/**
 * The conditions with one set, as upstream's `meta.SetStatusCondition` does: in its place, or last when it is new. The time of a
 * condition is when its status last changed.
 */
export function withCondition<T extends AnyCondition>(
  present: readonly T[] | undefined,
  next: Omit<T, 'lastTransitionTime'>,
  nowMs: number,
): T[] {
  const all = [...(present ?? [])];
  const index = all.findIndex(({ type }) => type === next.type);
  const before = all[index];
  const same = before && before.status === next.status ? before.lastTransitionTime : undefined;
  const condition = { ...next, lastTransitionTime: same ?? rfc3339(nowMs) } as unknown as T;
  if (before === undefined) all.push(condition);
  else all[index] = condition;
  return all;
}
