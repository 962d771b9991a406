/** How authorizers keep indexes of the store's objects without knowing the store: whoever composes them does the following. */
import type { KubeObject } from '../../api/object.js';

export interface ObjectChange {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly object: KubeObject;
}

export interface FollowedObjects {
  readonly group: string;
  readonly resource: string;
  /** The complete state; what was known before is void. */
  reset(objects: readonly KubeObject[]): void;
  /** One change after that, in order. */
  changed(change: ObjectChange): void;
}

/** Single objects of the present state. */
export interface ObjectLookup {
  get(key: {
    readonly group: string;
    readonly resource: string;
    readonly namespace: string;
    readonly name: string;
  }): KubeObject | undefined;
}
