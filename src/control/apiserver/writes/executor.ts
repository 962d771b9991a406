/**
 * The write path on the sequencer: decode, default, admit, validate, compare-and-set, store. One generic pipeline for
 * every kind; what differs between kinds is data and rules of `api/`. Synchronous and deterministic but for the injected
 * randomness; failures are replies, so a throw is a bug.
 */
import { ApiError, methodNotAllowed, notFoundPath } from '../../../api/errors.js';
import { MASTERS_GROUP } from '../../../security/authn/user.js';
import type { WriteExecutor, WriteReply, WriteTransaction } from '../../../store/object-store.js';
import { answeredConversion } from '../customresources/remote-transaction.js';
import { announceCustom, resolveKind, transactionFor } from '../customresources/resolution.js';
import { inVersion } from '../equivalents.js';
import type { ExecutorDeps, Outcome, WriteContext } from './context.js';
import { createObject } from './create.js';
import { deleteCollection, deleteObject } from './delete.js';
import { bindPod, evictPod } from './pod-subresources.js';
import { patchObject, updateObject } from './update.js';
import { StagedAdmission } from './staged-admission.js';
import type { WriteRequest } from './write-request.js';

export type { ExecutorDeps } from './context.js';

function run(context: WriteContext): Outcome {
  const { request, info } = context;
  switch (request.verb) {
    case 'create':
      if (info.group === '' && info.resource === 'bindings') return bindPod(context);
      switch (request.subresource) {
        case '':
          return createObject(context);
        case 'binding':
          return bindPod(context);
        case 'eviction':
          return evictPod(context);
        default:
          throw notFoundPath();
      }
    case 'update':
      return updateObject(context);
    case 'patch':
      return patchObject(context);
    case 'delete':
      if (request.subresource !== '') throw methodNotAllowed();
      return deleteObject(context);
    case 'deletecollection':
      return deleteCollection(context);
  }
}

/** Nothing for writes that no webhook was asked about. */
function staged(deps: ExecutorDeps, { admitted }: WriteRequest): ExecutorDeps {
  if (admitted === undefined && deps.onAdmitted === undefined) return deps;
  return { ...deps, admission: new StagedAdmission(deps.admission, admitted, deps.onAdmitted) };
}

/** The function that the store runs for every `WriteRequest`. */
export function createWriteExecutor(deps: ExecutorDeps): WriteExecutor {
  return (transaction: WriteTransaction, submitted: unknown): WriteReply => {
    const request = submitted as WriteRequest;
    const warnings: string[] = [];
    let annotations: Record<string, string> | undefined;
    try {
      const info = resolveKind(deps.registry, transaction, request.group, request.version, request.resource);
      if (info === undefined) throw notFoundPath();
      const context: WriteContext = {
        deps: staged(deps, request),
        transaction: transactionFor(info, transaction, request),
        request,
        info,
        warnings,
        lookups: {
          nowMs: transaction.nowMs,
          get: (group, resource, namespace, name) => transaction.get({ group, resource, namespace, name }),
          list: (group, resource, namespace) => transaction.list(group, resource, namespace),
          inVersion: (object, of, as) =>
            inVersion(deps.registry, object, of, as, (remote, own) =>
              answeredConversion(remote, own, remote.shown, request.conversions ?? []),
            ),
        },
        effects: {
          warn: (text) => {
            if (!warnings.includes(text)) warnings.push(text);
          },
          annotate: (key, value) => {
            annotations = { ...annotations, [key]: value };
          },
          put: (group, resource, object) => {
            const { namespace = '', name = '' } = object.metadata;
            transaction.put({ group, resource, namespace, name }, object);
          },
        },
      };
      if (info.rules !== undefined) announceCustom(info.rules, request, warnings);
      const { code, body } = run(context);
      return { code, body, warnings, ...(annotations ? { annotations } : {}) };
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      return { code: error.code, body: error.toStatus(), warnings, ...(annotations ? { annotations } : {}) };
    }
  };
}

/** The user that components of this cluster act as when they have no certificate of their own at hand. */
export const SYSTEM_USER = Object.freeze({ name: 'system:skein', groups: [MASTERS_GROUP, 'system:authenticated'] });
