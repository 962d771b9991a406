/**
 * How a machine joins, over HTTPS at any peer:
 *
 * 1. GET  /skein/v1/ca    the CA's certificate, from a server that is not trusted yet; checked against the token's hash.
 * 2. POST /skein/v1/join  over TLS that is verified with that CA: token, node name, peer id and a certificate request.
 *    The answer makes the machine a full peer, with the CA's key: there are no masters.
 *
 * The token's secret itself is sent, inside the verified TLS connection, because the cluster keeps only its hash: a proof
 * made with the hash could be made by anybody who may read the Secret.
 */
import { parseRange, type VersionRange } from '../../base/version-range.js';
import { JoinError, type JoinErrorCode } from './token.js';

export const CA_PATH = '/skein/v1/ca';
export const JOIN_PATH = '/skein/v1/join';
/** The longest body of a request or an answer, in bytes. */
export const MAX_JOIN_BODY_BYTES = 1024 * 1024;

export interface JoinRequest {
  readonly tokenId: string;
  readonly tokenSecret: string;
  readonly nodeName: string;
  readonly peerId: string;
  /** IPs or names at which the new peer's API will be reached. */
  readonly addresses: readonly string[];
  readonly csrPem: string;
  /** Which formats its build knows; absent from builds that do not say it. */
  readonly formats?: VersionRange;
}

/** What a full peer knows of its cluster besides its own identity. */
export interface ClusterFacts {
  readonly clusterId: string;
  readonly clusterCidr: string;
  readonly serviceCidr: string;
}

export interface PeerAddress {
  readonly id?: string;
  /** `host:port` of its peer-to-peer listener. */
  readonly addresses: readonly string[];
}

export interface JoinReply extends ClusterFacts {
  readonly caCertPem: string;
  readonly caKeyPem: string;
  readonly certPem: string;
  /** Base64. */
  readonly clusterSecret: string;
  /** The signed membership record, base64. */
  readonly membership: string;
  readonly peers: readonly PeerAddress[];
}

const CODES: readonly string[] = ['expired-token', 'unknown-token', 'name-in-use', 'bad-request', 'failed'];

/** Reads a request body. Throws a {@link JoinError} with the code `bad-request`. */
export function parseJoinRequest(body: Uint8Array): JoinRequest {
  const fields = parseObject(body);
  const text = (key: string): string => {
    const value = fields?.[key];
    if (typeof value !== 'string' || value === '') throw new JoinError('bad-request', `the join request has no ${key}`);
    return value;
  };
  const addresses = fields?.['addresses'];
  if (!Array.isArray(addresses) || !addresses.every((address) => typeof address === 'string'))
    throw new JoinError('bad-request', 'the join request has no addresses');
  const nodeName = text('nodeName');
  // RFC 1123 subdomain, as for the names of Node objects.
  if (nodeName.length > 253 || !/^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(nodeName))
    throw new JoinError('bad-request', `"${nodeName.slice(0, 253)}" is not a valid node name`);
  const formats = parseRange(fields?.['formats']);
  return {
    ...(formats ? { formats } : {}),
    tokenId: text('tokenId'),
    tokenSecret: text('tokenSecret'),
    nodeName,
    peerId: text('peerId'),
    addresses,
    csrPem: text('csrPem'),
  };
}

/** Reads an answer. Throws what the server refused with, or `failed` when it is no answer of a join. */
export function parseJoinReply(status: number, body: Uint8Array): JoinReply {
  const fields = parseObject(body);
  if (status === 200 && typeof fields?.['caKeyPem'] === 'string' && typeof fields['membership'] === 'string')
    return fields as unknown as JoinReply;
  const { code, message } = fields ?? {};
  if (typeof code === 'string' && CODES.includes(code) && typeof message === 'string')
    throw new JoinError(code as JoinErrorCode, message);
  throw new JoinError('failed', `the peer answered the join with HTTP status ${status}`);
}

function parseObject(body: Uint8Array): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(body).toString());
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
