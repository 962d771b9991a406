import 'reflect-metadata';
import assert from 'node:assert/strict';
import { webcrypto } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PemConverter, Pkcs10CertificateRequestGenerator, Name, X509Certificate } from '@peculiar/x509';
import { systemClock } from '../../../src/base/clock.js';
import type { Service } from '../../../src/base/lifecycle.js';
import { silentLogger } from '../../../src/base/log.js';
import { noMetrics } from '../../../src/base/metrics.js';
import { systemRandom } from '../../../src/base/random.js';
import { ApiError } from '../../../src/api/errors.js';
import { certificateApproverController } from '../../../src/control/controllers/certificates/approver.js';
import { certificateCleanerController } from '../../../src/control/controllers/certificates/cleaner.js';
import { CERTIFICATE_REQUESTS, type Request } from '../../../src/control/controllers/certificates/requests.js';
import { certificateSignerController } from '../../../src/control/controllers/certificates/signer.js';
import { eventRecorders } from '../../../src/control/controllers/deps.js';
import { InformerSet } from '../../../src/control/controllers/informer-set.js';
import { isPresent, KUBECTLS, startCluster, type TestCluster } from './cluster.js';

const KEY = { name: 'ECDSA', namedCurve: 'P-256' } as const;

async function requestFor(commonName: string, organizations: readonly string[] = []) {
  const keys = await webcrypto.subtle.generateKey(KEY, true, ['sign', 'verify']);
  const csr = await Pkcs10CertificateRequestGenerator.create({
    name: new Name([...organizations.map((name) => ({ O: [name] })), { CN: [commonName] }]),
    keys,
    signingAlgorithm: { ...KEY, hash: 'SHA-256' },
  });
  const pkcs8 = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
  return {
    request: Buffer.from(csr.toString('pem')).toString('base64'),
    keyPem: PemConverter.encode(pkcs8, 'PRIVATE KEY'),
  };
}

describe('certificate signing requests', function () {
  this.timeout(60_000);
  let cluster: TestCluster;
  const running: Service[] = [];
  let nodeClients: readonly string[] = [];

  before(async () => {
    cluster = await startCluster({ tls: true });
    const environment = {
      client: cluster.client,
      clock: systemClock,
      random: systemRandom,
      log: silentLogger,
      metrics: noMetrics,
    };
    const informers = new InformerSet(environment);
    const deps = { ...environment, informers, events: eventRecorders(environment) };
    const { ca } = cluster;
    running.push(
      certificateSignerController(deps, {
        signCertificate: (pem, order) => ca?.signRequest(pem, order) ?? Promise.reject(new Error('no authority')),
      }),
      certificateApproverController(deps, { mayRequest: ({ name }) => nodeClients.includes(name) }),
      certificateCleanerController(deps),
      informers,
    );
    for (const service of running) await service.start();
  });
  after(async () => {
    for (const service of running.reverse()) await service.stop();
    await cluster?.stop();
  });

  const create = (name: string, spec: Partial<Request['spec']>) =>
    cluster.client.create<Request>(CERTIFICATE_REQUESTS, {
      metadata: { name },
      spec: { request: '', signerName: 'kubernetes.io/kube-apiserver-client', usages: ['client auth'], ...spec },
    });

  /** The request once it looks as expected. */
  async function until(name: string, done: (request: Request) => boolean): Promise<Request> {
    for (;;) {
      const request = await cluster.client.get<Request>(CERTIFICATE_REQUESTS, '', name);
      if (done(request)) return request;
      await systemClock.sleep(10);
    }
  }
  const decide = async (name: string, type: string) => {
    const request = await cluster.client.get<Request>(CERTIFICATE_REQUESTS, '', name);
    const conditions = [...(request.status?.conditions ?? []), { type, status: 'True', reason: 'Test' }];
    return cluster.client.update<Request>(
      CERTIFICATE_REQUESTS,
      { ...request, status: { ...request.status, conditions } },
      { subresource: 'approval' },
    );
  };
  const refused = async (work: Promise<unknown>, code: number, text: RegExp) => {
    const error = await work.then(
      () => undefined,
      (failure: unknown) => failure,
    );
    assert.ok(error instanceof ApiError, 'the request was taken');
    assert.equal(error.code, code);
    assert.match(error.message, text);
  };

  it('notes who asked, whatever the request says, and signs once it is approved', async () => {
    const { request } = await requestFor('jane', ['team']);
    const made = await create('jane', {
      request,
      username: 'root',
      groups: ['system:masters'],
      expirationSeconds: 3600,
    });
    assert.equal(made.spec.username, 'system:skein');
    assert.deepEqual(made.status, {});
    const approved = await decide('jane', 'Approved');
    const [condition] = approved.status?.conditions ?? [];
    assert.ok(condition?.lastUpdateTime && condition.lastTransitionTime);
    const { status } = await until('jane', (one) => one.status?.certificate !== undefined);
    const certificate = new X509Certificate(Buffer.from(status?.certificate ?? '', 'base64').toString());
    assert.equal(certificate.subject, 'O=team, CN=jane');
    const hours = (certificate.notAfter.getTime() - systemClock.nowMs()) / 3_600_000;
    assert.ok(hours > 0.9 && hours <= 1, String(hours));
  });

  it('fails a request whose uses its signer does not give', async () => {
    const { request } = await requestFor('server');
    await create('server', { request, usages: ['server auth'] });
    await decide('server', 'Approved');
    const { status } = await until('server', (one) => (one.status?.conditions ?? []).length === 2);
    assert.equal(status?.conditions?.[1]?.type, 'Failed');
    assert.equal(status.conditions[1].reason, 'SignerValidationFailure');
    assert.equal(status.conditions[1].message, 'invalid usage for client certificate: server auth');
  });

  it('approves kubelets by themselves where they may ask', async () => {
    nodeClients = ['system:skein'];
    const { request } = await requestFor('system:node:machine', ['system:nodes']);
    const usages = ['digital signature', 'client auth'] as const;
    await create('kubelet', {
      request,
      signerName: 'kubernetes.io/kube-apiserver-client-kubelet',
      usages: [...usages],
    });
    const { status } = await until('kubelet', (one) => one.status?.certificate !== undefined);
    assert.equal(status?.conditions?.[0]?.reason, 'AutoApproved');
  });

  it('refuses bad requests, changed decisions and certificates of administrators', async () => {
    const { request } = await requestFor('bad');
    await refused(
      create('b1', { request: '' }),
      422,
      /spec.request: Invalid value: \[\]byte\{\}: PEM block type must be CERT/,
    );
    await refused(create('b2', { request, usages: [] }), 422, /spec.usages: Required value/);
    await refused(
      create('b3', { request, usages: ['client auth', 'client auth'] }),
      422,
      /spec.usages\[1\]: Duplicate value/,
    );
    await refused(create('b4', { request, signerName: 'plain' }), 422, /must be a fully qualified domain and path/);
    await refused(
      create('b5', { request, signerName: 'kubernetes.io/legacy-unknown' }),
      422,
      /legacy signerName is not all/,
    );
    await refused(
      create('b6', { request, expirationSeconds: 599 }),
      422,
      /may not specify a duration less than 600 seconds/,
    );
    const master = await requestFor('me', ['system:masters']);
    await refused(create('b7', { request: master.request }), 403, /signer with system:masters group is not allowed/);

    await create('final', { request });
    await decide('final', 'Denied');
    await refused(decide('final', 'Approved'), 422, /Approved and Denied conditions are mutually exclusive/);
    const denied = await cluster.client.get<Request>(CERTIFICATE_REQUESTS, '', 'final');
    const status = { ...denied.status, conditions: [] };
    await refused(
      cluster.client.update<Request>(CERTIFICATE_REQUESTS, { ...denied, status }, { subresource: 'approval' }),
      422,
      /updates may not remove a condition of type "Denied"/,
    );
    await refused(
      cluster.client.updateStatus(CERTIFICATE_REQUESTS, { ...denied, status }),
      422,
      /may not remove a condition/,
    );
    const certificate = Buffer.from('nonsense').toString('base64');
    await refused(
      cluster.client.updateStatus(CERTIFICATE_REQUESTS, { ...denied, status: { ...denied.status, certificate } }),
      422,
      /status.certificate: Invalid value: "<certificate data>": must contain/,
    );
    const spec = { ...denied.spec, signerName: 'example.com/other' };
    const kept = await cluster.client.update<Request>(CERTIFICATE_REQUESTS, { ...denied, spec });
    assert.equal(kept.spec.signerName, denied.spec.signerName);
  });

  for (const { version, path } of KUBECTLS) {
    it(`works with kubectl ${version}: certificate approve and deny, and the certificate as a user`, async function () {
      if (!isPresent(path)) this.skip();
      const name = `user-${version.replace('.', '-')}`;
      const { request, keyPem } = await requestFor(name, ['auditors']);
      const manifest = (suffix: string) => `apiVersion: certificates.k8s.io/v1
kind: CertificateSigningRequest
metadata: {name: ${name}${suffix}}
spec: {request: ${request}, signerName: kubernetes.io/kube-apiserver-client, usages: [client auth]}
`;
      const ok = async (args: readonly string[], input?: string) => {
        const result = await cluster.kubectl(path, args, input);
        assert.equal(result.code, 0, `${args.join(' ')}: ${result.stderr}`);
        return result.stdout;
      };
      await ok(['create', '-f', '-'], manifest(''));
      await ok(['create', '-f', '-'], manifest('-no'));
      assert.match(await ok(['get', 'csr', name]), /kubernetes-admin +<none> +Pending/);
      await ok(['certificate', 'approve', name]);
      await ok(['certificate', 'deny', `${name}-no`]);
      assert.match(await ok(['get', 'csr', `${name}-no`]), /Denied/);
      await until(name, (one) => one.status?.certificate !== undefined);
      assert.match(await ok(['get', 'csr', name]), /Approved,Issued/);
      const pem = await ok(['get', 'csr', name, '-o', 'jsonpath={.status.certificate}']);
      const directory = await mkdtemp(join(tmpdir(), 'certificate-'));
      try {
        await writeFile(join(directory, 'cert'), Buffer.from(pem, 'base64'));
        await writeFile(join(directory, 'key'), keyPem);
        const credentials = ['--client-certificate', join(directory, 'cert'), '--client-key', join(directory, 'key')];
        const server = ['--kubeconfig=/dev/null', `--server=${cluster.url}`, '--insecure-skip-tls-verify'];
        const { stderr } = await cluster.kubectl(path, [...server, ...credentials, 'get', '--raw=/api/v1/pods']);
        assert.match(stderr, new RegExp(`User "${name}" cannot list resource "pods"`));
      } finally {
        await rm(directory, { recursive: true, force: true });
      }
    });
  }
});
