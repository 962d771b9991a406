/** The scale subresource of custom resources: an `autoscaling/v1 Scale` made of the fields that the definition names. */
import { internalError } from '../errors.js';
import type { KubeObject } from '../object.js';
import type { CustomResourceSubresourceScale } from '../types/apiextensions-v1.js';
import type { Scale } from '../types/autoscaling-v1.js';

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** `.spec.replicas` -> `[spec, replicas]`. The definition's validation allows nothing but plain fields. */
export const fieldsOf = (path: string): string[] => path.replace(/^\./, '').split('.');

function at(object: unknown, path: string | undefined): unknown {
  if (!path) return undefined;
  let value = object;
  for (const name of fieldsOf(path)) value = isRecord(value) ? value[name] : undefined;
  return value;
}

/** Throws a 500 when the object has no replicas, as upstream. */
export function scaleOf(object: KubeObject, paths: CustomResourceSubresourceScale): Scale & KubeObject {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
  const replicas = at(object, paths.specReplicasPath);
  const current = at(object, paths.statusReplicasPath);
  const selector = at(object, paths.labelSelectorPath);
  if (typeof replicas !== 'number') {
    throw internalError(new Error(`the spec replicas field "${paths.specReplicasPath}" does not exist`));
  }
  return {
    apiVersion: 'autoscaling/v1',
    kind: 'Scale',
    metadata: {
      ...(name === undefined ? {} : { name }),
      ...(namespace === undefined ? {} : { namespace }),
      ...(uid === undefined ? {} : { uid }),
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
      ...(creationTimestamp === undefined ? {} : { creationTimestamp }),
    },
    // Go leaves a zero out here: `replicas` of Scale is no pointer.
    spec: replicas === 0 ? {} : { replicas },
    status: {
      replicas: typeof current === 'number' ? current : 0,
      ...(typeof selector === 'string' && selector !== '' ? { selector } : {}),
    },
  };
}

/** The object with the replicas of a Scale. */
export function scaled(object: KubeObject, scale: Scale, paths: CustomResourceSubresourceScale): KubeObject {
  return withField(object, fieldsOf(paths.specReplicasPath), scale.spec?.replicas ?? 0) as unknown as KubeObject;
}

function withField(value: unknown, [name = '', ...rest]: readonly string[], leaf: unknown): Record<string, unknown> {
  const record = isRecord(value) ? value : {};
  return { ...record, [name]: rest.length === 0 ? leaf : withField(record[name], rest, leaf) };
}
