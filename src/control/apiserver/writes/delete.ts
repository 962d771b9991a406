/**
 * DELETE: at once, or in steps when the object has a grace period (pods on a node), finalizers, or is a namespace.
 *
 * state          | condition                                      | what a DELETE does
 * present        | grace 0 and no finalizers                      | removed
 * present        | grace > 0                                      | deletionTimestamp in the future, grace recorded
 * present        | finalizers                                     | deletionTimestamp now, grace 0
 * being deleted  | shorter grace                                  | deletionTimestamp moved closer
 * being deleted  | otherwise                                      | nothing
 */
import { rfc3339 } from '../../../base/clock.js';
import { sameJson } from '../../../base/same-json.js';
import { badRequest, conflict, invalid, methodNotAllowed, notFound } from '../../../api/errors.js';
import type { KubeObject } from '../../../api/object.js';
import { apiVersionOf } from '../../../api/resource.js';
import type { ResourceInfo } from '../../../api/schema/registry.js';
import { parseFieldSelector } from '../../../api/selectors/field.js';
import { parseLabelSelector } from '../../../api/selectors/label.js';
import type { Namespace, Pod } from '../../../api/types/core-v1.js';
import type { ObjectKey } from '../../../store/object-store.js';
import { attributesOf, bodyOf, keyOf, type Outcome, type WriteContext } from './context.js';
import { heldByInstances } from '../customresources/definition-transaction.js';
import { positionOf } from '../reads/rewound-list.js';
import { orphansByDefault, returnsDeleted } from './kind-rules.js';
import type { DeleteParameters } from './write-request.js';

const ORPHAN = 'orphan';
const FOREGROUND = 'foregroundDeletion';

/** Nothing holds an object that is being deleted any more. */
export function isRemovable(object: KubeObject): boolean {
  const { metadata } = object;
  if (metadata.deletionTimestamp === undefined || (metadata.finalizers?.length ?? 0) > 0) return false;
  if (object.kind === 'Namespace' && object.apiVersion === 'v1') {
    return ((object as Namespace).spec?.finalizers?.length ?? 0) === 0;
  }
  return (metadata.deletionGracePeriodSeconds ?? 0) === 0;
}

export function finishDeletion(context: WriteContext, key: ObjectKey, object: KubeObject): KubeObject {
  const last = context.transaction.delete(key) ?? object;
  context.deps.admission.committed(attributesOf(context, 'DELETE', key.name, undefined, object), last);
  return last;
}

function optionsFromBody(context: WriteContext): DeleteParameters {
  const body = context.request.verb === 'create' ? undefined : bodyOf(context);
  return body?.value === undefined ? {} : deleteParameters(body.value);
}

/** Reads a `DeleteOptions` object. Throws a 400 for wrong types. */
export function deleteParameters(value: unknown): DeleteParameters {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw badRequest('DeleteOptions: an object is required');
  }
  const input = value as Record<string, unknown>;
  const kind = input['kind'];
  if (typeof kind === 'string' && kind !== '' && kind !== 'DeleteOptions') {
    throw badRequest(`decoded object cannot be converted to DeleteOptions: ${kind}`);
  }
  const preconditions = (input['preconditions'] ?? {}) as Record<string, unknown>;
  const grace = input['gracePeriodSeconds'];
  if (grace !== undefined && grace !== null && !Number.isInteger(grace)) {
    throw badRequest('DeleteOptions: gracePeriodSeconds must be an integer');
  }
  return {
    ...(typeof grace === 'number' ? { gracePeriodSeconds: grace } : {}),
    ...(typeof input['propagationPolicy'] === 'string' ? { propagationPolicy: input['propagationPolicy'] } : {}),
    ...(typeof input['orphanDependents'] === 'boolean' ? { orphanDependents: input['orphanDependents'] } : {}),
    ...(typeof preconditions['uid'] === 'string' ? { uid: preconditions['uid'] } : {}),
    ...(typeof preconditions['resourceVersion'] === 'string'
      ? { resourceVersion: preconditions['resourceVersion'] }
      : {}),
  };
}

const POLICIES = ['Orphan', 'Background', 'Foreground'];

function checkParameters({ propagationPolicy, orphanDependents }: DeleteParameters): void {
  if (propagationPolicy === undefined) return;
  const of = { group: 'meta.k8s.io', kind: 'DeleteOptions' };
  if (orphanDependents !== undefined) {
    throw invalid(of, '', [
      {
        type: 'FieldValueInvalid',
        field: 'propagationPolicy',
        message: `Invalid value: "${propagationPolicy}": orphanDependents and deletionPropagation cannot be both set`,
      },
    ]);
  }
  if (!POLICIES.includes(propagationPolicy)) {
    throw invalid(of, '', [
      {
        type: 'FieldValueInvalid',
        field: 'propagationPolicy',
        message: `Invalid value: "${propagationPolicy}": DeletionPropagation need to be one of "Foreground", "Background", "Orphan" or nil`,
      },
    ]);
  }
}

/** Throws a 409 when the present object is not the one that was meant. */
export function checkPreconditions(
  info: ResourceInfo,
  present: KubeObject,
  { uid, resourceVersion }: DeleteParameters,
): void {
  const { metadata } = present;
  const name = metadata.name ?? '';
  if (uid !== undefined && uid !== metadata.uid) {
    throw conflict(
      info,
      name,
      `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${metadata.uid ?? ''}`,
    );
  }
  if (resourceVersion !== undefined && resourceVersion !== metadata.resourceVersion) {
    throw conflict(
      info,
      name,
      `Precondition failed: ResourceVersion in precondition: ${resourceVersion}, ` +
        `ResourceVersion in object meta: ${metadata.resourceVersion ?? ''}`,
    );
  }
}

/** Seconds that the object is given to end by itself: only pods that a node runs have any. */
function graceOf(info: ResourceInfo, object: KubeObject, requested: number | undefined): number {
  if (info.group !== '' || info.resource !== 'pods') return 0;
  const pod = object as Pod;
  if (!pod.spec?.nodeName || pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed') return 0;
  const grace = requested ?? pod.spec.terminationGracePeriodSeconds ?? 30;
  return grace < 0 ? 1 : grace;
}

function finalizersAfter(
  info: ResourceInfo,
  present: KubeObject,
  { propagationPolicy, orphanDependents }: DeleteParameters,
): string[] {
  const before = present.metadata.finalizers ?? [];
  const settled = before.includes(ORPHAN) || before.includes(FOREGROUND);
  const byDefault = !settled && orphansByDefault(info) ? 'Orphan' : '';
  const policy =
    propagationPolicy ?? (orphanDependents === true ? 'Orphan' : orphanDependents === false ? 'Background' : byDefault);
  if (policy === '') return before;
  const kept = before.filter((finalizer) => finalizer !== ORPHAN && finalizer !== FOREGROUND);
  if (policy === 'Orphan') kept.push(ORPHAN);
  if (policy === 'Foreground') kept.push(FOREGROUND);
  return kept;
}

/** The object as it is once its deletion has been asked for. */
function markedForDeletion(
  { transaction, info }: WriteContext,
  present: KubeObject,
  parameters: DeleteParameters,
): KubeObject {
  const metadata = { ...present.metadata };
  const finalizers = finalizersAfter(info, present, parameters);
  if (finalizers.length > 0) metadata.finalizers = finalizers;
  else delete metadata.finalizers;
  const grace = graceOf(info, present, parameters.gracePeriodSeconds);
  const before = metadata.deletionGracePeriodSeconds ?? 0;
  if (metadata.deletionTimestamp === undefined) {
    metadata.deletionTimestamp = rfc3339(transaction.nowMs + grace * 1000);
    metadata.deletionGracePeriodSeconds = grace;
    if ((metadata.generation ?? 0) > 0) metadata.generation = (metadata.generation ?? 0) + 1;
  } else if (grace < before && (parameters.gracePeriodSeconds !== undefined || grace === 0)) {
    const end = Date.parse(metadata.deletionTimestamp) - before * 1000 + grace * 1000;
    metadata.deletionTimestamp = rfc3339(end);
    metadata.deletionGracePeriodSeconds = grace;
  }
  const marked: KubeObject = { ...present, metadata };
  if (info.group === '' && info.resource === 'namespaces') {
    marked.status = { ...(present as Namespace).status, phase: 'Terminating' };
  }
  return marked;
}

/** Deletes a present object by all the rules. `removed` tells whether it is gone now. */
export function deletePresent(
  context: WriteContext,
  key: ObjectKey,
  present: KubeObject,
  parameters: DeleteParameters,
): { object: KubeObject; removed: boolean } {
  const { info, request, transaction, deps } = context;
  checkParameters(parameters);
  checkPreconditions(info, present, parameters);
  const attributes = attributesOf(context, 'DELETE', key.name, undefined, present);
  deps.admission.admit(attributes, context.lookups);
  deps.admission.validate(attributes, context.lookups);
  const marked = heldByInstances(info, transaction, markedForDeletion(context, present, parameters));
  const removed = isRemovable(marked);
  if (request.dryRun) return { object: removed ? present : marked, removed };
  if (removed) return { object: finishDeletion(context, key, present), removed };
  if (sameJson(marked, present)) return { object: present, removed };
  return { object: transaction.put(key, marked), removed };
}

/** Old clients did not expect the pods of a Job to go with it; new ones often do. */
function warnOfOrphans({ info, warnings }: WriteContext, parameters: DeleteParameters): void {
  const unsaid = parameters.propagationPolicy === undefined && parameters.orphanDependents === undefined;
  if (!unsaid || info.group !== 'batch' || !orphansByDefault(info)) return;
  warnings.push(
    'child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them ' +
      'or set propagationPolicy=Orphan to suppress this warning',
  );
}

export function deleteObject(context: WriteContext): Outcome {
  const { info, request, transaction } = context;
  if (!info.verbs.includes('delete')) throw methodNotAllowed();
  const parameters = { ...request.deletion, ...optionsFromBody(context) };
  const key = keyOf(info, request.namespace, request.name);
  const present = transaction.get(key);
  if (present === undefined) throw notFound(info, request.name);
  warnOfOrphans(context, parameters);
  const { object, removed } = deletePresent(context, key, present, parameters);
  const waits = parameters.orphanDependents === false || parameters.propagationPolicy === 'Foreground';
  if (!removed) return { code: waits ? 202 : 200, body: object };
  return { code: 200, body: returnsDeleted(info) ? object : deletedStatus(info, object) };
}

const deletedStatus = (info: ResourceInfo, object: KubeObject) => ({
  kind: 'Status',
  apiVersion: 'v1',
  metadata: {},
  status: 'Success',
  details: {
    name: object.metadata.name ?? '',
    ...(info.group === '' ? {} : { group: info.group }),
    kind: info.resource,
    ...(object.metadata.uid === undefined ? {} : { uid: object.metadata.uid }),
  },
});

/**
 * Objects of a collection that one write deletes at most: nothing else is ordered meanwhile, and peers would take a sequencer that
 * is busy for seconds for dead. The answer's `continue` tells where the next piece begins.
 */
export const MAX_COLLECTION_PIECE = 500;

/** One piece of a collection. */
export function deleteCollection(context: WriteContext): Outcome {
  const { info, request, transaction } = context;
  if (!info.verbs.includes('deletecollection')) throw methodNotAllowed();
  const labels = parseLabelSelector(request.labelSelector ?? '');
  const fields = parseFieldSelector(info, request.fieldSelector ?? '', info.rules?.selectableFields);
  const parameters = { ...request.deletion, ...optionsFromBody(context) };
  const namespace = info.namespaced && request.namespace !== '' ? request.namespace : undefined;
  const { collectionAfter = '' } = request;
  const items: KubeObject[] = [];
  let last = '';
  let rest = '';
  for (const present of transaction.list(info.group, info.resource, namespace)) {
    const place = positionOf(present);
    if (place <= collectionAfter || !labels.matches(present.metadata.labels) || !fields.matches(present)) continue;
    if (items.length === MAX_COLLECTION_PIECE) {
      rest = last;
      break;
    }
    last = place;
    const key = keyOf(info, present.metadata.namespace ?? '', present.metadata.name ?? '');
    items.push(deletePresent(context, key, present, parameters).object);
  }
  const metadata = { resourceVersion: '', ...(rest === '' ? {} : { continue: rest }) };
  const body = { kind: info.listKind, apiVersion: apiVersionOf(info), metadata, items };
  return { code: 200, body };
}
