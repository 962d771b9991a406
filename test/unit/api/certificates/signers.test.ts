import assert from 'node:assert/strict';
import { CertificateRequestError, certificateProblem, parseRequest } from '../../../../src/api/certificates/pkcs10.js';
import {
  CLIENT_SIGNER,
  isOwnSigner,
  KUBELET_CLIENT_SIGNER,
  KUBELET_SERVING_SIGNER,
  LEGACY_SIGNER,
  signerProblem,
  type Usage,
} from '../../../../src/api/certificates/signers.js';

const NODE = {
  commonName: 'system:node:a',
  organizations: ['system:nodes'],
  dnsNames: [],
  emails: [],
  ips: [],
  uris: [],
};

/** Made with openssl: CN=jane, O=team, DNS:jane.example.com, IP:192.0.2.1, URI:spiffe://x, email:j@example.com. */
const OPENSSL_REQUEST = `-----BEGIN CERTIFICATE REQUEST-----
MIIBKDCBzwIBADAeMQ0wCwYDVQQKDAR0ZWFtMQ0wCwYDVQQDDARqYW5lMFkwEwYH
KoZIzj0CAQYIKoZIzj0DAQcDQgAErbptVM0fGc4+WRLAjE8qDvVtSTQNEJR+1S6/
ApzPicQLL6SCrwtFhKQM8+0TPN6isEWjmaXGSOtWW1B/QLciFKBPME0GCSqGSIb3
DQEJDjFAMD4wPAYDVR0RBDUwM4IQamFuZS5leGFtcGxlLmNvbYcEwAACAYYKc3Bp
ZmZlOi8veIENakBleGFtcGxlLmNvbTAKBggqhkjOPQQDAgNIADBFAiEAnWIWhuzt
/96Cw0dO8c5CBuItNWj5nueZEdFWzgMoKE4CIADzrugymMPV41RkjGTlCx8QTajx
1zWL2tL3xIx9kQwk
-----END CERTIFICATE REQUEST-----
`;

describe('certificate requests', () => {
  const base64 = (text: string) => Buffer.from(text).toString('base64');

  it('made with openssl are read, alternative names and all', () => {
    assert.deepEqual(parseRequest(base64(OPENSSL_REQUEST)), {
      commonName: 'jane',
      organizations: ['team'],
      dnsNames: ['jane.example.com'],
      emails: ['j@example.com'],
      ips: ['192.0.2.1'],
      uris: ['spiffe://x'],
    });
  });

  it('that are none are refused', () => {
    const other = OPENSSL_REQUEST.replaceAll('CERTIFICATE REQUEST', 'CERTIFICATE');
    for (const text of ['', 'x', other]) {
      assert.throws(() => parseRequest(base64(text)), /PEM block type must be CERTIFICATE REQUEST/);
    }
    const broken = OPENSSL_REQUEST.replace('MII', 'MIJ');
    assert.throws(() => parseRequest(base64(broken)), CertificateRequestError);
    assert.match(certificateProblem(base64('x')) ?? '', /must contain at least one CERTIFICATE PEM block/);
    assert.match(certificateProblem(base64(OPENSSL_REQUEST)) ?? '', /only CERTIFICATE PEM blocks are allowed/);
    assert.match(certificateProblem(base64(other)) ?? '', /unable to parse CERTIFICATE PEM block/);
  });

  const cases: readonly [string, Partial<typeof NODE> | object, readonly Usage[], string | undefined][] = [
    [CLIENT_SIGNER, {}, ['client auth'], undefined],
    [CLIENT_SIGNER, {}, ['digital signature', 'key encipherment', 'client auth'], undefined],
    [CLIENT_SIGNER, {}, ['digital signature'], 'missing required usage for client certificate: client auth'],
    [CLIENT_SIGNER, {}, ['client auth', 'server auth'], 'invalid usage for client certificate: server auth'],
    [KUBELET_CLIENT_SIGNER, {}, ['digital signature', 'client auth'], undefined],
    [KUBELET_CLIENT_SIGNER, {}, ['key encipherment', 'digital signature', 'client auth'], undefined],
    [
      KUBELET_CLIENT_SIGNER,
      {},
      ['client auth'],
      'usages did not match [client auth digital signature key encipherment]',
    ],
    [
      KUBELET_CLIENT_SIGNER,
      { organizations: ['system:nodes', 'more'] },
      ['digital signature', 'client auth'],
      'subject organization is not system:nodes',
    ],
    [
      KUBELET_CLIENT_SIGNER,
      { commonName: 'a' },
      ['digital signature', 'client auth'],
      'subject common name does not begin with system:node:',
    ],
    [
      KUBELET_CLIENT_SIGNER,
      { ips: ['192.0.2.1'] },
      ['digital signature', 'client auth'],
      'IP subjectAltNames are not allowed',
    ],
    [KUBELET_SERVING_SIGNER, { dnsNames: ['a'] }, ['digital signature', 'server auth'], undefined],
    [KUBELET_SERVING_SIGNER, {}, ['digital signature', 'server auth'], 'DNS or IP subjectAltName is required'],
    [
      KUBELET_SERVING_SIGNER,
      { ips: ['192.0.2.1'], uris: ['spiffe://x'] },
      ['digital signature', 'server auth'],
      'URI subjectAltNames are not allowed',
    ],
    [LEGACY_SIGNER, { commonName: 'anything' }, ['code signing'], undefined],
  ];
  for (const [signer, subject, usages, problem] of cases) {
    const what = `${JSON.stringify(subject)} for ${usages.join(', ')}`;
    it(`${signer} ${problem === undefined ? 'signs' : 'refuses'} ${what}`, () => {
      assert.equal(signerProblem(signer, { ...NODE, ...subject }, usages), problem);
    });
  }

  it('of other signers are left to those', () => {
    assert.equal(isOwnSigner('example.com/mine'), false);
    assert.equal(isOwnSigner(KUBELET_SERVING_SIGNER), true);
  });
});
