import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { CONFIGMAPS, NAMESPACES } from '../../../../src/api/resource.js';
import type { ConfigMap } from '../../../../src/api/types/core-v1.js';
import { extensionAuthenticationController } from '../../../../src/control/controllers/extensionauthentication/controller.js';
import { systemClock } from '../../../../src/base/clock.js';
import { systemRandom } from '../../../../src/base/random.js';
import { FrontProxy } from '../../../../src/security/ca/front-proxy.js';
import { harness } from './harness.js';

const NAME = 'extension-apiserver-authentication';
const deps = { clock: systemClock, random: systemRandom };
const proxyOf = (secret: number) => new FrontProxy(deps, new Uint8Array(32).fill(secret));

describe('what aggregated API servers authenticate by', () => {
  /** What each of them publishes, the one after the other; in between somebody changes it. */
  async function published(proxies: readonly FrontProxy[]): Promise<ConfigMap[]> {
    const shared = harness();
    const { client } = shared;
    await client.create(NAMESPACES, { metadata: { name: 'kube-system' } });
    const found: ConfigMap[] = [];
    for (const proxy of proxies) {
      const h = harness(1, client, shared.clock);
      await h.run(extensionAuthenticationController(h, 'CLIENT CA', proxy));
      // Signing takes real time.
      const whole = () =>
        client.all<ConfigMap>(CONFIGMAPS).find(({ data }) => data?.['client-ca-file'] === 'CLIENT CA');
      for (let tries = 0; !whole(); tries++) {
        assert.ok(tries < 2_000, 'nothing was published');
        await systemClock.sleep(5);
        await h.clock.advance(10);
      }
      await h.stop();
      const live = await client.get<ConfigMap>(CONFIGMAPS, 'kube-system', NAME);
      found.push(live);
      await client.update<ConfigMap>(CONFIGMAPS, { ...live, data: { ...live.data, 'client-ca-file': 'MINE' } });
    }
    return found;
  }

  it("is published as kubeadm's aggregation layer has it, and stays when another peer takes over", async () => {
    const [first, second] = await published([proxyOf(1), proxyOf(1)]);
    const { 'requestheader-client-ca-file': ca = '', ...rest } = first?.data ?? {};
    assert.deepEqual(rest, {
      'client-ca-file': 'CLIENT CA',
      'requestheader-allowed-names': '["front-proxy-client"]',
      'requestheader-username-headers': '["X-Remote-User"]',
      'requestheader-group-headers': '["X-Remote-Group"]',
      'requestheader-extra-headers-prefix': '["X-Remote-Extra-"]',
    });
    assert.equal(new X509Certificate(ca).subject, 'CN=front-proxy-ca');
    assert.deepEqual(second?.data, first?.data);
  });

  it('is another one when the cluster has another secret', async () => {
    const [first, second] = await published([proxyOf(1), proxyOf(2)]);
    const key = 'requestheader-client-ca-file';
    assert.notEqual(second?.data?.[key], first?.data?.[key]);
  });

  it('verifies what every peer shows, and nothing that the CA of the cluster signed', async () => {
    const authority = new X509Certificate(await proxyOf(1).authorityPem());
    const { certPem } = await proxyOf(1).credentials();
    const shown = new X509Certificate(certPem);
    assert.equal(shown.subject, 'CN=front-proxy-client');
    assert.ok(shown.verify(authority.publicKey) && shown.checkIssued(authority));
    const stranger = new X509Certificate((await proxyOf(2).credentials()).certPem);
    assert.ok(!stranger.verify(authority.publicKey));
    assert.ok(!proxyOf(2).isCurrent(await proxyOf(1).authorityPem()));
    assert.ok(!proxyOf(1).isCurrent('rubbish'));
  });
});
