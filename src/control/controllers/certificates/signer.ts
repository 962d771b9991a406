/** Signs approved certificate requests of the cluster's own signers (upstream's `csrsigning` controllers). */
import { errorText } from '../../../base/log.js';
import { parseRequest, requestPem } from '../../../api/certificates/pkcs10.js';
import { isOwnSigner, signerProblem } from '../../../api/certificates/signers.js';
import { Controller } from '../../../client/controller.js';
import type { SharedDeps } from '../deps.js';
import { CERTIFICATE_REQUESTS, conditionOf, isIssued, withCondition, type Request } from './requests.js';

export interface CertificateSignerOptions {
  /**
   * Signs with the cluster's authority, the request's subject and names as they are. Life in milliseconds; the authority
   * may shorten it. Rejects when the request's own signature is wrong.
   */
  signCertificate(
    csrPem: string,
    order: { readonly usages: readonly string[]; readonly lifeMs: number },
  ): Promise<string>;
  /** Longest life of a certificate in milliseconds; a year unless told. */
  readonly maxCertificateMs?: number;
}

const YEAR_MS = 365 * 24 * 3_600_000;
const MIN_SECONDS = 600;

export function certificateSignerController(deps: SharedDeps, options: CertificateSignerOptions): Controller {
  const { client } = deps;
  const requests = deps.informers.of<Request>(CERTIFICATE_REQUESTS);
  const controller = new Controller(deps, { name: 'csrsigning', waitFor: [requests], reconcile });
  requests.addHandler({ onUpsert: ({ metadata }) => controller.queue.add(metadata.name ?? '') });

  async function reconcile(name: string): Promise<void> {
    const request = requests.get('', name);
    if (!request || !isOwnSigner(request.spec.signerName) || isIssued(request)) return;
    if (!conditionOf(request, 'Approved') || conditionOf(request, 'Denied') || conditionOf(request, 'Failed')) return;
    const answer = await sign(request);
    const next =
      'problem' in answer
        ? withCondition(request, 'Failed', 'SignerValidationFailure', answer.problem)
        : { ...request, status: { ...request.status, certificate: Buffer.from(answer.pem).toString('base64') } };
    await client.updateStatus<Request>(CERTIFICATE_REQUESTS, next);
  }

  async function sign({ spec }: Request): Promise<{ readonly pem: string } | { readonly problem: string }> {
    const usages = spec.usages ?? [];
    const wanted = Math.max(spec.expirationSeconds ?? Infinity, MIN_SECONDS) * 1000;
    const lifeMs = Math.min(wanted, options.maxCertificateMs ?? YEAR_MS);
    try {
      const problem = signerProblem(spec.signerName, parseRequest(spec.request), usages);
      if (problem !== undefined) return { problem };
      return { pem: await options.signCertificate(requestPem(spec.request), { usages, lifeMs }) };
    } catch (error) {
      // Signing asks nobody: what cannot be signed now never can.
      return { problem: errorText(error) };
    }
  }

  return controller;
}
