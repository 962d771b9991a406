import assert from 'node:assert/strict';
import { rfc3339 } from '../../../../../src/base/clock.js';
import { seededRandom } from '../../../../../src/base/random.js';
import { isNotFound } from '../../../../../src/api/errors.js';
import { certificateCleanerController, dueMs } from '../../../../../src/control/controllers/certificates/cleaner.js';
import { CERTIFICATE_REQUESTS, type Request } from '../../../../../src/control/controllers/certificates/requests.js';
import { ClusterCa } from '../../../../../src/security/ca/authority.js';
import { harness } from '../harness.js';

const HOUR_MS = 3_600_000;
const NOW_MS = Date.parse('2030-01-01T00:00:00Z');

const request = (status: NonNullable<Request['status']> = {}): Request => ({
  metadata: { name: 'r', creationTimestamp: rfc3339(NOW_MS) },
  spec: { request: '', signerName: 'x.io/y' },
  status,
});
const condition = (type: string) => ({ type, status: 'True', lastUpdateTime: rfc3339(NOW_MS) });

describe('the cleaner of certificate requests', () => {
  it('keeps what is pending for a day and what was refused for an hour', () => {
    assert.equal(dueMs(request()), NOW_MS + 24 * HOUR_MS);
    assert.equal(dueMs(request({ conditions: [condition('Denied')] })), NOW_MS + HOUR_MS);
    assert.equal(dueMs(request({ conditions: [condition('Approved'), condition('Failed')] })), NOW_MS + HOUR_MS);
  });

  it('keeps what is approved and not issued, and what is issued for an hour or as long as it is valid', async () => {
    assert.equal(dueMs(request({ conditions: [condition('Approved')] })), Infinity);
    const certificate = Buffer.from('unreadable').toString('base64');
    assert.equal(dueMs(request({ conditions: [condition('Approved')], certificate })), NOW_MS + HOUR_MS);
    const clock = { nowMs: () => NOW_MS } as Parameters<typeof ClusterCa.create>[0]['clock'];
    const ca = await ClusterCa.create({ clock, random: seededRandom(1) }, 'test');
    const issued = await ca.issueClient({ commonName: 'x', organizations: [], lifeMs: 600_000 });
    const short = Buffer.from(issued.certPem).toString('base64');
    assert.equal(dueMs(request({ conditions: [condition('Approved')], certificate: short })), NOW_MS + 600_000);
  });

  it('deletes a request when its time has come', async () => {
    const h = harness();
    await h.run(certificateCleanerController(h));
    await h.client.create<Request>(CERTIFICATE_REQUESTS, request());
    const created = await h.client.get<Request>(CERTIFICATE_REQUESTS, '', 'r');
    await h.clock.advance(dueMs(created) - h.clock.nowMs() - 1000);
    await h.client.get<Request>(CERTIFICATE_REQUESTS, '', 'r');
    await h.clock.advance(2000);
    await assert.rejects(h.client.get<Request>(CERTIFICATE_REQUESTS, '', 'r'), isNotFound);
    await h.stop();
  });
});
