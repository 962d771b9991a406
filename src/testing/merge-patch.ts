/** RFC 7386 merge patch and, for the few lists that components patch, the merge keys of a strategic merge patch. */
/** Lists that a strategic patch merges, by the key that identifies an entry. */
const MERGE_KEYS: Readonly<Record<string, string>> = {
  ownerReferences: 'uid',
  conditions: 'type',
  addresses: 'type',
  containers: 'name',
  env: 'name',
  volumes: 'name',
};

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export function mergePatch(target: unknown, patch: unknown, strategic: boolean): unknown {
  if (!isRecord(patch)) return structuredClone(patch);
  const out: Record<string, unknown> = isRecord(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    const mergeKey = strategic ? MERGE_KEYS[key] : undefined;
    if (value === null) delete out[key];
    else if (strategic && key === 'finalizers' && Array.isArray(value)) {
      out[key] = [...new Set([...((out[key] as unknown[] | undefined) ?? []), ...(value as unknown[])])];
    } else if (strategic && key.startsWith('$deleteFromPrimitiveList/') && Array.isArray(value)) {
      const list = key.slice('$deleteFromPrimitiveList/'.length);
      out[list] = ((out[list] as unknown[] | undefined) ?? []).filter((entry) => !value.includes(entry));
    } else if (mergeKey && Array.isArray(value)) out[key] = mergeList(out[key], value as unknown[], mergeKey);
    else out[key] = mergePatch(out[key], value, strategic);
  }
  return out;
}

function mergeList(target: unknown, patch: readonly unknown[], mergeKey: string): unknown[] {
  const out = Array.isArray(target) ? [...(target as unknown[])] : [];
  for (const entry of patch) {
    if (!isRecord(entry)) continue;
    const at = out.findIndex((present) => isRecord(present) && present[mergeKey] === entry[mergeKey]);
    if (entry['$patch'] === 'delete') {
      if (at >= 0) out.splice(at, 1);
    } else if (at >= 0) out[at] = mergePatch(out[at], entry, true);
    else out.push(structuredClone(entry));
  }
  return out;
}
