/** Certificate signing requests (PKCS #10, RFC 2986) as far as Kubernetes' rules look into them. */
import 'reflect-metadata';
import { Pkcs10CertificateRequest, SubjectAlternativeNameExtension, X509Certificate } from '@peculiar/x509';

export interface ParsedRequest {
  /** Empty when there is none. */
  readonly commonName: string;
  readonly organizations: readonly string[];
  readonly dnsNames: readonly string[];
  readonly emails: readonly string[];
  readonly ips: readonly string[];
  readonly uris: readonly string[];
}

const BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----([A-Za-z0-9+/=\s]*)-----END \1-----/;
const BLOCKS = new RegExp(BLOCK.source, 'g');

/** A request that cannot be used; the message is upstream's. */
export class CertificateRequestError extends Error {
  readonly code = 'ERR_CERTIFICATE_REQUEST';
}

/** The PEM text in `spec.request` (base64). Throws {@link CertificateRequestError}. */
export function requestPem(base64: string): string {
  const text = Buffer.from(base64, 'base64').toString('latin1');
  const block = BLOCK.exec(text);
  if (block?.[1] !== 'CERTIFICATE REQUEST' && block?.[1] !== 'NEW CERTIFICATE REQUEST') {
    throw new CertificateRequestError('PEM block type must be CERTIFICATE REQUEST');
  }
  // The older label of the same thing.
  return block[0].replaceAll('NEW CERTIFICATE REQUEST', 'CERTIFICATE REQUEST');
}

/** Reads `spec.request`; its own signature is for the signer to check. Throws {@link CertificateRequestError}. */
export function parseRequest(base64: string): ParsedRequest {
  const pem = requestPem(base64);
  try {
    const request = new Pkcs10CertificateRequest(pem);
    const subject = request.subjectName;
    const alternative = request.extensions.find((one) => one instanceof SubjectAlternativeNameExtension);
    const names = alternative?.names.items ?? [];
    const of = (type: string) => names.filter((name) => name.type === type).map(({ value }) => value);
    return {
      commonName: subject.getField('CN').at(-1) ?? '',
      organizations: subject.getField('O'),
      dnsNames: of('dns'),
      emails: of('email'),
      ips: of('ip'),
      uris: of('url'),
    };
  } catch (error) {
    throw new CertificateRequestError('the certificate request cannot be parsed', { cause: error });
  }
}

/** What is wrong with `status.certificate` (base64); undefined when it is one certificate or more in PEM. */
export function certificateProblem(base64: string): string | undefined {
  const text = Buffer.from(base64, 'base64').toString('latin1');
  const blocks = [...text.matchAll(BLOCKS)];
  if (blocks.length === 0) return 'must contain at least one CERTIFICATE PEM block';
  for (const [index, [pem, label]] of blocks.entries()) {
    if (label !== 'CERTIFICATE') {
      return `only CERTIFICATE PEM blocks are allowed, found ${JSON.stringify(label)}`;
    }
    try {
      if (new X509Certificate(pem).rawData.byteLength === 0)
        return `found CERTIFICATE PEM block containing 0 certificates`;
    } catch {
      return `unable to parse CERTIFICATE PEM block ${index}`;
    }
  }
  return undefined;
}

/** When the first certificate in PEM ends, in milliseconds since the epoch; undefined when there is none. */
export function expiryOf(base64: string): number | undefined {
  const block = BLOCK.exec(Buffer.from(base64, 'base64').toString('latin1'));
  if (block?.[1] !== 'CERTIFICATE') return undefined;
  try {
    return new X509Certificate(block[0]).notAfter.getTime();
  } catch {
    return undefined;
  }
}
