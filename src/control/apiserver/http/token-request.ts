/** POST `serviceaccounts/NAME/token`: answered by this peer, nothing is stored. */
import { DEFAULT_BODY_LIMITS, parseBody } from '../../../api/body.js';
import { badRequest } from '../../../api/errors.js';
import { decodeObject } from '../../../api/schema/decode.js';
import type { KubeObject } from '../../../api/object.js';
import type { KindInfo, KindRegistry } from '../../../api/schema/registry.js';
import type { TokenRequest } from '../../../api/types/authentication-v1.js';
import { restrictNodeToken } from '../../../security/admission/node-restriction.js';
import type { ServiceAccounts } from '../../../security/serviceaccounts/service-accounts.js';
import { addAuditAnnotations } from '../audit/annotations.js';
import { bodySubject, type AdmissionSubject } from '../webhooks/review.js';
import type { WebhookStage } from '../webhooks/webhook-stage.js';
import { readBody } from './request-body.js';
import type { ResourceRequest } from './resource-handler.js';
import { negotiate } from './negotiation.js';
import { sendObject } from './response.js';

const MAX_BYTES = 64 * 1024;

export const isTokenRequest = ({ verb, path }: Pick<ResourceRequest, 'verb' | 'path'>) =>
  verb === 'create' && path.subresource === 'token' && path.resource === 'serviceaccounts' && path.group === '';

/** The request as admission sees it: what is sent is a TokenRequest, what it is about is the account. */
function subjectOf({ path, query, user }: ResourceRequest, kind: KindInfo, object: KubeObject): AdmissionSubject {
  const { namespace, name } = path;
  const dryRun = query.getAll('dryRun').includes('All');
  return bodySubject(path, {
    operation: 'CREATE',
    user,
    dryRun,
    kind,
    options: { kind: 'CreateOptions', apiVersion: 'meta.k8s.io/v1', ...(dryRun ? { dryRun: ['All'] } : {}) },
    object: { ...object, metadata: { name, namespace, ...object.metadata } },
  });
}

/** Throws `ApiError`. */
export async function handleTokenRequest(
  call: ResourceRequest,
  accounts: ServiceAccounts,
  registry: KindRegistry,
  admission: Pick<WebhookStage, 'admit'> | undefined,
): Promise<void> {
  const { request, response, path, query, user } = call;
  const { format } = negotiate(request.headers.accept, { tables: false });
  const body = await readBody(request, MAX_BYTES);
  const info = registry.kindInfo('authentication.k8s.io', 'v1', 'TokenRequest');
  if (!info) throw new Error('no schema for TokenRequest');
  const { value, duplicates } = parseBody(body, request.headers['content-type'], DEFAULT_BODY_LIMITS);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw badRequest('an object is required');
  const strict = query.get('fieldValidation') === 'Strict' ? 'Strict' : 'Ignore';
  const { object } = decodeObject(info, value, strict, duplicates);
  // Created a moment ago on another peer, perhaps.
  await accounts.lookups.fresh();
  const settle = (sent: unknown) => decodeObject(info, sent, 'Ignore').object;
  const admitted = await admission?.admit(subjectOf(call, info, object), settle);
  if (admitted) addAuditAnnotations(response, admitted.annotations);
  const asked = (admitted?.object ?? object) as unknown as TokenRequest;
  restrictNodeToken(user, path.name, asked, (pod) => accounts.lookups.get('', 'pods', path.namespace, pod));
  const answer = await accounts.requests.create(path.namespace, path.name, asked);
  await sendObject(request, response, 201, answer.object, format, {
    warnings: [...(admitted?.warnings ?? []), ...answer.warnings],
  });
}
