/** The annotation in which `kubectl apply` keeps the manifest that was applied last. Same bytes as kubectl's. */
import type { KubeObject } from '../../api/object.js';
import { goJson } from '../printers/documents.js';

export const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';

/** The manifest with itself in the annotation, ready to be sent. `namespace` is filled in where there is one. */
export function withLastApplied(manifest: KubeObject, namespace: string): KubeObject {
  const { [LAST_APPLIED]: _, ...annotations } = manifest.metadata.annotations ?? {};
  const metadata = { ...manifest.metadata, ...(namespace ? { namespace } : {}), annotations };
  const bare = { ...manifest, metadata };
  return { ...bare, metadata: { ...metadata, annotations: { ...annotations, [LAST_APPLIED]: `${goJson(bare)}\n` } } };
}

/** The manifest in the annotation of a live object; undefined when there is none that can be read. */
export function lastAppliedOf(live: KubeObject): Readonly<Record<string, unknown>> | undefined {
  const text = live.metadata.annotations?.[LAST_APPLIED];
  if (text === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Readonly<Record<string, unknown>>)
      : undefined;
  } catch {
    return undefined;
  }
}
