/** What every API object has in common. Pure types; the shapes of built-in kinds are in `api/types/`. */
import type { ObjectMeta } from './types/meta-v1.js';

export type { LabelSelector, ObjectMeta, OwnerReference } from './types/meta-v1.js';

/** A JSON value. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** An API object of any kind: what the store holds and what travels. Treat it as deeply frozen. */
export interface KubeObject {
  apiVersion?: string;
  kind?: string;
  metadata: ObjectMeta;
  spec?: unknown;
  status?: unknown;
}

export type DeepReadonly<T> = T extends (infer E)[]
  ? readonly DeepReadonly<E>[]
  : T extends object
    ? { readonly [K in keyof T]: DeepReadonly<T[K]> }
    : T;

/** `namespace/name`, or `name` for cluster-scoped objects: the key that controllers queue. */
export function keyOf(object: { metadata: { namespace?: string; name?: string } }): string {
  const { namespace, name = '' } = object.metadata;
  return namespace ? `${namespace}/${name}` : name;
}

/** The inverse of {@link keyOf}. */
export function splitKey(key: string): { namespace: string; name: string } {
  const slash = key.indexOf('/');
  return slash < 0 ? { namespace: '', name: key } : { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}

/** The owner reference with `controller: true`, if any. */
export function controllerOf(object: DeepReadonly<{ metadata: ObjectMeta }>) {
  return object.metadata.ownerReferences?.find((owner) => owner.controller === true);
}
