/** A peer's cryptographic identity: an Ed25519 key whose public half is the peer id. */
import '../../base/polyfill.js';
import { hkdfSync } from 'node:crypto';
import { generateKeyPair, privateKeyFromProtobuf, privateKeyToProtobuf } from '@libp2p/crypto/keys';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import type { PeerId } from '../transport.js';

/** A new private key in libp2p's protobuf form: keep it secret and for ever. */
export async function newPeerKey(): Promise<Uint8Array> {
  return privateKeyToProtobuf(await generateKeyPair('Ed25519'));
}

/** The peer id of a private key in protobuf form. Throws when the bytes are no key. */
export function peerIdOf(privateKey: Uint8Array): PeerId {
  return peerIdFromPrivateKey(privateKeyFromProtobuf(privateKey)).toString() as PeerId;
}

/**
 * What both ends mix into the noise handshake. A peer that does not know the cluster's secret cannot finish it. This is
 * no Noise PSK: the secret must have full entropy (256 random bits).
 */
export function handshakePrologue(clusterSecret: Uint8Array): Uint8Array {
  if (clusterSecret.length < 32) throw new Error('the cluster secret must have at least 32 bytes');
  return new Uint8Array(hkdfSync('sha256', clusterSecret, new Uint8Array(0), 'skein noise prologue v1', 32));
}

/** The mDNS service name of a cluster: tells clusters apart without telling anything about the secret. */
export function discoveryTag(clusterSecret: Uint8Array): string {
  const tag = Buffer.from(hkdfSync('sha256', clusterSecret, new Uint8Array(0), 'skein mdns tag v1', 8));
  return `skein-${tag.toString('hex')}`;
}
