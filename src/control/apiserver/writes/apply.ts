/** PATCH with `application/apply-patch+yaml`: server-side apply, of objects and of their object-shaped subresources. */
import { rfc3339 } from '../../../base/clock.js';
import { TypedValueError } from '../../../api/apply/applied-fields.js';
import { applyConflict } from '../../../api/apply/conflict.js';
import { KUBECTL_MANAGER, withLastApplied, withoutClientSideApply } from '../../../api/apply/last-applied.js';
import { BEFORE_APPLY_MANAGER, NO_MANAGERS, type Manager, type Managers } from '../../../api/apply/managers.js';
import { applyConfiguration, trackUpdate, type Versions } from '../../../api/apply/ownership.js';
import { isMap } from '../../../api/apply/owned-type.js';
import { parseYamlBody } from '../../../api/body.js';
import { ApiError, badRequest, conflict, invalid } from '../../../api/errors.js';
import type { KubeObject } from '../../../api/object.js';
import { apiVersionOf } from '../../../api/resource.js';
import type { KindInfo } from '../../../api/schema/registry.js';
import type { WriteContext } from './context.js';
import { managerOf, managersOf, versionsOf } from './ownership.js';

export interface AppliedObject {
  /** Not decoded yet: may hold nulls. */
  readonly object: KubeObject;
  readonly managers: Managers;
}

/** The applied configuration, checked to be of the kind at hand. */
export function configurationOf({ request, deps, warnings }: WriteContext, kind: KindInfo): KubeObject {
  if (request.fieldManager === '') {
    throw invalid({ group: 'meta.k8s.io', kind: 'PatchOptions' }, '', [
      { type: 'FieldValueRequired', field: 'fieldManager', message: 'Required value: is required for apply patch' },
    ]);
  }
  let config = request.object;
  if (config === undefined) {
    let body: ReturnType<typeof parseYamlBody>;
    try {
      body = parseYamlBody(request.body ?? new Uint8Array(), deps.bodyLimits);
    } catch (error) {
      if (error instanceof ApiError && error.reason === 'BadRequest') {
        throw badRequest(`error decoding YAML: ${error.message}`);
      }
      throw error;
    }
    config = body.value;
    if (body.duplicates.length > 0) {
      if (request.fieldValidation === 'Strict') {
        throw badRequest(`error strict decoding YAML: ${body.duplicates.join(', ')}`);
      }
      if (request.fieldValidation === 'Warn') warnings.push(...body.duplicates);
    }
  }
  if (!isMap(config)) throw badRequest('error decoding YAML: the configuration is not an object');
  const { apiVersion, kind: name, metadata } = config;
  if (apiVersion !== apiVersionOf(kind) || name !== kind.kind) {
    throw badRequest(`invalid object type: ${kindText(apiVersion, name)}`);
  }
  if (metadata !== undefined && metadata !== null && !isMap(metadata)) {
    throw typedError(kind, config, '.metadata: expected map');
  }
  if (isMap(metadata) && metadata['managedFields'] !== undefined && metadata['managedFields'] !== null) {
    throw badRequest('metadata.managedFields must be nil');
  }
  return { ...config, metadata: metadata ?? {} } as unknown as KubeObject;
}

/** A kind as Go prints it: `apps/v1, Kind=Deployment`, `/v1, Kind=Pod`. */
function kindText(apiVersion: unknown, kind: unknown): string {
  const version = typeof apiVersion === 'string' ? apiVersion : '';
  return `${version.includes('/') ? version : `/${version}`}, Kind=${typeof kind === 'string' ? kind : ''}`;
}

function typedError(kind: KindInfo, config: object, why: string): ApiError {
  const { metadata } = config as { metadata?: { namespace?: unknown; name?: unknown } };
  const text = (value: unknown) => (typeof value === 'string' ? value : '');
  const name = `${text(metadata?.namespace)}/${text(metadata?.name)}`;
  return new ApiError(
    500,
    '',
    `failed to create typed patch object (${name}; ${kindText(apiVersionOf(kind), kind.kind)}): ${why}`,
  );
}

function withoutManagers(object: KubeObject): KubeObject {
  const { managedFields: _, ...metadata } = object.metadata;
  return { ...object, metadata };
}

/**
 * Applies the configuration to the present object, or makes one of it. Throws the 409 of conflicts, a 500 for what does not
 * fit the schema, as upstream.
 */
export function applyToObject(
  context: WriteContext,
  config: KubeObject,
  present: KubeObject | undefined,
): AppliedObject {
  const { info, request } = context;
  if (present === undefined && config.metadata.uid) {
    throw conflict(
      info,
      request.name,
      `uid mismatch: the provided object specified uid ${config.metadata.uid}, and no existing object was found`,
    );
  }
  const by = managerOf(context, 'Apply');
  const versions = versionsOf(context);
  const live = present === undefined ? ({ metadata: {} } as KubeObject) : withoutManagers(present);
  let managers = present === undefined ? NO_MANAGERS : managersOf(present);
  if (present !== undefined && managers.length === 0) {
    const before: Manager = { ...by, manager: BEFORE_APPLY_MANAGER, operation: 'Update' };
    managers = trackUpdate(managers, before, {}, live, rfc3339(context.transaction.nowMs), versions);
  }
  const applied = applyAs(context, info, { live, config, managers, by, versions });
  if (request.fieldManager !== KUBECTL_MANAGER) return applied;
  return { ...applied, object: withLastApplied(applied.object, config) };
}

export interface ApplyInput {
  readonly live: KubeObject;
  readonly config: KubeObject;
  readonly managers: Managers;
  readonly by: Manager;
  readonly versions: Versions;
}

export function applyAs(context: WriteContext, kind: KindInfo, input: ApplyInput): AppliedObject {
  const { request, transaction } = context;
  const { live, config, managers, by, versions } = input;
  const run = (force: boolean) =>
    applyConfiguration(live, config, managers, by, { force, now: rfc3339(transaction.nowMs), versions });
  try {
    let result = run(request.force);
    if (!result.ok) {
      const type = versions.typeOf(by.apiVersion);
      const left =
        by.manager === KUBECTL_MANAGER && type !== undefined
          ? withoutClientSideApply(result.conflicts, type, live, by.apiVersion)
          : result.conflicts;
      if (left.length > 0) throw applyConflict(left);
      result = run(true);
      if (!result.ok) throw new Error('a forced apply has no conflicts');
    }
    return result;
  } catch (error) {
    if (error instanceof TypedValueError) throw typedError(kind, config, error.message);
    throw error;
  }
}
