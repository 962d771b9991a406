/** Certificates are renewed while the agent runs: real servers and TLS, time by hand. */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { Agent, request } from 'node:https';
import type { TLSSocket } from 'node:tls';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '../../../src/base/log.js';
import { systemRandom } from '../../../src/base/random.js';
import { Certificates } from '../../../src/agent/certificates.js';
import { ApiServer } from '../../../src/control/apiserver/http/server.js';
import { KubeletServer } from '../../../src/node/kubelet/server/kubelet-server.js';
import { FakeRuntime } from '../../../src/node/runtime/fake/fake-runtime.js';
import { Authenticator } from '../../../src/security/authn/authenticator.js';
import { baseAuthorizer } from '../../../src/security/authz/authorizer.js';
import { ClusterCa } from '../../../src/security/ca/authority.js';
import { foundCluster } from '../../../src/security/ca/founding.js';
import { loadIdentity, saveIdentity } from '../../../src/security/ca/identity-store.js';
import { peerIn } from '../../../src/security/ca/peer-uri.js';
import { ManualClock } from '../../../src/testing/manual-clock.js';
import { registry, setUp } from '../control/apiserver/setup.js';

const HOUR_MS = 3_600_000;
/** How far time is moved before TLS, which goes by the real time, sees a renewed certificate. */
const ELAPSED_MS = 0.9 * HOUR_MS;

interface Seen {
  readonly serial: string;
  readonly status: number | undefined;
}

describe('the certificate of a peer', () => {
  let dir: string;
  let clock: ManualClock;
  let certificates: Certificates;

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'skein-certificates-'));
    clock = new ManualClock(Date.now() - ELAPSED_MS);
    const deps = { clock, random: systemRandom, log: silentLogger };
    const keys = { nodeName: 'alpha', peerId: 'peeralpha', peerKey: new Uint8Array(8) };
    const network = { clusterCidr: '10.244.0.0/16', serviceCidr: '10.96.0.0/12', serviceIp: '10.96.0.1' };
    const life = { addresses: ['127.0.0.1'], lifeMs: HOUR_MS };
    const identity = await foundCluster(deps, keys, { ...network, ...life });
    await saveIdentity(dir, identity);
    const ca = await ClusterCa.load(deps, identity.caCertPem, identity.caKeyPem);
    certificates = new Certificates(deps, ca, identity, {
      dataDir: dir,
      apiUrl: 'https://127.0.0.1:6443',
      request: { addresses: ['127.0.0.1'], serviceIp: '10.96.0.1' },
      lifeMs: HOUR_MS,
    });
    await certificates.start();
  });
  afterEach(async () => {
    await certificates.stop();
    await rm(dir, { recursive: true, force: true });
  });

  /** Moves time by parts that are shorter than a look, and waits for what a look does on disk. */
  const pass = async (ms: number) => {
    for (let at = 0; at < ms; at += HOUR_MS / 10) {
      await clock.advance(HOUR_MS / 10);
      await certificates.settled();
    }
  };

  const serialNow = () => new X509Certificate(certificates.tls.cert).serialNumber;

  /** One request over a connection of that agent: whose certificate the server showed on it. */
  const ask = (port: number, agent: Agent): Promise<Seen> =>
    new Promise((resolve, reject) => {
      const { ca } = certificates.tls;
      const sent = request({ host: '127.0.0.1', port, path: '/healthz', agent, ca }, (response) => {
        const serial = (response.socket as TLSSocket).getPeerCertificate().serialNumber;
        response.resume().on('end', () => resolve({ serial, status: response.statusCode }));
      });
      sent.on('error', reject).end();
    });

  it('is renewed when a third of its life is left, on disk too, for the same peer', async () => {
    const first = serialNow();
    const renewals: string[] = [];
    certificates.onRenewal(({ cert }) => renewals.push(new X509Certificate(cert).serialNumber));
    await pass(HOUR_MS / 2);
    assert.deepEqual([serialNow(), renewals], [first, []]);
    await pass(HOUR_MS / 2);
    assert.notEqual(serialNow(), first);
    assert.deepEqual(renewals, [serialNow()]);
    const stored = await loadIdentity(dir);
    assert.equal(new X509Certificate(stored?.certPem ?? '').serialNumber, serialNow());
    assert.equal(peerIn(new X509Certificate(certificates.tls.cert).subjectAltName), 'peeralpha');
  });

  it('is replaced in admin.kubeconfig as well', async () => {
    const path = join(dir, 'admin.kubeconfig');
    const before = await readFile(path, 'utf8');
    await pass(ELAPSED_MS);
    assert.notEqual(await readFile(path, 'utf8'), before);
    assert.equal((await stat(path)).mode & 0o777, 0o600);
  });

  it('is shown to new connections to API and kubelet, while open ones go on', async () => {
    const { store } = await setUp();
    const common = { clock, random: systemRandom, log: silentLogger };
    const api = new ApiServer(
      { ...common, store, registry, authenticator: new Authenticator(), authorizer: baseAuthorizer },
      { port: 0, host: '127.0.0.1', tls: certificates.tls, renewals: certificates },
    );
    const kubelet = new KubeletServer(
      {
        ...common,
        nodeName: 'alpha',
        runtime: new FakeRuntime(common),
        pods: { list: () => [], find: () => undefined },
      },
      { host: '127.0.0.1', port: 0, tls: certificates.tls, renewals: certificates, authorize: () => true },
    );
    await Promise.all([api.start(), kubelet.start()]);
    const kept = new Agent({ keepAlive: true, maxSockets: 1 });
    const fresh = new Agent({ keepAlive: false, maxCachedSessions: 0 });
    try {
      const first = serialNow();
      const ports = [api.address.port, kubelet.ports[0] ?? 0];
      for (const port of ports) assert.deepEqual(await ask(port, kept), { serial: first, status: 200 });
      await pass(ELAPSED_MS);
      for (const port of ports) {
        assert.deepEqual(await ask(port, kept), { serial: first, status: 200 });
        assert.deepEqual(await ask(port, fresh), { serial: serialNow(), status: 200 });
      }
    } finally {
      kept.destroy();
      await Promise.all([api.stop(), kubelet.stop()]);
    }
  });
});
