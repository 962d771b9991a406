/**
 * A list as it was at an earlier revision: what is stored now, with the events since then undone. It lets any peer go on with
 * a list that another one began. Costs as many steps as there were changes of the resource since.
 */
import type { KubeObject } from '../../../api/object.js';
import { keyString, type ObjectReader, type Revision, type StoreEvent } from '../../../store/object-store.js';

/** Where an object stands in a list: by namespace, then by name. */
export const positionOf = ({ metadata }: KubeObject) => `${metadata.namespace ?? ''}\u0000${metadata.name ?? ''}`;

/** Throws `RevisionGone` when the history does not reach back so far. */
export function listAt(
  store: ObjectReader,
  { group, resource }: { readonly group: string; readonly resource: string },
  namespace: string | undefined,
  revision: Revision,
): readonly KubeObject[] {
  const since: StoreEvent[] = [];
  const now = store.list(group, resource, namespace);
  // What is in the history is delivered before `watch` returns.
  const end = store.watch(group, resource, namespace, revision, {
    onEvents: (events) => since.push(...events),
    onEnd: () => undefined,
  });
  end();
  if (since.length === 0) return now;
  const before = new Map<string, KubeObject | undefined>();
  for (const { key, previous } of since.toReversed()) before.set(keyString(key), previous);
  const keyOf = ({ metadata: { namespace: place = '', name = '' } }: KubeObject) =>
    keyString({ group, resource, namespace: place, name });
  const undone = [...before.values()].filter((object) => object !== undefined);
  const unchanged = now.filter((object) => !before.has(keyOf(object)));
  const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
  return [...unchanged, ...undone].toSorted((a, b) => compare(positionOf(a), positionOf(b)));
}
