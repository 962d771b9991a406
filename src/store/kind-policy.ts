/** How the objects of a resource are kept and merged: data, looked up by group and resource. */
import type { KubeObject } from '../api/object.js';
import type { DocumentEngine, DocumentLimits } from './crdt/document.js';
import type { Layout } from './crdt/shape.js';
import type { ObjectKey } from './object-store.js';

/**
 * What a component without a majority of the registered peers may do to an object.
 *
 * `replicate`: everything; a merge follows. `hold`: users may write it, but its pods are left as they are. `majority`: nothing,
 * but for reporting its status.
 */
export type Partition = 'replicate' | 'hold' | 'majority';

export interface KindPolicy {
  /**
   * `document`: desired state that people and controllers share merges field by field (Automerge).
   * `register`: made by one machine at a time; the later stamp wins each part whole.
   */
  readonly merge: 'document' | 'register';
  readonly layout: Layout;
  /** When documents are squashed; as every peer has it by default. */
  readonly documentLimits?: DocumentLimits;
  /** What writes and merges documents; `AUTOMERGE` unless told. A simulation does once what all its peers do alike. */
  readonly documents?: DocumentEngine;
  /** False for kinds whose deletion nobody needs to remember (Events): no tombstone is kept. */
  readonly tombstones: boolean;
  /**
   * The node on which such an object lives, if it lives on one (a bound Pod, a Node). The part of the cluster that has that
   * node knows; what another part did to it (marking it unreachable, evicting it) was a guess, and yields in a merge.
   */
  readonly homeOf?: (value: KubeObject) => string | undefined;
  /** The value without what a part that has not got that node sets by itself: not worth a report when it yields. */
  readonly withoutGuesses?: (value: KubeObject) => KubeObject;
  /** Made anew by controllers from what they observe: what a merge overrides of it is counted, and told to nobody. */
  readonly isDerived?: boolean;
}

export interface KindPolicies {
  policyOf(group: string, resource: string): KindPolicy;
  /** `get`: the state in which the object stands. All are `replicate` without it. */
  partitionOf?(key: ObjectKey, object: KubeObject, get: (key: ObjectKey) => KubeObject | undefined): Partition;
}
