/** PUT and PATCH, of objects and of their `status`, `scale`, `finalize` and other object-shaped subresources. */
import { sameJson } from '../../../base/same-json.js';
import { parseJsonBody, parseYamlBody } from '../../../api/body.js';
import {
  badRequest,
  conflict,
  invalid,
  methodNotAllowed,
  notFound,
  OPTIMISTIC_LOCK_TEXT,
  unsupportedMediaType,
} from '../../../api/errors.js';
import { sameButTimes, type Managers } from '../../../api/apply/managers.js';
import type { KubeObject } from '../../../api/object.js';
import { decodeObject } from '../../../api/schema/decode.js';
import type { KindInfo } from '../../../api/schema/registry.js';
import { applyDefaults } from '../../../api/defaults/defaults.js';
import { applyJsonPatch } from '../../../api/patch/json.js';
import { applyMergePatch } from '../../../api/patch/merge.js';
import { applyStrategicMergePatch } from '../../../api/patch/strategic.js';
import { withoutReallocated } from '../../../api/strategy/reallocation.js';
import { fromScale, toScale } from '../../../api/strategy/scale.js';
import { prepareForUpdate } from '../../../api/strategy/strategy.js';
import { validateScale, validateUpdate } from '../../../api/validation/validate.js';
import { configurationOf, applyToObject } from './apply.js';
import { applyToScale } from './apply-scale.js';
import { attributesOf, checkPlace, decodeBody, keyOf, type Outcome, type WriteContext } from './context.js';
import { storeNew } from './create.js';
import { finishDeletion, isRemovable } from './delete.js';
import { creatableOnUpdate, requiresRevision } from './kind-rules.js';
import { managersAfter, managersOf, setManagers } from './ownership.js';
import { agreedObject } from './staged-admission.js';

function requirePresent({ transaction, info, request }: WriteContext): KubeObject {
  const present = transaction.get(keyOf(info, request.namespace, request.name));
  if (present === undefined) throw notFound(info, request.name);
  return present;
}

/** What the object looks like through the addressed subresource. */
function viewOf({ request, info }: WriteContext, present: KubeObject): KubeObject {
  return request.subresource === 'scale' ? toScale(info, present) : present;
}

/** The kind of the body: that of the subresource. */
function bodyKind({ request, info, deps }: WriteContext): KindInfo {
  if (request.subresource === '') return info;
  const subresource = info.subresources.get(request.subresource);
  if (subresource === undefined) throw notFound(info, `${request.name}/${request.subresource}`);
  return deps.registry.kindInfo(subresource.group, subresource.version, subresource.kind) ?? info;
}

function checkVerb({ request, info }: WriteContext): void {
  const verbs = request.subresource === '' ? info.verbs : info.subresources.get(request.subresource)?.verbs;
  if (!verbs?.includes(request.verb)) throw methodNotAllowed();
}

/** Compare-and-set: a given version and uid must be the present ones. */
function checkPreconditions({ info, request }: WriteContext, next: KubeObject, present: KubeObject): void {
  const { resourceVersion, uid } = next.metadata;
  if (uid && present.metadata.uid && uid !== present.metadata.uid) {
    throw conflict(
      info,
      request.name,
      `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${present.metadata.uid}`,
    );
  }
  if (resourceVersion && resourceVersion !== '0') {
    if (resourceVersion !== present.metadata.resourceVersion) throw conflict(info, request.name, OPTIMISTIC_LOCK_TEXT);
  } else if (requiresRevision(info) && request.verb === 'update') {
    throw invalid(info, request.name, [
      {
        type: 'FieldValueInvalid',
        field: 'metadata.resourceVersion',
        message: 'Invalid value: 0x0: must be specified for an update',
      },
    ]);
  }
}

const withoutBookkeeping = (object: KubeObject) => ({
  ...object,
  metadata: { ...object.metadata, resourceVersion: undefined, managedFields: undefined },
});

/**
 * An update that changes nothing is not written: no revision, no event. That the times of owners moved is nothing: a value may
 * have been changed and changed back on its way (normalised, defaulted).
 */
function isNothingNew(prepared: KubeObject, present: KubeObject): boolean {
  if (!sameButTimes(managersOf(prepared), managersOf(present))) return false;
  return sameJson(withoutBookkeeping(prepared), withoutBookkeeping(present));
}

/** Everything after the new state is known. `next` belongs to us. */
function replace(context: WriteContext, next: KubeObject, present: KubeObject, applied?: Managers): KubeObject {
  const { info, request, transaction, deps } = context;
  checkPreconditions(context, next, present);
  // A Scale has become the whole object by now.
  const through = request.subresource === 'scale' ? '' : request.subresource;
  if (request.subresource !== 'scale') applyDefaults(info, next);
  const managers = applied ?? managersAfter(context, next, present);
  // What webhooks made of it is held to the same rules.
  const before = request.reallocate ? withoutReallocated(present, next) : present;
  const prepared = prepareForUpdate(info, agreedObject(request, next) ?? next, before, through);
  if (present.metadata.uid !== undefined) prepared.metadata.uid = present.metadata.uid;
  if (present.metadata.creationTimestamp !== undefined) {
    prepared.metadata.creationTimestamp = present.metadata.creationTimestamp;
  }
  setManagers(prepared, managers);
  const attributes = attributesOf(context, 'UPDATE', request.name, prepared, present);
  deps.admission.admit(attributes, context.lookups);
  const errors = validateUpdate(info, prepared, before, request.subresource);
  if (errors.length > 0) throw invalid(info, request.name, errors);
  deps.admission.validate(attributes, context.lookups);
  if (isNothingNew(prepared, present)) return present;
  if (request.dryRun) {
    return { ...prepared, metadata: { ...prepared.metadata, resourceVersion: present.metadata.resourceVersion ?? '' } };
  }
  const key = keyOf(info, request.namespace, request.name);
  const stored = transaction.put(key, prepared);
  deps.admission.committed(attributes, stored);
  if (isRemovable(stored)) finishDeletion(context, key, stored);
  return stored;
}

function replaceThroughView(
  context: WriteContext,
  decoded: KubeObject,
  present: KubeObject,
  applied?: Managers,
): Outcome {
  if (context.request.subresource !== 'scale') return { code: 200, body: replace(context, decoded, present, applied) };
  const scale = decoded as Parameters<typeof fromScale>[2];
  const errors = validateScale(scale);
  if (errors.length > 0) throw invalid({ group: 'autoscaling', kind: 'Scale' }, context.request.name, errors);
  // The revision in a Scale is that of the object it stands for.
  const { resourceVersion, uid } = decoded.metadata;
  const scaled = fromScale(context.info, present, scale);
  const metadata = { ...scaled.metadata };
  if (resourceVersion) metadata.resourceVersion = resourceVersion;
  else delete metadata.resourceVersion;
  if (uid) metadata.uid = uid;
  const stored = replace(context, { ...scaled, metadata }, present, applied);
  return { code: 200, body: toScale(context.info, stored) };
}

export function updateObject(context: WriteContext): Outcome {
  const { request, info, transaction } = context;
  checkVerb(context);
  const decoded = decodeBody(context, bodyKind(context));
  checkPlace(context, decoded);
  const present = transaction.get(keyOf(info, request.namespace, request.name));
  if (present === undefined) {
    if (request.subresource !== '' || !creatableOnUpdate(info)) throw notFound(info, request.name);
    return { code: 201, body: storeNew(context, decoded) };
  }
  return replaceThroughView(context, decoded, present);
}

const PATCH_MEDIA_TYPES =
  'application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml';

function patchBody({ request, deps }: WriteContext): unknown {
  if (request.object !== undefined) return request.object;
  const body = request.body ?? new Uint8Array();
  return request.contentType.includes('yaml')
    ? parseYamlBody(body, deps.bodyLimits).value
    : parseJsonBody(body, deps.bodyLimits).value;
}

function patched(context: WriteContext, kind: KindInfo, view: KubeObject, patch: unknown): unknown {
  switch (context.request.patch) {
    case 'json':
      return applyJsonPatch(view, patch);
    case 'merge':
      return applyMergePatch(view, patch);
    case 'strategic':
      if (context.info.custom) {
        throw unsupportedMediaType(
          'the body of the request was in an unknown format - accepted media types include: ' +
            'application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml',
        );
      }
      return applyStrategicMergePatch(kind, view, patch);
    case 'apply':
    case undefined:
      throw unsupportedMediaType(
        `the body of the request was in an unknown format - accepted media types include: ${PATCH_MEDIA_TYPES}`,
      );
  }
}

function applyObject(context: WriteContext, kind: KindInfo): Outcome {
  const { request, info, transaction } = context;
  const config = configurationOf(context, kind);
  const present =
    request.subresource === ''
      ? transaction.get(keyOf(info, request.namespace, request.name))
      : requirePresent(context);
  const { object, managers } =
    present !== undefined && request.subresource === 'scale'
      ? applyToScale(context, kind, config, present)
      : applyToObject(context, config, present);
  // The schema has refused unknown fields already, but for those of embedded objects in custom resources.
  const { object: decoded, warnings } = decodeObject(kind, object, request.fieldValidation);
  context.warnings.push(...warnings);
  checkPlace(context, decoded);
  if (present !== undefined) return replaceThroughView(context, decoded, present, managers);
  return { code: 201, body: storeNew(context, decoded, managers) };
}

/** Unlike an object that is sent whole, a patch with unknown fields is refused as one that makes an invalid object. */
function decodePatched({ request, warnings }: WriteContext, kind: KindInfo, result: object): KubeObject {
  const strict = request.fieldValidation === 'Strict';
  const decoded = decodeObject(kind, result, strict ? 'Warn' : request.fieldValidation);
  if (strict && decoded.warnings.length > 0) {
    const why = `strict decoding error: ${decoded.warnings.join(', ')}`;
    const message = `Invalid value: ${JSON.stringify(JSON.stringify(result))}: ${why}`;
    throw invalid({ group: '', kind: '' }, '', [{ type: 'FieldValueInvalid', field: 'patch', message }]);
  }
  warnings.push(...decoded.warnings);
  return decoded.object;
}

export function patchObject(context: WriteContext): Outcome {
  const { request } = context;
  checkVerb(context);
  const kind = bodyKind(context);
  if (request.patch === 'apply') return applyObject(context, kind);
  const patch = patchBody(context);
  const present = requirePresent(context);
  const view = viewOf(context, present);
  const result = patched(context, kind, view, patch);
  if (typeof result !== 'object' || result === null) throw badRequest('the patch does not yield an object');
  const object = decodePatched(context, kind, result);
  checkPlace(context, object);
  // A patch that does not speak of the version is applied to whatever is present.
  return replaceThroughView(context, object, present);
}
