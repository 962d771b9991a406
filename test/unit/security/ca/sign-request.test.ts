import 'reflect-metadata';
import assert from 'node:assert/strict';
import { webcrypto, X509Certificate as NodeCertificate } from 'node:crypto';
import {
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  Pkcs10CertificateRequestGenerator,
  SubjectAlternativeNameExtension,
  X509Certificate,
} from '@peculiar/x509';
import { systemClock } from '../../../../src/base/clock.js';
import { seededRandom } from '../../../../src/base/random.js';
import { ClusterCa } from '../../../../src/security/ca/authority.js';

const ALGORITHMS = {
  'ECDSA P-256': { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' },
  'ECDSA P-384': { name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-384' },
  'RSA 2048': {
    name: 'RSASSA-PKCS1-v1_5',
    modulusLength: 2048,
    publicExponent: new Uint8Array([1, 0, 1]),
    hash: 'SHA-256',
  },
} as const;

async function requestWith(algorithm: (typeof ALGORITHMS)[keyof typeof ALGORITHMS]) {
  const keys = (await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair;
  const csr = await Pkcs10CertificateRequestGenerator.create({
    name: 'O=one, O=two, CN=jane',
    keys,
    signingAlgorithm: algorithm,
    extensions: [new SubjectAlternativeNameExtension([{ type: 'dns', value: 'a.example.com' }])],
  });
  return csr.toString('pem');
}

describe('certificates on request', () => {
  let ca: ClusterCa;
  before(async () => {
    ca = await ClusterCa.create({ clock: systemClock, random: seededRandom(1) }, 'test');
  });

  for (const [name, algorithm] of Object.entries(ALGORITHMS)) {
    it(`take the subject, the names and the key of a request with ${name}`, async () => {
      const usages = ['digital signature', 'key encipherment', 'client auth'];
      const pem = await ca.signRequest(await requestWith(algorithm), { usages, lifeMs: 3_600_000 });
      const certificate = new X509Certificate(pem);
      assert.deepEqual(certificate.subjectName.getField('O'), ['one', 'two']);
      assert.deepEqual(certificate.subjectName.getField('CN'), ['jane']);
      const names = certificate.extensions.find((one) => one instanceof SubjectAlternativeNameExtension);
      assert.deepEqual(names?.names.toJSON(), [{ type: 'dns', value: 'a.example.com' }]);
      const flags = certificate.extensions.find((one) => one instanceof KeyUsagesExtension);
      assert.equal(flags?.usages, KeyUsageFlags.digitalSignature | KeyUsageFlags.keyEncipherment);
      const extended = certificate.extensions.find((one) => one instanceof ExtendedKeyUsageExtension);
      assert.deepEqual([...(extended?.usages ?? [])], ['1.3.6.1.5.5.7.3.2']);
      assert.ok(new NodeCertificate(pem).verify(new NodeCertificate(ca.certPem).publicKey));
    });
  }

  it('are never made for a request that another key signed, or for a use that is none', async () => {
    const [one, two] = await Promise.all([1, 2].map(() => requestWith(ALGORITHMS['ECDSA P-256'])));
    const der = (pem = '') => Buffer.from(pem.replaceAll(/-----[^-]+-----|\s/g, ''), 'base64');
    const forged = Buffer.concat([der(one).subarray(0, -60), der(two).subarray(-60)]).toString('base64');
    const pem = `-----BEGIN CERTIFICATE REQUEST-----\n${forged}\n-----END CERTIFICATE REQUEST-----`;
    await assert.rejects(ca.signRequest(pem, { usages: ['client auth'] }));
    await assert.rejects(ca.signRequest(one ?? '', { usages: ['world domination'] }), /unrecognized usage values/);
  });
});
