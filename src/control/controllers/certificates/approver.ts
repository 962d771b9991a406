/** Approves client certificates of kubelets whose requester may have them (upstream's `csrapproving` controller). */
import { CertificateRequestError, parseRequest } from '../../../api/certificates/pkcs10.js';
import { KUBELET_CLIENT_SIGNER, signerProblem } from '../../../api/certificates/signers.js';
import { Controller, type ReconcileResult } from '../../../client/controller.js';
import type { SharedDeps } from '../deps.js';
import { CERTIFICATE_REQUESTS, conditionOf, isIssued, withCondition, type Request } from './requests.js';

export interface CertificateRequester {
  readonly name: string;
  readonly uid?: string;
  readonly groups: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

export interface CertificateApproverOptions {
  /** Whether the user may `create` `certificatesigningrequests/SUBRESOURCE`: the right that approves by itself. */
  mayRequest(user: CertificateRequester, subresource: 'nodeclient' | 'selfnodeclient'): boolean | Promise<boolean>;
}

/** Rights may be given after the request: looked at again after so many milliseconds. */
const AGAIN_MS = 60_000;

export function certificateApproverController(deps: SharedDeps, options: CertificateApproverOptions): Controller {
  const requests = deps.informers.of<Request>(CERTIFICATE_REQUESTS);
  const controller = new Controller(deps, { name: 'csrapproving', waitFor: [requests], reconcile });
  requests.addHandler({ onUpsert: ({ metadata }) => controller.queue.add(metadata.name ?? '') });

  async function reconcile(name: string): Promise<ReconcileResult | void> {
    const request = requests.get('', name);
    if (!request || isIssued(request) || conditionOf(request, 'Approved') || conditionOf(request, 'Denied')) return;
    const commonName = kubeletNameOf(request);
    if (commonName === undefined) return;
    const { username = '', uid, groups = [], extra } = request.spec;
    const user = { name: username, groups, ...(uid === undefined ? {} : { uid }), ...(extra ? { extra } : {}) };
    const self = commonName === username && (await options.mayRequest(user, 'selfnodeclient'));
    if (!self && !(await options.mayRequest(user, 'nodeclient'))) return { requeueAfterMs: AGAIN_MS };
    const message = `Auto approving ${self ? 'self ' : ''}kubelet client certificate after SubjectAccessReview.`;
    await deps.client.update<Request>(
      CERTIFICATE_REQUESTS,
      withCondition(request, 'Approved', 'AutoApproved', message),
      {
        subresource: 'approval',
      },
    );
  }
  return controller;
}

/** The name in a request for a kubelet's client certificate; undefined for other requests. */
function kubeletNameOf({ spec }: Request): string | undefined {
  if (spec.signerName !== KUBELET_CLIENT_SIGNER) return undefined;
  try {
    const parsed = parseRequest(spec.request);
    return signerProblem(KUBELET_CLIENT_SIGNER, parsed, spec.usages ?? []) === undefined
      ? parsed.commonName
      : undefined;
  } catch (error) {
    if (error instanceof CertificateRequestError) return undefined;
    throw error;
  }
}
