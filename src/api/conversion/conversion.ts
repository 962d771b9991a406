/**
 * Resources that are another view of what is stored: HPA `autoscaling/v1` of `autoscaling/v2`, `events.k8s.io` Events of core
 * Events, the versions of a CustomResourceDefinition of its storage version. Requests are decoded, patched, validated and shown
 * in the version they name; objects are kept in the storage version. A resource that is its own storage has no view and
 * pays nothing.
 */
import type { KubeObject } from '../object.js';
import type { ResourceRef } from '../resource.js';
import type { WebhookConversion } from '../types/apiextensions-v1.js';
import { BUILT_IN_VIEWS } from './views.js';

/** Pure and total: whatever is stored can be shown. Neither function changes its argument. */
export interface Conversion {
  readonly storage: ResourceRef;
  toStorage(object: KubeObject): KubeObject;
  fromStorage(stored: KubeObject): KubeObject;
}

export interface StorageView extends Conversion {
  /**
   * Set where converting needs somebody else's answer (a conversion webhook). The synchronous functions then take only what is in
   * the wanted version already, and throw for anything else.
   */
  readonly remote?: RemoteConversion;
}

export interface RemoteConversion {
  readonly webhook: WebhookConversion;
  /** `group/version` that requests speak. */
  readonly shown: string;
  /** `group/version` that new objects are stored in. */
  readonly kept: string;
  /** What the webhook's answer means: it may change everything but the metadata, of which only labels and annotations. */
  settle(original: KubeObject, converted: KubeObject): KubeObject;
}

/**
 * A view that converts each stored (frozen) object once, however many readers and watches show it: their encodings are
 * shared by identity. Entries go with the objects.
 */
export function rememberingView(conversion: Conversion, remote?: RemoteConversion): StorageView {
  const shown = new WeakMap<KubeObject, KubeObject>();
  return {
    storage: conversion.storage,
    ...(remote === undefined ? {} : { remote }),
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
