/** What tokens are judged by: this peer's own copy of the cluster's state. */
import type { KubeObject } from '../../api/object.js';

export interface ObjectLookups {
  /** What this peer has; empty namespace for cluster-scoped resources. */
  get(group: string, resource: string, namespace: string, name: string): KubeObject | undefined;
  /** Resolves once this peer has everything that was acknowledged before. Rejects when nobody orders writes. */
  fresh(): Promise<void>;
}
