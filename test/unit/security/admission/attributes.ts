/** Requests and a state for plugins under test. */
import type { KubeObject } from '../../../../src/api/object.js';
import type { AdmissionAttributes, AdmissionLookups } from '../../../../src/security/admission/admission.js';

/** The creation of an object of the core group, or what `more` makes of it. */
export function attributes(
  resource: string,
  object: KubeObject | undefined,
  more: Partial<AdmissionAttributes> = {},
): AdmissionAttributes {
  const { name = '', namespace = '' } = (object ?? more.oldObject)?.metadata ?? {};
  return {
    operation: 'CREATE',
    group: '',
    version: 'v1',
    resource,
    kind: object?.kind ?? '',
    subresource: '',
    namespace,
    name,
    user: { name: 'somebody', groups: [] },
    dryRun: false,
    effects: { warn: () => {}, put: () => {}, annotate: () => {} },
    ...(object ? { object } : {}),
    ...more,
  };
}

/** Objects by resource, whatever their group. */
export function lookups(objects: Readonly<Record<string, readonly KubeObject[]>>): AdmissionLookups {
  const list = (resource: string, namespace?: string) =>
    (objects[resource] ?? []).filter(({ metadata }) => namespace === undefined || metadata.namespace === namespace);
  return {
    nowMs: 0,
    inVersion: (object) => object,
    list: (_group, resource, namespace) => list(resource, namespace),
    get: (_group, resource, namespace, name) =>
      list(resource).find(({ metadata }) => metadata.name === name && (metadata.namespace ?? '') === namespace),
  };
}
