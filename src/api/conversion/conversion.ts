/**
 * Resources that are another view of what is stored: HPA `autoscaling/v1` of `autoscaling/v2`, `events.k8s.io` Events of core
 * Events, the versions of a CustomResourceDefinition of its storage version. Requests are decoded, patched, validated and shown
 * in the version they name; objects are kept in the storage version. A resource that is its own storage has no view and
 * pays nothing.
 */
import type { KubeObject } from '../object.js';
import type { ResourceRef } from '../resource.js';
import { BUILT_IN_VIEWS } from './views.js';

/** Pure and total: whatever is stored can be shown. Neither function changes its argument. */
export interface Conversion {
  readonly storage: ResourceRef;
  toStorage(object: KubeObject): KubeObject;
  fromStorage(stored: KubeObject): KubeObject;
}

export interface StorageView extends Conversion {
  /**
   * Set where a conversion needs somebody else's answer (a conversion webhook): then the synchronous functions only see to what
   * can be done without it. Objects come back in the order given.
   */
  readonly remote?: RemoteConversion;
}

export interface RemoteConversion {
  /** Whether a stored object must be converted before it can be shown. */
  needs(stored: KubeObject): boolean;
  /** Rejects with an `ApiError` when the webhook fails. */
  fromStorage(stored: readonly KubeObject[]): Promise<readonly KubeObject[]>;
  toStorage(objects: readonly KubeObject[]): Promise<readonly KubeObject[]>;
}

/**
 * A view that converts each stored (frozen) object once, however many readers and watches show it: their encodings are
 * shared by identity. Entries go with the objects.
 */
export function rememberingView(conversion: Conversion): StorageView {
  const shown = new WeakMap<KubeObject, KubeObject>();
  return {
    storage: conversion.storage,
    toStorage: (object) => conversion.toStorage(object),
    fromStorage: (stored) => {
      let view = shown.get(stored);
      if (view === undefined) {
        view = conversion.fromStorage(stored);
        if (Object.isFrozen(stored)) {
          if (view !== stored) freezeDeep(view);
          shown.set(stored, view);
        }
      }
      return view;
    },
  };
}

function freezeDeep(value: unknown): void {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return;
  Object.freeze(value);
  for (const item of Object.values(value)) freezeDeep(item);
}

const views = new Map(
  Object.entries(BUILT_IN_VIEWS).map(([name, conversion]) => [name, rememberingView(conversion)] as const),
);

/** The view of a built-in resource; undefined for one that is stored as it is. */
export const builtInView = (group: string, version: string, resource: string): StorageView | undefined =>
  views.get(`${group}/${version}/${resource}`);
