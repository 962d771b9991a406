/** Loads the interface facts of the Kubernetes API that are kept as compressed JSON in `api/data/`. */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';

export type DataName = 'schemas' | 'resources' | 'go-fields' | 'protobuf';

/** Reads one data file. Synchronous and uncached: callers keep what they make of it. */
export function loadData(name: DataName): unknown {
  const bytes = readFileSync(new URL(`../data/${name}.json.gz`, import.meta.url));
  return JSON.parse(gunzipSync(bytes).toString('utf8'));
}
