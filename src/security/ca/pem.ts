/** Keys and certificates as PEM text. */
import 'reflect-metadata';
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  webcrypto,
  X509Certificate as NodeCertificate,
} from 'node:crypto';
import { PemConverter, X509Certificate } from '@peculiar/x509';

/** ECDSA on P-256: what Kubernetes' own tools make of keys by default is as widely understood, and slower. */
export const KEY_ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256' } as const;
export const SIGNING_ALGORITHM = { ...KEY_ALGORITHM, hash: 'SHA-256' } as const;

export interface KeyPairPem {
  readonly keys: webcrypto.CryptoKeyPair;
  /** PKCS #8. */
  readonly keyPem: string;
}

export async function newKeyPair(): Promise<KeyPairPem> {
  const keys = await webcrypto.subtle.generateKey(KEY_ALGORITHM, true, ['sign', 'verify']);
  const pkcs8 = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
  return { keys, keyPem: PemConverter.encode(pkcs8, 'PRIVATE KEY') };
}

/** The private key of a PEM, for signing. Throws when it is no P-256 key. */
export async function importKey(keyPem: string): Promise<webcrypto.CryptoKey> {
  const der = createPrivateKey(keyPem).export({ format: 'der', type: 'pkcs8' });
  return webcrypto.subtle.importKey('pkcs8', new Uint8Array(der), KEY_ALGORITHM, true, ['sign']);
}

/** The public key that belongs to a private one in PEM. */
export async function importPublicKey(keyPem: string): Promise<webcrypto.CryptoKey> {
  const der = createPublicKey(keyPem).export({ format: 'der', type: 'spki' });
  return webcrypto.subtle.importKey('spki', new Uint8Array(der), KEY_ALGORITHM, true, ['verify']);
}

/** SHA-256 over a certificate's DER, in base64url: what a token pins. Throws when the text is no certificate. */
export function certificateHash(certPem: string): string {
  return createHash('sha256')
    .update(new Uint8Array(new X509Certificate(certPem).rawData))
    .digest('base64url');
}

/** True when `certPem` carries a valid signature of the certificate authority `caPem`. */
export function isSignedBy(certPem: string, caPem: string): boolean {
  return new NodeCertificate(certPem).verify(new NodeCertificate(caPem).publicKey);
}

export function keyMatches(certPem: string, keyPem: string): boolean {
  return new NodeCertificate(certPem).checkPrivateKey(createPrivateKey(keyPem));
}

/**
 * From when on a certificate should be renewed: when less than a third of its life is left (the share that kubelet's certificate
 * manager leaves at the earliest).
 */
export function renewalDueMs(certPem: string): number {
  const certificate = new X509Certificate(certPem);
  const [from, to] = [certificate.notBefore.getTime(), certificate.notAfter.getTime()];
  return to - (to - from) / 3;
}

export const renewalDue = (certPem: string, nowMs: number): boolean => nowMs > renewalDueMs(certPem);
