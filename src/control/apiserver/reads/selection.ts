/** Which objects of a resource a list, watch or collection request is about. */
import type { KubeObject } from '../../../api/object.js';
import type { ResourceRef } from '../../../api/resource.js';
import type { ResourceInfo } from '../../../api/schema/registry.js';
import { parseFieldSelector } from '../../../api/selectors/field.js';
import { parseLabelSelector } from '../../../api/selectors/label.js';

export interface SelectionOptions {
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
}

export interface Selection {
  /** Undefined: all namespaces, or a cluster-scoped resource. */
  readonly namespace: string | undefined;
  /** Whether labels and fields match everything. */
  readonly everything: boolean;
  /** The only name that can match, if the selector demands one. */
  readonly name: string | undefined;
  /** The same for selections of one resource that were asked for in the same words. */
  readonly text: string;
  matches(object: KubeObject): boolean;
}

/** The fields that a custom resource's definition offers besides name and namespace. */
export const selectableFieldsOf = (resource: ResourceRef): readonly string[] | undefined =>
  (resource as Partial<ResourceInfo>).rules?.selectableFields;

/** Throws a 400 for selectors that cannot be parsed. */
export function parseSelection(resource: ResourceRef, options: SelectionOptions): Selection {
  const labels = parseLabelSelector(options.labelSelector ?? '');
  const fields = parseFieldSelector(resource, options.fieldSelector ?? '', selectableFieldsOf(resource));
  const namespace = resource.namespaced && options.namespace ? options.namespace : undefined;
  return {
    namespace,
    everything: labels.empty && fields.empty,
    name: fields.name,
    text: [namespace ?? '', options.labelSelector ?? '', options.fieldSelector ?? ''].join('\n'),
    matches: (object) => labels.matches(object.metadata.labels) && fields.matches(object),
  };
}
