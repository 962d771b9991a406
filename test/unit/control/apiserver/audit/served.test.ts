/** What the API server records of the requests it serves, and whom it turns away. */
import assert from 'node:assert/strict';
import { get, type IncomingMessage } from 'node:http';
import { systemClock } from '../../../../../src/base/clock.js';
import { silentLogger } from '../../../../../src/base/log.js';
import { seededRandom } from '../../../../../src/base/random.js';
import { AuditLog } from '../../../../../src/control/apiserver/audit/audit-log.js';
import type { AuditEvent } from '../../../../../src/control/apiserver/audit/event.js';
import { parseAuditPolicy } from '../../../../../src/control/apiserver/audit/policy.js';
import { Fairness } from '../../../../../src/control/apiserver/fairness/fairness.js';
import { ApiServer, type ApiServerDeps } from '../../../../../src/control/apiserver/http/server.js';
import { SYSTEM_USER } from '../../../../../src/control/apiserver/writes/executor.js';
import { Authenticator } from '../../../../../src/security/authn/authenticator.js';
import { baseAuthorizer } from '../../../../../src/security/authz/authorizer.js';
import { eventually } from '../../../../e2e/harness/wait.js';
import { registry, setUp } from '../setup.js';

const CONFIGMAPS = '/api/v1/namespaces/default/configmaps';

describe('an audited, divided API server', () => {
  let server: ApiServer;
  let events: AuditEvent[];
  let url: string;

  const start = async (more: Partial<ApiServerDeps>, policy: string) => {
    const { store, reads } = await setUp();
    events = [];
    const sink = { write: (event: AuditEvent) => void events.push(event) };
    server = new ApiServer(
      {
        store,
        reads,
        registry,
        authenticator: new Authenticator(),
        authorizer: baseAuthorizer,
        clock: systemClock,
        random: seededRandom(1),
        log: silentLogger,
        audit: new AuditLog(systemClock, parseAuditPolicy(policy), sink),
        ...more,
      },
      { port: 0, host: '127.0.0.1', insecureUser: SYSTEM_USER },
    );
    await server.start();
    url = `http://127.0.0.1:${server.address.port}`;
  };
  afterEach(() => server.stop());

  const policy = (rules: string) =>
    `apiVersion: audit.k8s.io/v1\nkind: Policy\nomitManagedFields: true\nrules:\n${rules}`;
  const recorded = async (what: string, is: (event: AuditEvent) => boolean) =>
    (await eventually(what, 2_000, () => Promise.resolve(events.find(is)))).value;
  const completed = (path: string) =>
    recorded(
      `the end of ${path}`,
      ({ stage, requestURI }) => stage === 'ResponseComplete' && requestURI.startsWith(path),
    );

  it('records who asked for what, with bodies where the policy wants them', async () => {
    await start({}, policy('- {level: RequestResponse}'));
    const body = JSON.stringify({ metadata: { name: 'one' }, data: { a: 'b' } });
    const headers = { 'Content-Type': 'application/json', 'Audit-ID': 'mine', 'User-Agent': 'tester/1' };
    const answer = await fetch(url + CONFIGMAPS, { method: 'POST', body, headers });
    assert.equal(answer.headers.get('audit-id'), 'mine');
    const event = await completed(CONFIGMAPS);
    assert.deepEqual(
      [event.auditID, event.verb, event.user.username, event.userAgent, event.sourceIPs, event.responseStatus?.code],
      ['mine', 'create', 'system:skein', 'tester/1', ['127.0.0.1'], 201],
    );
    assert.deepEqual(event.objectRef, { resource: 'configmaps', namespace: 'default', apiVersion: 'v1' });
    assert.deepEqual((event.requestObject as { data: unknown }).data, { a: 'b' });
    const { metadata } = event.responseObject as { metadata: { uid?: string; managedFields?: unknown } };
    assert.ok(metadata.uid);
    assert.equal(metadata.managedFields, undefined);
    assert.equal(event.annotations?.['authorization.k8s.io/decision'], 'allow');
    assert.deepEqual(
      events.filter(({ auditID }) => auditID === 'mine').map(({ stage }) => stage),
      ['RequestReceived', 'ResponseComplete'],
    );
  });

  it('records refusals with their reason, and that a watch has begun', async () => {
    await start({}, policy('- {level: Metadata}'));
    await fetch(`${url}${CONFIGMAPS}/none`);
    const refused = await completed(`${CONFIGMAPS}/none`);
    assert.deepEqual([refused.responseStatus?.code, refused.responseStatus?.['reason']], [404, 'NotFound']);
    const watch = await fetch(`${url}${CONFIGMAPS}?watch=1&timeoutSeconds=1`);
    await recorded('the beginning of a watch', ({ stage, verb }) => stage === 'ResponseStarted' && verb === 'watch');
    await watch.text();
    await completed(`${CONFIGMAPS}?watch`);
  });

  it('records how a connection was refused', async () => {
    await start({}, policy('- {level: Metadata}'));
    const path = '/api/v1/namespaces/default/pods/p/exec';
    const headers = { Connection: 'Upgrade', Upgrade: 'websocket' };
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      get(`${url}${path}?command=ls`, { headers }, resolve).on('error', reject);
    });
    answer.resume();
    assert.equal(answer.statusCode, 503);
    const event = await completed(path);
    assert.deepEqual([event.responseStatus?.code, event.responseStatus?.['reason']], [503, 'ServiceUnavailable']);
  });

  it('records credentials that were refused', async () => {
    await start({}, policy('- {level: Metadata}'));
    const { status } = await fetch(url + CONFIGMAPS, { headers: { Authorization: 'Bearer nonsense' } });
    assert.equal(status, 401);
    assert.equal(events.at(-1)?.responseStatus?.code, 401);
  });

  it('records nothing that the policy leaves out', async () => {
    await start({}, policy('- {level: None}'));
    await fetch(url + CONFIGMAPS);
    assert.deepEqual(events, []);
  });

  it('answers 429 with Retry-After to a user whose flow has no room, and serves others', async () => {
    const fairness = new Fairness(systemClock, { seats: 1, queueWaitMs: 50 });
    const [flows, levels] = fairness.followed();
    levels?.reset([
      {
        metadata: { name: 'none' },
        spec: { type: 'Limited', limited: { limitResponse: { type: 'Reject' } } },
      } as never,
    ]);
    flows?.reset([
      {
        metadata: { name: 'crowd', uid: 'flow' },
        spec: {
          matchingPrecedence: 1,
          priorityLevelConfiguration: { name: 'none' },
          rules: [
            {
              subjects: [{ kind: 'User', user: { name: 'system:skein' } }],
              resourceRules: [{ verbs: ['list'], apiGroups: [''], resources: ['configmaps'], namespaces: ['*'] }],
            },
          ],
        },
      } as never,
    ]);
    await start({ fairness }, policy('- {level: Metadata}'));
    // Somebody holds the only seat.
    const holder = await fairness.admit(
      {
        user: SYSTEM_USER,
        verb: 'list',
        group: '',
        version: 'v1',
        resource: 'configmaps',
        subresource: '',
        namespace: 'x',
        name: '',
      },
      1,
      () => new AbortController().signal,
    );
    const turnedAway = await fetch(url + CONFIGMAPS);
    assert.deepEqual([turnedAway.status, turnedAway.headers.get('retry-after')], [429, '1']);
    assert.equal(turnedAway.headers.get('x-kubernetes-pf-flowschema-uid'), 'flow');
    assert.equal((await completed(CONFIGMAPS)).responseStatus?.code, 429);
    assert.equal((await fetch(`${url}/api/v1/namespaces/default`)).status, 200);
    holder.release();
    assert.equal((await fetch(url + CONFIGMAPS)).status, 200);
  });
});
