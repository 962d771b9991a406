/**
 * Who this machine is, on disk: `<data>/pki/`, files 0600, folder 0700. `identity.json` is written last, so that a
 * directory either holds a whole identity or none.
 */
import { chmod, mkdir, open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { ClusterFacts } from './join-protocol.js';
import { certificateHash, isSignedBy, keyMatches } from './pem.js';

export interface NodeIdentity extends ClusterFacts {
  readonly nodeName: string;
  readonly peerId: string;
  /** The libp2p private key, protobuf form. */
  readonly peerKey: Uint8Array;
  /** The signed membership record. */
  readonly membership: Uint8Array;
  readonly clusterSecret: Uint8Array;
  readonly caCertPem: string;
  readonly caKeyPem: string;
  /** The certificate for the API's TLS and for requests to other peers. */
  readonly certPem: string;
  readonly keyPem: string;
}

export type IdentityErrorCode = 'other-cluster' | 'other-name' | 'damaged';

/** A data directory that cannot be used as it is. */
export class IdentityError extends Error {
  constructor(
    readonly code: IdentityErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = 'IdentityError';
  }
}

const FORMAT = 1;
const TEXT_FILES = { caCertPem: 'ca.pem', caKeyPem: 'ca-key.pem' } as const;
/** Certificate and key in one file (as kubelet's `kubelet-client-current.pem`), so that a renewal is one rename. */
const NODE_FILE = 'node.pem';
const BINARY_FILES = {
  peerKey: 'peer.key',
  membership: 'membership.record',
  clusterSecret: 'cluster.secret',
} as const;
const SUMMARY_FILE = 'identity.json';

/** Writes the identity: each file is replaced whole and synced. */
export async function saveIdentity(dataDir: string, identity: NodeIdentity): Promise<void> {
  const dir = join(dataDir, 'pki');
  await mkdir(dir, { recursive: true, mode: 0o700 });
  await chmod(dir, 0o700);
  for (const key of keysOf(TEXT_FILES)) await writeWhole(join(dir, TEXT_FILES[key]), identity[key]);
  for (const key of keysOf(BINARY_FILES)) await writeWhole(join(dir, BINARY_FILES[key]), identity[key]);
  await saveCertificate(dataDir, identity.certPem, identity.keyPem);
  const { clusterId, clusterCidr, serviceCidr, nodeName, peerId } = identity;
  const summary = { format: FORMAT, clusterId, clusterCidr, serviceCidr, nodeName, peerId };
  await writeWhole(join(dir, SUMMARY_FILE), `${JSON.stringify(summary, undefined, 2)}\n`);
}

/** Replaces the node's certificate and key, e.g. when it is renewed. */
export async function saveCertificate(dataDir: string, certPem: string, keyPem: string): Promise<void> {
  await writeWhole(join(dataDir, 'pki', NODE_FILE), `${certPem.trimEnd()}\n${keyPem.trimEnd()}\n`);
}

/**
 * The identity in a data directory; undefined when there is none yet. With `expected` (from a join token or a flag) it
 * must be of that cluster and name. Rejects with an {@link IdentityError}.
 */
export async function loadIdentity(
  dataDir: string,
  expected: { readonly caHash?: string; readonly nodeName?: string } = {},
): Promise<NodeIdentity | undefined> {
  const dir = join(dataDir, 'pki');
  const summaryText = await readIfPresent(join(dir, SUMMARY_FILE));
  if (!summaryText) return undefined;
  const identity = await readAll(dir, summaryText.toString());
  if (expected.caHash !== undefined && certificateHash(identity.caCertPem) !== expected.caHash)
    throw new IdentityError(
      'other-cluster',
      `the data directory ${dataDir} belongs to another cluster (${identity.clusterId}); ` +
        'use another --data-dir, or empty it to join anew',
    );
  if (expected.nodeName !== undefined && identity.nodeName !== expected.nodeName)
    throw new IdentityError(
      'other-name',
      `the data directory ${dataDir} belongs to the node "${identity.nodeName}", not to "${expected.nodeName}"`,
    );
  return identity;
}

async function readAll(dir: string, summaryText: string): Promise<NodeIdentity> {
  try {
    const summary = JSON.parse(summaryText) as ClusterFacts & { format: number; nodeName: string; peerId: string };
    if (summary.format !== FORMAT) throw new Error(`${SUMMARY_FILE} has the unknown format ${summary.format}`);
    const file = (name: string) => readFile(join(dir, name));
    const node = (await file(NODE_FILE)).toString();
    const identity: NodeIdentity = {
      clusterId: summary.clusterId,
      clusterCidr: summary.clusterCidr,
      serviceCidr: summary.serviceCidr,
      nodeName: summary.nodeName,
      peerId: summary.peerId,
      peerKey: await file(BINARY_FILES.peerKey),
      membership: await file(BINARY_FILES.membership),
      clusterSecret: await file(BINARY_FILES.clusterSecret),
      caCertPem: (await file(TEXT_FILES.caCertPem)).toString(),
      caKeyPem: (await file(TEXT_FILES.caKeyPem)).toString(),
      certPem: pemBlock(node, 'CERTIFICATE'),
      keyPem: pemBlock(node, 'PRIVATE KEY'),
    };
    if (!keyMatches(identity.caCertPem, identity.caKeyPem)) throw new Error('ca.pem and ca-key.pem do not match');
    if (!isSignedBy(identity.certPem, identity.caCertPem)) throw new Error('node.pem is not signed by ca.pem');
    if (!keyMatches(identity.certPem, identity.keyPem))
      throw new Error('the certificate and key in node.pem do not match');
    return identity;
  } catch (error) {
    throw new IdentityError('damaged', `the identity in ${dir} is damaged`, { cause: error });
  }
}

function pemBlock(text: string, label: string): string {
  const block = new RegExp(`-----BEGIN ${label}-----[^-]+-----END ${label}-----`).exec(text)?.[0];
  if (!block) throw new Error(`${NODE_FILE} holds no ${label.toLowerCase()}`);
  return block;
}

async function readIfPresent(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

async function writeWhole(path: string, content: string | Uint8Array): Promise<void> {
  const temporary = `${path}.new`;
  const file = await open(temporary, 'w', 0o600);
  try {
    await file.chmod(0o600);
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
}

function keysOf<T extends object>(value: T): (keyof T)[] {
  return Object.keys(value) as (keyof T)[];
}
