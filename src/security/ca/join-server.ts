/** The side of a join that is in the cluster already: mounted at `JOIN_PATH`. */
import type { Clock } from '../../base/clock.js';
import { errorText, type Logger } from '../../base/log.js';
import type { VersionRange } from '../../base/version-range.js';
import type { ClusterCa } from './authority.js';
import {
  parseJoinRequest,
  type ClusterFacts,
  type JoinReply,
  type JoinRequest,
  type PeerAddress,
} from './join-protocol.js';
import { signMembership } from './membership-record.js';
import { checkToken, JoinError, type JoinErrorCode, type TokenStore } from './token.js';

/** How long a membership record counts: as long as the CA, for removal is by denial, not by expiry. */
const MEMBERSHIP_LIFE_MS = 10 * 365 * 24 * 3_600_000;

/** Of builds that do not say what they know. */
const FIRST_FORMATS: VersionRange = { oldest: 1, newest: 1 };

export interface JoinServerDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly ca: ClusterCa;
  readonly tokens: TokenStore;
  readonly facts: ClusterFacts;
  readonly clusterSecret: Uint8Array;
  /** The ClusterIP of the Service `kubernetes`. */
  readonly serviceIp: string;
  /** How long the certificate lives, in milliseconds. */
  readonly certificateLifeMs: number;
  /** Peer ids of members (alive or not forgotten) that have this node name. */
  readonly holdersOf: (nodeName: string) => readonly { readonly peerId: string; readonly alive: boolean }[];
  /** Why a build that knows these formats cannot work with the cluster; undefined when it can. */
  readonly unfit: (formats: VersionRange) => string | undefined;
  /** Where peers are found, this one first. */
  readonly peers: () => readonly PeerAddress[];
}

export interface JoinAnswer {
  /** The HTTP status. */
  readonly status: number;
  /** JSON. */
  readonly body: string;
}

const STATUS: Partial<Record<JoinErrorCode, number>> = {
  'expired-token': 401,
  'unknown-token': 401,
  'name-in-use': 409,
  'bad-request': 400,
};

/** Answers one join. Never rejects. May be called concurrently. */
export async function handleJoin(deps: JoinServerDeps, body: Uint8Array): Promise<JoinAnswer> {
  try {
    const request = parseJoinRequest(body);
    const reply = await admit(deps, request);
    deps.log.info('a peer joined', { node: request.nodeName, peer: request.peerId, token: request.tokenId });
    return { status: 200, body: JSON.stringify(reply) };
  } catch (error) {
    const code = error instanceof JoinError ? error.code : 'failed';
    const message = error instanceof JoinError ? error.message : 'the join failed at the peer; see its log';
    deps.log.warn('refused a join', { code, error: errorText(error) });
    return { status: STATUS[code] ?? 500, body: JSON.stringify({ code, message }) };
  }
}

async function admit(deps: JoinServerDeps, request: JoinRequest): Promise<JoinReply> {
  const nowMs = deps.clock.nowMs();
  checkToken(await deps.tokens.get(request.tokenId), request.tokenSecret, nowMs);
  const taken = deps.holdersOf(request.nodeName).find(({ peerId, alive }) => alive && peerId !== request.peerId);
  if (taken) throw new JoinError('name-in-use', `the node name "${request.nodeName}" is in use by another live peer`);
  const unfit = deps.unfit(request.formats ?? FIRST_FORMATS);
  if (unfit !== undefined) throw new JoinError('bad-request', unfit);
  const certPem = await sign(deps, request);
  return {
    ...deps.facts,
    caCertPem: deps.ca.certPem,
    caKeyPem: deps.ca.keyPem,
    certPem,
    clusterSecret: Buffer.from(deps.clusterSecret).toString('base64'),
    membership: Buffer.from(issueMembership(deps.ca, deps.facts.clusterId, request, nowMs)).toString('base64'),
    peers: deps.peers(),
  };
}

async function sign(deps: JoinServerDeps, request: JoinRequest): Promise<string> {
  const { nodeName, peerId, addresses } = request;
  try {
    return await deps.ca.signServingRequest(request.csrPem, {
      nodeName,
      peerId,
      addresses,
      serviceIp: deps.serviceIp,
      lifeMs: deps.certificateLifeMs,
    });
  } catch (error) {
    throw new JoinError('bad-request', 'the certificate request cannot be used', { cause: error });
  }
}

/** The membership record of a peer, as a founder makes it for itself and a member for who joins. */
export function issueMembership(
  ca: ClusterCa,
  clusterId: string,
  peer: { readonly nodeName: string; readonly peerId: string },
  nowMs: number,
): Uint8Array {
  return signMembership(ca.keyPem, {
    clusterId,
    nodeName: peer.nodeName,
    peerId: peer.peerId,
    notBeforeMs: nowMs,
    notAfterMs: nowMs + MEMBERSHIP_LIFE_MS,
  });
}
