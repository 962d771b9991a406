/** The first peer's side: a cluster out of nothing, and the pieces that founder and joiner use alike. */
import type { Clock } from '../../base/clock.js';
import { uuid, type Random } from '../../base/random.js';
import { parseRange, type VersionRange } from '../../base/version-range.js';
import { ClusterCa, type ServingRequest } from './authority.js';
import { saveCertificate, type NodeIdentity } from './identity-store.js';
import type { JoinResult } from './join-client.js';
import { issueMembership } from './join-server.js';
import { checkMembership } from './membership-record.js';
import { renewalDue } from './pem.js';

interface Deps {
  readonly clock: Clock;
  readonly random: Random;
}

/** Who a peer is before it belongs to a cluster. */
export interface PeerKeys {
  readonly nodeName: string;
  readonly peerId: string;
  readonly peerKey: Uint8Array;
}

/** What a cluster's trust rests on. */
export interface ClusterKeys {
  readonly caCertPem: string;
  readonly caKeyPem: string;
  readonly clusterSecret: Uint8Array;
}

/** Makes a cluster with a new id, its first member this peer. CA and secret are new too, unless they are given. */
export async function foundCluster(
  deps: Deps,
  peer: PeerKeys,
  options: {
    readonly clusterCidr: string;
    readonly serviceCidr: string;
    readonly serviceIp: string;
    readonly addresses: readonly string[];
    /** How long the peer's certificate lives, in milliseconds; a year unless told. */
    readonly lifeMs?: number;
    readonly keys?: ClusterKeys;
  },
): Promise<NodeIdentity> {
  const clusterId = uuid(deps.random);
  const { keys } = options;
  const ca = keys ? await ClusterCa.load(deps, keys.caCertPem, keys.caKeyPem) : await ClusterCa.create(deps, clusterId);
  const { nodeName } = peer;
  const { certPem, keyPem } = await ca.issueServing({
    nodeName,
    peerId: peer.peerId,
    addresses: options.addresses,
    ...(options.lifeMs === undefined ? {} : { lifeMs: options.lifeMs }),
    serviceIp: options.serviceIp,
  });
  return {
    ...peer,
    clusterId,
    clusterCidr: options.clusterCidr,
    serviceCidr: options.serviceCidr,
    membership: issueMembership(ca, clusterId, peer, deps.clock.nowMs()),
    clusterSecret: keys?.clusterSecret ?? deps.random.bytes(32),
    caCertPem: ca.certPem,
    caKeyPem: ca.keyPem,
    certPem,
    keyPem,
  };
}

/** The identity that a successful join gives. */
export function joinedIdentity(peer: PeerKeys, result: JoinResult): NodeIdentity {
  return {
    nodeName: peer.nodeName,
    peerId: peer.peerId,
    peerKey: peer.peerKey,
    clusterId: result.clusterId,
    clusterCidr: result.clusterCidr,
    serviceCidr: result.serviceCidr,
    caCertPem: result.caCertPem,
    caKeyPem: result.caKeyPem,
    certPem: result.certPem,
    keyPem: result.keyPem,
    membership: Buffer.from(result.membership, 'base64'),
    clusterSecret: Buffer.from(result.clusterSecret, 'base64'),
  };
}

/**
 * Renews the peer's certificate when two thirds of its life are over or `force` is set (its addresses changed). Gives back
 * the identity to use from now on; saved before it is returned.
 */
export async function renewCertificate(
  deps: Deps,
  dataDir: string,
  identity: NodeIdentity,
  request: Omit<ServingRequest, 'nodeName' | 'peerId'>,
  force = false,
): Promise<NodeIdentity> {
  if (!force && !renewalDue(identity.certPem, deps.clock.nowMs())) return identity;
  const ca = await ClusterCa.load(deps, identity.caCertPem, identity.caKeyPem);
  const { certPem, keyPem } = await ca.issueServing({
    ...request,
    nodeName: identity.nodeName,
    peerId: identity.peerId,
  });
  await saveCertificate(dataDir, certPem, keyPem);
  return { ...identity, certPem, keyPem };
}

/** Which formats a peer's build knows, and the level of the cluster as the peer has it. */
export interface PeerFormats {
  readonly formats: VersionRange;
  readonly level: number;
}

/** Of builds that do not say it. */
const UNSAID: PeerFormats = { formats: { oldest: 1, newest: 1 }, level: 1 };

/**
 * What peers say to each other when they connect; JSON with the membership record in base64. Every build can read the hello
 * of every other: fields are added, and none is ever changed.
 */
export function membershipHello(
  identity: NodeIdentity,
  addresses: readonly string[],
  { formats, level }: PeerFormats = UNSAID,
): Uint8Array {
  const record = Buffer.from(identity.membership).toString('base64');
  return Buffer.from(
    JSON.stringify({ version: 1, record, addresses, formats: [formats.oldest, formats.newest], level }),
  );
}

/** Judges a hello of a peer whose id the connection has proved. */
export function judgeHello(
  identity: Pick<NodeIdentity, 'clusterId' | 'caCertPem'>,
  peerId: string,
  hello: Uint8Array,
  nowMs: number,
):
  | ({ readonly ok: true; readonly nodeName: string; readonly addresses: readonly string[] } & PeerFormats)
  | { readonly ok: false; readonly reason: string } {
  let record: Uint8Array;
  let addresses: readonly string[];
  let said: PeerFormats;
  try {
    const fields = JSON.parse(Buffer.from(hello).toString()) as Readonly<Record<string, unknown>>;
    const { record: text, addresses: places, level } = fields;
    if (typeof text !== 'string' || !Array.isArray(places)) throw new Error('fields are missing');
    record = Buffer.from(text, 'base64');
    addresses = places.filter((address) => typeof address === 'string').slice(0, 16);
    said = {
      formats: parseRange(fields['formats']) ?? UNSAID.formats,
      level: typeof level === 'number' ? level : UNSAID.level,
    };
  } catch {
    return { ok: false, reason: 'its hello cannot be read' };
  }
  const check = checkMembership(identity.caCertPem, record, { clusterId: identity.clusterId, peerId, nowMs });
  return check.ok ? { ok: true, nodeName: check.record.nodeName, addresses, ...said } : check;
}
