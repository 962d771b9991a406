/** Bodies of requests, with limits of size and time. */
import type { Clock } from '../../../base/clock.js';
import { badRequest, timeout, tooLarge } from '../../../api/errors.js';
import { endWithAnswer, type ApiRequest, type ApiResponse } from './exchange.js';
import { observerOf } from './exchange-observer.js';

export interface BodyLimits {
  /** Bytes of a request body (upstream: 3 MiB). */
  readonly bodyBytes: number;
  /** Within how many milliseconds the body of a write must have arrived (upstream's request timeout: 60 s). */
  readonly bodyMs: number;
}

/** The whole body. Rejects with a 413 as soon as it is too large, and when the client goes away before its end. */
export function readBody(request: ApiRequest, limit: number): Promise<Buffer> {
  if (Number(request.headers['content-length'] ?? 0) > limit) return Promise.reject(tooLarge(limit));
  // By events: iterating costs a multiple, and this runs for every write.
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    let size = 0;
    request.on('data', (part: Buffer) => {
      size += part.length;
      if (size > limit) {
        parts.length = 0;
        reject(tooLarge(limit));
      } else parts.push(part);
    });
    const onBroken = () => reject(badRequest('the request ended before its body did'));
    request.once('error', onBroken);
    request.once('close', onBroken);
    request.once('end', () => {
      request.off('close', onBroken);
      const body = parts.length === 1 && parts[0] ? parts[0] : Buffer.concat(parts);
      observerOf(request)?.body?.(body, request.headers['content-type'] ?? '');
      resolve(body);
    });
  });
}

/**
 * As {@link readBody}; rejects with a 504 when the body takes too long. Who sends it drop by drop would hold the place of others
 * for ever. The connection ends with the answer, as the rest of the body is not waited for.
 */
export async function readBodyInTime(
  { request, response }: { readonly request: ApiRequest; readonly response: ApiResponse },
  { bodyBytes, bodyMs }: BodyLimits,
  clock: Clock,
): Promise<Buffer> {
  if (request.complete) return readBody(request, bodyBytes);
  return new Promise((resolve, reject) => {
    const cancel = clock.timer(bodyMs, () => {
      endWithAnswer(response);
      reject(timeout('Timeout: request did not complete within the allotted timeout'));
    });
    readBody(request, bodyBytes).then(resolve, reject).finally(cancel);
  });
}
