/** POST of a new object. */
import { safeSuffix, uuid } from '../../../base/random.js';
import { alreadyExists, badRequest, forbidden, invalid } from '../../../api/errors.js';
import type { Managers } from '../../../api/apply/managers.js';
import type { KubeObject } from '../../../api/object.js';
import { applyDefaults } from '../../../api/defaults/defaults.js';
import { generatedName, prepareForCreate } from '../../../api/strategy/strategy.js';
import { validateCreate } from '../../../api/validation/validate.js';
import { attributesOf, checkPlace, decodeBody, keyOf, type Outcome, type WriteContext } from './context.js';
import { managersOfNew, setManagers } from './ownership.js';
import { agreedObject } from './staged-admission.js';

/** Attempts at a free generated name, as upstream. */
const NAME_ATTEMPTS = 8;

/** Five characters that make `generateName` a free name; the last attempt may still be taken and is then refused. */
function chooseSuffix({ info, transaction, deps }: WriteContext, { metadata }: KubeObject): string {
  if (metadata.name || !metadata.generateName) return '';
  let suffix = safeSuffix(deps.random);
  for (let attempt = 1; attempt < NAME_ATTEMPTS; attempt++) {
    const name = generatedName(metadata.generateName, suffix);
    if (!transaction.get(keyOf(info, metadata.namespace ?? '', name))) break;
    suffix = safeSuffix(deps.random);
  }
  return suffix;
}

export function createObject(context: WriteContext): Outcome {
  const object = decodeBody(context);
  checkPlace(context, object);
  return { code: 201, body: storeNew(context, object) };
}

/** The steps after decoding, shared with updates and applies that create. `managers` when they are known already. */
export function storeNew(context: WriteContext, sent: KubeObject, managers?: Managers): KubeObject {
  const { info, request, transaction, deps } = context;
  if (request.creationRefused !== undefined) throw forbidden(info, request.name, request.creationRefused);
  if (sent.metadata.resourceVersion) {
    throw badRequest('resourceVersion should not be set on objects to be created');
  }
  delete sent.metadata.resourceVersion;
  applyDefaults(info, sent);
  const owners = managers ?? managersOfNew(context, sent);
  const agreed = agreedObject(request, sent);
  const object = agreed ?? sent;
  setManagers(object, owners);
  prepareForCreate(info, object, {
    nowMs: transaction.nowMs,
    // Validating webhooks have seen one already.
    uid: agreed?.metadata.uid ?? uuid(deps.random),
    nameSuffix: chooseSuffix(context, object),
  });
  const name = object.metadata.name ?? '';
  const attributes = attributesOf(context, 'CREATE', name, object, undefined);
  deps.admission.admit(attributes, context.lookups);
  const errors = validateCreate(info, object);
  if (errors.length > 0) throw invalid(info, name, errors);
  deps.admission.validate(attributes, context.lookups);
  const key = keyOf(info, request.namespace, name);
  if (transaction.get(key)) throw alreadyExists(info, name);
  if (request.dryRun) return object;
  const stored = transaction.put(key, object);
  deps.admission.committed(attributes, stored);
  return stored;
}
