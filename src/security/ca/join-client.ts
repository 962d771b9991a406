/** The side of a join that wants in. */
import { request as httpsRequest, type RequestOptions } from 'node:https';
import type { Clock } from '../../base/clock.js';
import { errorText } from '../../base/log.js';
import type { VersionRange } from '../../base/version-range.js';
import { newServingRequest } from './authority.js';
import {
  CA_PATH,
  JOIN_PATH,
  MAX_JOIN_BODY_BYTES,
  parseJoinReply,
  type JoinReply,
  type JoinRequest,
} from './join-protocol.js';
import { certificateHash, isSignedBy, keyMatches } from './pem.js';
import { JoinError, parseToken, type JoinToken } from './token.js';

export interface Joiner {
  readonly nodeName: string;
  readonly peerId: string;
  /** IPs or names at which this peer's API will be reached. */
  readonly addresses: readonly string[];
  /** Which formats its build knows. */
  readonly formats: VersionRange;
}

export interface JoinResult extends JoinReply {
  /** The key of `certPem`; it never left this machine. */
  readonly keyPem: string;
}

/** How long one request to one address may take. */
const REQUEST_TIMEOUT_MS = 10_000;

/**
 * Joins with a token: tries its addresses in order. Rejects with a {@link JoinError}; a refusal by a peer that was reached
 * and verified is final, an address that cannot be reached or verified is passed over.
 */
export async function join(clock: Clock, tokenText: string, joiner: Joiner): Promise<JoinResult> {
  const token = parseToken(tokenText, clock.nowMs());
  const { csrPem, keyPem } = await newServingRequest(joiner.nodeName);
  const request = { ...joiner, tokenId: token.id, tokenSecret: token.secret, csrPem };
  let failure: JoinError | undefined;
  for (const address of token.addresses) {
    try {
      return { ...(await joinAt(clock, address, token, request, keyPem)), keyPem };
    } catch (error) {
      if (!(error instanceof JoinError)) throw error;
      if (error.code !== 'unreachable' && error.code !== 'hash-mismatch') throw error;
      // Of several failures the suspicious one is told.
      if (failure?.code !== 'hash-mismatch') failure = error;
    }
  }
  throw failure ?? new JoinError('malformed-token', 'the join token has no addresses');
}

async function joinAt(
  clock: Clock,
  address: string,
  token: JoinToken,
  request: JoinRequest & Pick<Joiner, 'formats'>,
  keyPem: string,
): Promise<JoinReply> {
  const ca = await fetchCa(clock, address, token.caHash);
  const answer = await exchange(
    clock,
    address,
    JOIN_PATH,
    JSON.stringify({ ...request, formats: [request.formats.oldest, request.formats.newest] }),
    {
      ca,
      // Any peer of the cluster will do, under whatever name or address the token knows it.
      checkServerIdentity: () => undefined,
    },
  );
  const reply = parseJoinReply(answer.status, answer.body);
  if (
    certificateHash(reply.caCertPem) !== token.caHash ||
    !isSignedBy(reply.certPem, ca) ||
    !keyMatches(reply.certPem, keyPem)
  )
    throw new JoinError('failed', `the certificates that ${address} sent do not belong together`);
  return reply;
}

/** Step one: nothing is sent, and what comes back counts only if the token pins it. */
async function fetchCa(clock: Clock, address: string, caHash: string): Promise<string> {
  const { status, body } = await exchange(clock, address, CA_PATH, undefined, { rejectUnauthorized: false });
  const pem = Buffer.from(body).toString();
  let hash: string | undefined;
  try {
    hash = status === 200 ? certificateHash(pem) : undefined;
  } catch {
    hash = undefined;
  }
  if (hash === undefined) throw new JoinError('unreachable', `${address} is not a peer of a skein cluster`);
  if (hash !== caHash)
    throw new JoinError('hash-mismatch', `the CA of the cluster at ${address} is not the one that the join token pins`);
  return pem;
}

function exchange(
  clock: Clock,
  address: string,
  path: string,
  body: string | undefined,
  tls: RequestOptions,
): Promise<{ status: number; body: Uint8Array }> {
  const unreachable = (error: unknown) =>
    new JoinError('unreachable', `cannot reach a peer at ${address}: ${errorText(error)}`, { cause: error });
  return new Promise((resolve, reject) => {
    let url: URL;
    try {
      url = new URL(`https://${address}${path}`);
    } catch (error) {
      reject(unreachable(error));
      return;
    }
    const headers = body === undefined ? {} : { 'content-type': 'application/json' };
    const request = httpsRequest(url, { method: body === undefined ? 'GET' : 'POST', agent: false, headers, ...tls });
    const cancel = clock.timer(REQUEST_TIMEOUT_MS, () => request.destroy(new Error('timed out')));
    const fail = (error: unknown) => {
      cancel();
      reject(unreachable(error));
    };
    request.on('error', fail);
    request.on('response', (response) => {
      const parts: Buffer[] = [];
      let length = 0;
      response.on('error', fail);
      response.on('data', (part: Buffer) => {
        parts.push(part);
        length += part.length;
        if (length > MAX_JOIN_BODY_BYTES) request.destroy(new Error('the answer is too long'));
      });
      response.on('end', () => {
        cancel();
        resolve({ status: response.statusCode ?? 0, body: Buffer.concat(parts) });
      });
    });
    request.end(body);
  });
}
