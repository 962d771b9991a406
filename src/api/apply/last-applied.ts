/**
 * The annotation in which client-side `kubectl apply` keeps what it applied. kubectl's own server-side apply (field manager
 * `kubectl`) takes such objects over without conflicts, and keeps the annotation true for older kubectls.
 */
import type { KubeObject } from '../object.js';
import { difference, EMPTY_SET, isEmptySet, type FieldSet } from './field-set.js';
import { isMap, type OwnedType } from './owned-type.js';
import { unchangedSince, type ManagerConflict } from './ownership.js';

export const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';
/** The field manager of `kubectl apply --server-side`. */
export const KUBECTL_MANAGER = 'kubectl';

/** Bytes of all annotations of an object. */
const MAX_ANNOTATIONS_BYTES = 256 * 1024;

const annotationOf = ({ metadata }: KubeObject): string | undefined => metadata.annotations?.[LAST_APPLIED];

/** What client-side apply may be taken to own: what it applied last and is still so. */
function ownedByClientSideApply(type: OwnedType, live: KubeObject, apiVersion: string): FieldSet {
  const text = annotationOf(live);
  if (!text) return EMPTY_SET;
  let last: unknown;
  try {
    last = JSON.parse(text);
  } catch {
    return EMPTY_SET;
  }
  return isMap(last) && last['apiVersion'] === apiVersion ? unchangedSince(type, last, live) : EMPTY_SET;
}

/** The conflicts that are left when those that stem from client-side apply are allowed. */
export function withoutClientSideApply(
  conflicts: readonly ManagerConflict[],
  type: OwnedType,
  live: KubeObject,
  apiVersion: string,
): readonly ManagerConflict[] {
  const allowed = ownedByClientSideApply(type, live, apiVersion);
  if (isEmptySet(allowed)) return conflicts;
  return conflicts
    .map(({ entry, paths }) => ({ entry, paths: difference(paths, allowed) }))
    .filter(({ paths }) => !isEmptySet(paths));
}

/** JSON as Go's encoder of maps writes it: keys sorted, HTML escaped, a newline at the end. */
function goJson(value: unknown): string {
  const sorted = (inner: unknown): unknown => {
    if (Array.isArray(inner)) return inner.map(sorted);
    if (!isMap(inner)) return inner;
    return Object.fromEntries(
      Object.keys(inner)
        .toSorted()
        .map((key) => [key, sorted(inner[key])]),
    );
  };
  return `${JSON.stringify(sorted(value)).replace(
    /[<>&\u2028\u2029]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )}\n`;
}

/** The object with the annotation saying `config`, if it has the annotation at all; without it when that grows too large. */
export function withLastApplied<T extends KubeObject>(object: T, config: object): T {
  if (!annotationOf(object)) return object;
  const metadata = (config as { metadata?: unknown }).metadata;
  const stated = { ...(config as Record<string, unknown>) };
  if (isMap(metadata) && isMap(metadata['annotations'])) {
    const { [LAST_APPLIED]: _, ...annotations } = metadata['annotations'];
    stated['metadata'] = { ...metadata, annotations };
  }
  const annotations: Record<string, string> = { ...object.metadata.annotations, [LAST_APPLIED]: goJson(stated) };
  let bytes = 0;
  for (const [key, value] of Object.entries(annotations)) bytes += Buffer.byteLength(key) + Buffer.byteLength(value);
  if (bytes > MAX_ANNOTATIONS_BYTES) delete annotations[LAST_APPLIED];
  return { ...object, metadata: { ...object.metadata, annotations } };
}
