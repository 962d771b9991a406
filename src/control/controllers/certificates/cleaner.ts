/** Deletes certificate requests that have been answered, or that nobody answers (upstream's `csrcleaner`). */
import { isConflict, isNotFound } from '../../../api/errors.js';
import { expiryOf } from '../../../api/certificates/pkcs10.js';
import { Controller, type ReconcileResult } from '../../../client/controller.js';
import type { SharedDeps } from '../deps.js';
import { CERTIFICATE_REQUESTS, conditionOf, isIssued, type Request } from './requests.js';

/** Milliseconds; upstream's values unless told. */
export interface CertificateCleanerOptions {
  readonly issuedMs?: number;
  readonly deniedMs?: number;
  readonly failedMs?: number;
  readonly pendingMs?: number;
}

const HOUR_MS = 3_600_000;
/** A timer does not reach further than 24 days: looked at again then. */
const FURTHEST_MS = 24 * HOUR_MS;

/** When a request is to go, in milliseconds since the epoch. */
export function dueMs(request: Request, options: CertificateCleanerOptions = {}): number {
  const { issuedMs = HOUR_MS, deniedMs = HOUR_MS, failedMs = HOUR_MS, pendingMs = 24 * HOUR_MS } = options;
  const { status, metadata } = request;
  const after = (type: 'Approved' | 'Denied' | 'Failed', ms: number) => {
    const { lastUpdateTime } = conditionOf(request, type) ?? {};
    return lastUpdateTime === undefined ? Infinity : Date.parse(lastUpdateTime) + ms;
  };
  const times = [after('Denied', deniedMs), after('Failed', failedMs)];
  if (isIssued(request)) {
    times.push(after('Approved', issuedMs), expiryOf(status?.certificate ?? '') ?? Infinity);
  } else if ((status?.conditions ?? []).length === 0) {
    times.push(Date.parse(metadata.creationTimestamp ?? '') + pendingMs);
  }
  return Math.min(...times.filter((time) => !Number.isNaN(time)));
}

export function certificateCleanerController(deps: SharedDeps, options: CertificateCleanerOptions = {}): Controller {
  const { client, clock } = deps;
  const requests = deps.informers.of<Request>(CERTIFICATE_REQUESTS);
  const controller = new Controller(deps, { name: 'csrcleaner', waitFor: [requests], reconcile });
  requests.addHandler({ onUpsert: ({ metadata }) => controller.queue.add(metadata.name ?? '') });

  async function reconcile(name: string): Promise<ReconcileResult | void> {
    const request = requests.get('', name);
    if (!request) return;
    const waitMs = dueMs(request, options) - clock.nowMs();
    if (waitMs === Infinity) return;
    if (waitMs > 0) return { requeueAfterMs: Math.min(waitMs, FURTHEST_MS) };
    const { uid } = request.metadata;
    try {
      await client.delete(CERTIFICATE_REQUESTS, '', name, uid === undefined ? {} : { preconditions: { uid } });
    } catch (error) {
      if (!isNotFound(error) && !isConflict(error)) throw error;
    }
  }
  return controller;
}
