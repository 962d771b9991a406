/** How the objects of a resource are kept and merged: data, looked up by group and resource. */
import type { Layout } from './crdt/shape.js';

export interface KindPolicy {
  /**
   * `document`: desired state that people and controllers share merges field by field (Automerge).
   * `register`: made by one machine at a time; the later stamp wins each part whole.
   */
  readonly merge: 'document' | 'register';
  readonly layout: Layout;
  /** False for kinds whose deletion nobody needs to remember (Events): no tombstone is kept. */
  readonly tombstones: boolean;
}

export interface KindPolicies {
  policyOf(group: string, resource: string): KindPolicy;
}
