import assert from 'node:assert/strict';
import { createServer, get, type IncomingMessage } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { silentLogger } from '../../../../src/base/log.js';
import { seededRandom } from '../../../../src/base/random.js';
import { ImageManager, type ImageRequest } from '../../../../src/node/images/image-manager.js';
import { ImageServer } from '../../../../src/node/images/image-server.js';
import { HttpPeerImages, type PeerImages } from '../../../../src/node/images/peer-images.js';
import { FakeRuntime } from '../../../../src/node/runtime/fake/fake-runtime.js';
import { RuntimeError } from '../../../../src/node/runtime/runtime.js';
import { ManualClock } from '../../../../src/testing/manual-clock.js';

function setup(options: { images?: string[]; registry?: string[]; peers?: PeerImages } = {}) {
  const clock = new ManualClock();
  const { peers, ...fake } = options;
  const runtime = new FakeRuntime({ clock, random: seededRandom(1) }, fake);
  const manager = new ImageManager({ runtime, clock, log: silentLogger, ...(peers ? { peers } : {}) });
  const events: string[] = [];
  const request = (reference: string, policy: ImageRequest['policy'] = 'IfNotPresent'): ImageRequest => ({
    reference,
    policy,
    owner: 'uid-1',
    event: (type, reason, message) => events.push(`${type} ${reason} ${message}`),
  });
  return { clock, runtime, manager, events, request };
}

describe('image manager', () => {
  it('uses a present image without a pull', async () => {
    const { manager, request, events } = setup({ images: ['busybox:latest'] });
    assert.equal((await manager.ensure(request('busybox'))).ok, true);
    assert.deepEqual(events, ['Normal Pulled Container image "busybox" already present on machine']);
  });

  it('pulls a missing image and says so', async () => {
    const { manager, request, events } = setup({ registry: ['web:1'] });
    const result = await manager.ensure(request('web:1'));
    assert.equal(result.ok, true);
    assert.equal(events[0], 'Normal Pulling Pulling image "web:1"');
    assert.match(events[1] ?? '', /^Normal Pulled Successfully pulled image "web:1" in \S+ \(\S+ including waiting\)/);
  });

  it('never pulls with policy Never', async () => {
    const { manager, request } = setup();
    const result = await manager.ensure(request('web:1', 'Never'));
    assert.equal(!result.ok && result.reason, 'ErrImageNeverPull');
    assert.equal(!result.ok && result.message, 'Container image "web:1" is not present with pull policy of Never');
  });

  it('pulls with policy Always even when the image is there', async () => {
    const { manager, request } = setup({ images: ['web:1'], registry: [] });
    const result = await manager.ensure(request('web:1', 'Always'));
    assert.equal(!result.ok && result.reason, 'ErrImagePull');
  });

  it('refuses what is no image name', async () => {
    const { manager, request } = setup();
    const result = await manager.ensure(request('Web'));
    assert.equal(!result.ok && result.reason, 'InvalidImageName');
  });

  it('backs off after a failure, longer after each, and tries again when the time is over', async () => {
    const { manager, request, clock, runtime } = setup({ registry: [] });
    const reasons: string[] = [];
    const ensure = async () => {
      const result = await manager.ensure(request('web:1'));
      reasons.push(result.ok ? 'ok' : result.reason);
      return result;
    };
    const first = await ensure();
    assert.equal(!first.ok && first.retryAfterMs, 10_000);
    const second = await ensure();
    assert.match(second.ok ? '' : second.message, /^Back-off pulling image "web:1"/);
    await clock.advance(10_000);
    const third = await ensure();
    assert.equal(!third.ok && third.retryAfterMs, 20_000);
    await clock.advance(20_000);
    runtime.addImage('web:1');
    await ensure();
    assert.deepEqual(reasons, ['ErrImagePull', 'ImagePullBackOff', 'ErrImagePull', 'ok']);
  });

  it('makes one transfer for all that want the image at once', async () => {
    const { manager, request, runtime } = setup();
    runtime.fail('pullImage', new RuntimeError('ERR_IMAGE_PULL', 'only one may fail'));
    const results = await Promise.all([1, 2, 3].map(() => manager.ensure(request('web:1'))));
    assert.deepEqual(
      results.map((result) => !result.ok && result.message),
      ['only one may fail', 'only one may fail', 'only one may fail'],
    );
  });
});

describe('images of peers', () => {
  async function withPeer(test: (peers: HttpPeerImages) => Promise<void>): Promise<void> {
    const peer = setup({ images: ['docker.io/library/web:1'] });
    const server = new ImageServer(peer.runtime, silentLogger);
    const http = createServer((request, response) => {
      void server.handle(request, response).then((ours) => ours || response.writeHead(404).end());
    });
    http.listen(0, '127.0.0.1');
    await once(http, 'listening');
    const { port } = http.address() as AddressInfo;
    const request = (name: string, path: string) =>
      new Promise<IncomingMessage>((resolve, reject) => {
        get({ host: '127.0.0.1', port: name === 'dead' ? 1 : port, path }, resolve).on('error', reject);
      });
    const client = { peers: () => ['dead', 'node-1'], request };
    try {
      await test(new HttpPeerImages(client, seededRandom(1), silentLogger));
    } finally {
      http.close();
      http.closeAllConnections();
    }
  }

  it('brings an image from a peer instead of a registry', () =>
    withPeer(async (peers) => {
      const { manager, request } = setup({ registry: [], peers });
      assert.equal((await manager.ensure(request('web:1'))).ok, true);
    }));

  it('asks the registry for what no peer has', () =>
    withPeer(async (peers) => {
      const { manager, request } = setup({ registry: ['other:1'], peers });
      assert.equal((await manager.ensure(request('other:1'))).ok, true);
      const missing = await manager.ensure(request('third:1'));
      assert.equal(!missing.ok && missing.reason, 'ErrImagePull');
    }));
});
