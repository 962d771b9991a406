/** Who this machine is: found a cluster, join one, or come back. */
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join as joinPath } from 'node:path';
import type { Clock } from '../base/clock.js';
import type { Logger } from '../base/log.js';
import { formatIp, parseCidr } from '../base/ipv4.js';
import type { Random } from '../base/random.js';
import { newPeerKey, peerIdOf } from '../p2p/libp2p/identity.js';
import { ClusterCa } from '../security/ca/authority.js';
import { foundCluster, joinedIdentity, renewCertificate } from '../security/ca/founding.js';
import { loadIdentity, saveIdentity, type NodeIdentity } from '../security/ca/identity-store.js';
import { join } from '../security/ca/join-client.js';
import { parseToken } from '../security/ca/token.js';
import { FORMATS } from '../store/formats.js';
import type { AgentConfig } from './config.js';
import { readFoundingFacts, removeFoundingFacts } from './offline/founding-file.js';

export interface Enrolment {
  readonly identity: NodeIdentity;
  readonly ca: ClusterCa;
  /** Peers to dial first, as the join told. */
  readonly peers: readonly { readonly id?: string; readonly addresses: readonly string[] }[];
  /** An empty store may found the state: false for a peer that joined and has not caught up. */
  readonly founded: boolean;
}

/** Marks the data directory of the machine that founded the cluster: the only one whose empty store is the cluster's. */
const FOUNDER_FILE = 'founder';

interface Deps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/** The n-th address of a range, as text. */
export function addressIn(cidr: string, n: number): string {
  const range = parseCidr(cidr);
  if (!range) throw new Error(`"${cidr}" is not an IPv4 range`);
  return formatIp(range.base + n);
}

/** The ClusterIP of `default/kubernetes`: the first of the range. */
export const kubernetesIp = (serviceCidr: string): string => addressIn(serviceCidr, 1);
/** The ClusterIP of `kube-system/kube-dns`: the tenth of the range. */
export const dnsIp = (serviceCidr: string): string => addressIn(serviceCidr, 10);

/** Loads the identity of the data directory, or makes one. Errors are one line each. */
export async function enrol(deps: Deps, config: AgentConfig, address: string): Promise<Enrolment> {
  await mkdir(config.dataDir, { recursive: true, mode: 0o700 });
  const token = config.join === undefined ? undefined : parseTokenLoosely(config.join);
  const present = await loadIdentity(config.dataDir, token ? { caHash: token.caHash } : {});
  if (present) return comeBack(deps, config, present, address);
  const restored = await readFoundingFacts(config.dataDir);
  if (restored && config.join !== undefined) {
    throw new Error(`${config.dataDir} was restored from a backup and founds a cluster: start it without --join`);
  }
  const peerKey = await newPeerKey();
  const keys = { nodeName: config.name, peerId: peerIdOf(peerKey), peerKey };
  if (config.join === undefined) {
    const { clusterCidr, serviceCidr } = restored ?? config;
    const identity = await foundCluster(deps, keys, {
      clusterCidr,
      serviceCidr,
      serviceIp: kubernetesIp(serviceCidr),
      addresses: [address],
      lifeMs: config.certificateHours * 3_600_000,
      ...(restored?.keys ? { keys: restored.keys } : {}),
    });
    return finish(deps, config, identity, [], true);
  }
  const result = await join(deps.clock, config.join, {
    nodeName: config.name,
    peerId: keys.peerId,
    addresses: [address],
    formats: FORMATS,
  });
  return finish(deps, config, joinedIdentity(keys, result), result.peers, false);
}

/** The token's CA hash, without asking whether it has expired: a machine that has joined already only compares it. */
function parseTokenLoosely(text: string) {
  return parseToken(text, 0);
}

async function comeBack(deps: Deps, config: AgentConfig, identity: NodeIdentity, address: string): Promise<Enrolment> {
  const renewed = await renewCertificate(deps, config.dataDir, identity, {
    addresses: [address],
    serviceIp: kubernetesIp(identity.serviceCidr),
    lifeMs: config.certificateHours * 3_600_000,
  });
  const ca = await ClusterCa.load(deps, renewed.caCertPem, renewed.caKeyPem);
  return { identity: renewed, ca, peers: [], founded: existsSync(joinPath(config.dataDir, FOUNDER_FILE)) };
}

async function finish(
  deps: Deps,
  config: AgentConfig,
  identity: NodeIdentity,
  peers: Enrolment['peers'],
  founded: boolean,
): Promise<Enrolment> {
  if (founded) await writeFile(joinPath(config.dataDir, FOUNDER_FILE), `${identity.clusterId}\n`, { mode: 0o600 });
  await saveIdentity(config.dataDir, identity);
  await removeFoundingFacts(config.dataDir);
  const ca = await ClusterCa.load(deps, identity.caCertPem, identity.caKeyPem);
  return { identity, ca, peers, founded };
}
