/**
 * The cluster's certificate authority. Every full peer holds its key (there are no masters), so any of them can admit
 * others and renew its own certificates. Names and groups are Kubernetes' (its "PKI certificates and requirements" page).
 */
import 'reflect-metadata';
import { isIP } from 'node:net';
import type { webcrypto } from 'node:crypto';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  Name,
  Pkcs10CertificateRequest,
  Pkcs10CertificateRequestGenerator,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
  type Extension,
} from '@peculiar/x509';
import type { Clock } from '../../base/clock.js';
import type { Random } from '../../base/random.js';
import { usageExtensions } from './certificate-usages.js';
import { peerUri } from './peer-uri.js';
import { certificateHash, importKey, importPublicKey, keyMatches, newKeyPair, SIGNING_ALGORITHM } from './pem.js';

const HOUR_MS = 3_600_000;
const YEAR_MS = 365 * 24 * HOUR_MS;
/** Certificates count from a little before they are made, as clocks differ. */
const BACKDATE_MS = 5 * 60_000;
const CA_LIFE_MS = 10 * YEAR_MS;

export interface CertificatePem {
  readonly certPem: string;
  /** PKCS #8; keep it with mode 0600. */
  readonly keyPem: string;
}

export interface ServingRequest {
  readonly nodeName: string;
  /** Addresses at which the peer is reached, besides loopback. */
  readonly addresses: readonly string[];
  /** More DNS names. */
  readonly dnsNames?: readonly string[];
  /** Whose certificate it is: named in it, so that it ends with the peer's membership. */
  readonly peerId?: string;
  /** The ClusterIP of the Service `kubernetes`. */
  readonly serviceIp?: string;
  /** The cluster's DNS domain; `cluster.local` unless told. */
  readonly clusterDomain?: string;
  /** Milliseconds; a year unless told. */
  readonly lifeMs?: number;
}

export interface ClientRequest {
  readonly commonName: string;
  readonly organizations: readonly string[];
  /** Milliseconds; a year unless told. */
  readonly lifeMs?: number;
}

/** What a certificate is to be good for. */
export interface SigningOrder {
  /** Kubernetes' names, e.g. `client auth` (`certificates.k8s.io/v1 KeyUsage`). */
  readonly usages: readonly string[];
  /** Milliseconds; a year unless told. */
  readonly lifeMs?: number;
}

/** The administrator that `admin.kubeconfig` is for. `system:masters` may do everything. */
export const ADMIN: ClientRequest = { commonName: 'kubernetes-admin', organizations: ['system:masters'] };

export class ClusterCa {
  private constructor(
    readonly certPem: string,
    readonly keyPem: string,
    private readonly certificate: X509Certificate,
    private readonly key: webcrypto.CryptoKey,
    private readonly deps: { readonly clock: Clock; readonly random: Random },
  ) {}

  /** What tokens pin: SHA-256 of the certificate, base64url. */
  get hash(): string {
    return certificateHash(this.certPem);
  }

  /** Makes a new authority, valid for ten years. */
  static async create(deps: { clock: Clock; random: Random }, clusterId: string): Promise<ClusterCa> {
    const { keys, keyPem } = await newKeyPair();
    return ClusterCa.selfSigned(deps, keys, keyPem, new Name([{ CN: ['kubernetes'] }, { OU: [`skein ${clusterId}`] }]));
  }

  /**
   * The authority of a key that is there already, valid for ten years from now. Certificates that it signs are verified by any other
   * of the same key and name.
   */
  static async ofKey(deps: { clock: Clock; random: Random }, keyPem: string, commonName: string): Promise<ClusterCa> {
    const keys = { privateKey: await importKey(keyPem), publicKey: await importPublicKey(keyPem) };
    return ClusterCa.selfSigned(deps, keys, keyPem, new Name([{ CN: [commonName] }]));
  }

  private static async selfSigned(
    deps: { clock: Clock; random: Random },
    keys: webcrypto.CryptoKeyPair,
    keyPem: string,
    name: Name,
  ): Promise<ClusterCa> {
    const nowMs = deps.clock.nowMs();
    const certificate = await X509CertificateGenerator.createSelfSigned({
      serialNumber: serialNumber(deps.random),
      name,
      notBefore: new Date(nowMs - BACKDATE_MS),
      notAfter: new Date(nowMs + CA_LIFE_MS),
      signingAlgorithm: SIGNING_ALGORITHM,
      keys,
      extensions: [
        new BasicConstraintsExtension(true, undefined, true),
        new KeyUsagesExtension(
          KeyUsageFlags.digitalSignature | KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign,
          true,
        ),
        await SubjectKeyIdentifierExtension.create(keys.publicKey),
      ],
    });
    return new ClusterCa(certificate.toString('pem'), keyPem, certificate, keys.privateKey, deps);
  }

  /** Takes an authority from PEM. Throws when certificate and key do not belong together. */
  static async load(deps: { clock: Clock; random: Random }, certPem: string, keyPem: string): Promise<ClusterCa> {
    if (!keyMatches(certPem, keyPem)) throw new Error("the cluster's CA certificate and key do not belong together");
    return new ClusterCa(certPem, keyPem, new X509Certificate(certPem), await importKey(keyPem), deps);
  }

  /** A peer's certificate with a new key: it serves the API with it and is the client `system:node:NAME` elsewhere. */
  async issueServing(request: ServingRequest): Promise<CertificatePem> {
    const { keys, keyPem } = await newKeyPair();
    return { certPem: await this.signServing(keys.publicKey, request), keyPem };
  }

  /** The same for a key that stays where it was made. Throws when the request's own signature is wrong. */
  async signServingRequest(csrPem: string, request: ServingRequest): Promise<string> {
    const csr = new Pkcs10CertificateRequest(csrPem);
    if (!(await csr.verify())) throw new Error('the certificate request is not signed by its own key');
    return this.signServing(csr.publicKey, request);
  }

  /** A client certificate with a new key. */
  async issueClient(request: ClientRequest): Promise<CertificatePem> {
    const { keys, keyPem } = await newKeyPair();
    const certPem = await this.sign(keys.publicKey, request.commonName, request.organizations, request.lifeMs, [
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.clientAuth]),
    ]);
    return { certPem, keyPem };
  }

  /**
   * Signs a certificate request with the subject and alternative names that it asks for, for these uses alone. Who may have
   * what has been decided before. Throws when the request's own signature is wrong or a use cannot be expressed.
   */
  async signRequest(csrPem: string, { usages, lifeMs }: SigningOrder): Promise<string> {
    const csr = new Pkcs10CertificateRequest(csrPem);
    if (!(await csr.verify())) throw new Error('the certificate request is not signed by its own key');
    const nowMs = this.deps.clock.nowMs();
    const endMs = Math.min(nowMs + (lifeMs ?? YEAR_MS), this.certificate.notAfter.getTime());
    const names = csr.extensions.filter((extension) => extension instanceof SubjectAlternativeNameExtension);
    const certificate = await X509CertificateGenerator.create({
      serialNumber: serialNumber(this.deps.random),
      subject: csr.subjectName,
      issuer: this.certificate.subjectName,
      notBefore: new Date(nowMs - BACKDATE_MS),
      notAfter: new Date(endMs),
      signingAlgorithm: SIGNING_ALGORITHM,
      publicKey: csr.publicKey,
      signingKey: this.key,
      extensions: [
        new BasicConstraintsExtension(false, undefined, true),
        ...usageExtensions(usages),
        await AuthorityKeyIdentifierExtension.create(this.certificate),
        ...names,
      ],
    });
    return certificate.toString('pem');
  }

  private signServing(publicKey: Parameters<ClusterCa['sign']>[0], request: ServingRequest): Promise<string> {
    return this.sign(publicKey, `system:node:${request.nodeName}`, ['system:nodes'], request.lifeMs, [
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth]),
      new SubjectAlternativeNameExtension(servingNames(request)),
    ]);
  }

  private async sign(
    publicKey: Pkcs10CertificateRequest['publicKey'] | webcrypto.CryptoKey,
    commonName: string,
    organizations: readonly string[],
    lifeMs: number | undefined,
    extensions: readonly Extension[],
  ): Promise<string> {
    const nowMs = this.deps.clock.nowMs();
    const endMs = Math.min(nowMs + (lifeMs ?? YEAR_MS), this.certificate.notAfter.getTime());
    const certificate = await X509CertificateGenerator.create({
      serialNumber: serialNumber(this.deps.random),
      subject: new Name([...organizations.map((name) => ({ O: [name] })), { CN: [commonName] }]),
      issuer: this.certificate.subjectName,
      notBefore: new Date(nowMs - BACKDATE_MS),
      notAfter: new Date(endMs),
      signingAlgorithm: SIGNING_ALGORITHM,
      publicKey,
      signingKey: this.key,
      extensions: [
        new BasicConstraintsExtension(false, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.digitalSignature | KeyUsageFlags.keyEncipherment, true),
        await AuthorityKeyIdentifierExtension.create(this.certificate),
        ...extensions,
      ],
    });
    return certificate.toString('pem');
  }
}

/** A key for a peer's certificate and the request that proves it, to be signed by a peer that is in the cluster already. */
export async function newServingRequest(nodeName: string): Promise<{ csrPem: string; keyPem: string }> {
  const { keys, keyPem } = await newKeyPair();
  const csr = await Pkcs10CertificateRequestGenerator.create({
    name: new Name([{ O: ['system:nodes'] }, { CN: [`system:node:${nodeName}`] }]),
    keys,
    signingAlgorithm: SIGNING_ALGORITHM,
  });
  return { csrPem: csr.toString('pem'), keyPem };
}

/** Everything a peer's API server may be called. */
function servingNames(request: ServingRequest): { type: 'dns' | 'ip' | 'url'; value: string }[] {
  const domain = request.clusterDomain ?? 'cluster.local';
  const names = new Set([
    request.nodeName,
    'localhost',
    'kubernetes',
    'kubernetes.default',
    'kubernetes.default.svc',
    `kubernetes.default.svc.${domain}`,
    ...(request.dnsNames ?? []),
    '127.0.0.1',
    '::1',
    ...request.addresses,
    ...(request.serviceIp === undefined ? [] : [request.serviceIp]),
  ]);
  const peer = request.peerId === undefined ? [] : [{ type: 'url' as const, value: peerUri(request.peerId) }];
  return [...[...names].map((value) => ({ type: isIP(value) ? ('ip' as const) : ('dns' as const), value })), ...peer];
}

/** A positive serial number of 127 random bits (RFC 5280 allows 20 bytes). */
function serialNumber(random: Random): string {
  const bytes = random.bytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return Buffer.from(bytes).toString('hex');
}
