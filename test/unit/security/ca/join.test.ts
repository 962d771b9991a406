import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { systemClock } from '../../../../src/base/clock.js';
import { silentLogger } from '../../../../src/base/log.js';
import { systemRandom } from '../../../../src/base/random.js';
import { ADMIN, ClusterCa } from '../../../../src/security/ca/authority.js';
import {
  foundCluster,
  joinedIdentity,
  judgeHello,
  membershipHello,
  renewCertificate,
} from '../../../../src/security/ca/founding.js';
import {
  IdentityError,
  loadIdentity,
  saveIdentity,
  type NodeIdentity,
} from '../../../../src/security/ca/identity-store.js';
import { join } from '../../../../src/security/ca/join-client.js';
import { CA_PATH, JOIN_PATH } from '../../../../src/security/ca/join-protocol.js';
import { handleJoin, type JoinServerDeps } from '../../../../src/security/ca/join-server.js';
import { peerIn } from '../../../../src/security/ca/peer-uri.js';
import { certificateHash, isSignedBy, renewalDue } from '../../../../src/security/ca/pem.js';
import {
  createToken,
  formatToken,
  JoinError,
  parseToken,
  tokenFromSecret,
  tokenToSecret,
  type JoinErrorCode,
  type TokenRecord,
} from '../../../../src/security/ca/token.js';

const deps = { clock: systemClock, random: systemRandom };
const network = { clusterCidr: '10.244.0.0/16', serviceCidr: '10.96.0.0/12', serviceIp: '10.96.0.1' };
const founderKeys = { nodeName: 'alpha', peerId: 'peer-alpha', peerKey: new Uint8Array([1, 2, 3]) };
const joiner = {
  nodeName: 'beta',
  peerId: 'peer-beta',
  addresses: ['127.0.0.1', 'beta.example'],
  formats: { oldest: 1, newest: 1 },
};

function memoryTokens() {
  const records = new Map<string, TokenRecord>();
  return {
    records,
    get: (id: string) => Promise.resolve(records.get(id)),
    put: (record: TokenRecord) => {
      // Through the form in which the cluster keeps it.
      const stored = tokenFromSecret(tokenToSecret(record));
      records.set(record.id, stored!);
      return Promise.resolve();
    },
  };
}

function rejectsWith(code: JoinErrorCode, text: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof JoinError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, text);
    assert.ok(!error.message.includes('\n'));
    return true;
  };
}

describe('joining a cluster', () => {
  let founder: NodeIdentity;
  let server: Server;
  let address: string;
  const tokens = memoryTokens();
  let level = 1;
  let holders: { peerId: string; alive: boolean }[] = [];

  const token = (ttlMs = 60_000, addresses = [address]) =>
    createToken({ ...deps, store: tokens }, { addresses, caHash: certificateHash(founder.caCertPem), ttlMs });

  before(async () => {
    founder = await foundCluster(deps, founderKeys, { ...network, addresses: ['127.0.0.1'] });
    const serverDeps: JoinServerDeps = {
      clock: systemClock,
      log: silentLogger,
      ca: await ClusterCa.load(deps, founder.caCertPem, founder.caKeyPem),
      tokens,
      facts: founder,
      clusterSecret: founder.clusterSecret,
      serviceIp: network.serviceIp,
      certificateLifeMs: 3_600_000,
      unfit: ({ newest }) => (newest < level ? 'upgrade it' : undefined),
      holdersOf: (name) => (name === joiner.nodeName ? holders : []),
      peers: () => [{ id: founder.peerId, addresses: ['127.0.0.1:7443'] }],
    };
    server = createServer({ cert: founder.certPem, key: founder.keyPem }, (request, response) => {
      if (request.url === CA_PATH) response.end(founder.caCertPem);
      else if (request.url === JOIN_PATH) {
        const parts: Buffer[] = [];
        request.on('data', (part: Buffer) => parts.push(part));
        request.on('end', () => {
          void handleJoin(serverDeps, Buffer.concat(parts)).then(({ status, body }) => {
            response.writeHead(status);
            response.end(body);
          });
        });
      } else response.writeHead(404).end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  });

  after(() => {
    server.close();
  });

  beforeEach(() => {
    holders = [];
  });

  it('makes a machine with a token a full peer', async () => {
    const result = await join(systemClock, await token(), joiner);
    const identity = joinedIdentity({ ...joiner, peerKey: new Uint8Array([9]) }, result);
    assert.equal(identity.clusterId, founder.clusterId);
    assert.equal(identity.caKeyPem, founder.caKeyPem);
    assert.deepEqual(Buffer.from(identity.clusterSecret), Buffer.from(founder.clusterSecret));
    assert.deepEqual(result.peers, [{ id: 'peer-alpha', addresses: ['127.0.0.1:7443'] }]);
    const certificate = new X509Certificate(identity.certPem);
    assert.equal(certificate.subject, 'O=system:nodes\nCN=system:node:beta');
    for (const name of ['beta', 'kubernetes', 'kubernetes.default.svc.cluster.local', 'beta.example'])
      assert.ok(certificate.checkHost(name), name);
    for (const ip of ['127.0.0.1', '10.96.0.1']) assert.ok(certificate.checkIP(ip), ip);
    assert.deepEqual(certificate.keyUsage, ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']);
    const judged = judgeHello(founder, 'peer-beta', membershipHello(identity, ['10.0.0.2:7443']), Date.now());
    const formats = { oldest: 1, newest: 1 };
    assert.deepEqual(judged, { ok: true, nodeName: 'beta', addresses: ['10.0.0.2:7443'], formats, level: 1 });
  });

  it('refuses expired, revoked, altered and malformed tokens', async () => {
    await assert.rejects(join(systemClock, await token(-1000), joiner), rejectsWith('expired-token', /expired at/));
    const revoked = await token();
    const parsed = parseToken(revoked, Date.now());
    tokens.records.delete(parsed.id);
    await assert.rejects(join(systemClock, revoked, joiner), rejectsWith('unknown-token', /revoked/));
    const good = parseToken(await token(), Date.now());
    const altered = formatToken({ ...good, secret: 'x' });
    await assert.rejects(join(systemClock, altered, joiner), rejectsWith('unknown-token', /not known/));
    const prolonged = parseToken(await token(60_000), Date.now());
    tokens.records.set(prolonged.id, { ...tokens.records.get(prolonged.id)!, expiresMs: Date.now() - 1 });
    await assert.rejects(join(systemClock, formatToken(prolonged), joiner), rejectsWith('expired-token', /expired/));
    for (const [text, why] of [
      ['hello', /does not begin/],
      ['skein9.abc', /version/],
      ['skein1.abc', /damaged/],
      [(await token()).slice(0, 60), /damaged/],
    ] as const)
      assert.throws(() => parseToken(text, 0), rejectsWith('malformed-token', why));
  });

  it('keeps only a hash of the secret, in a Secret of the form Kubernetes knows', async () => {
    const text = await token();
    const { id, secret } = parseToken(text, Date.now());
    const stored = tokenToSecret(tokens.records.get(id)!);
    assert.equal(stored.metadata.name, `bootstrap-token-${id}`);
    assert.equal(Buffer.from(stored.data['token-id']!, 'base64').toString(), id);
    assert.ok(!Object.values(stored.data).some((v) => Buffer.from(v, 'base64').toString().includes(secret)));
  });

  it('sends nothing to a cluster whose CA is not the one pinned', async () => {
    const pinned = parseToken(await token(), Date.now());
    const wrong = formatToken({ ...pinned, caHash: 'other' });
    await assert.rejects(join(systemClock, wrong, joiner), rejectsWith('hash-mismatch', /pins/));
  });

  it('passes over addresses that do not answer, and says when none does', async () => {
    await assert.rejects(
      join(systemClock, await token(60_000, ['127.0.0.1:1']), joiner),
      rejectsWith('unreachable', /cannot reach a peer at 127.0.0.1:1/),
    );
    assert.ok(await join(systemClock, await token(60_000, ['127.0.0.1:1', address]), joiner));
  });

  it('refuses a build that cannot read what the cluster writes', async () => {
    level = 2;
    try {
      await assert.rejects(join(systemClock, await token(), joiner), rejectsWith('bad-request', /^upgrade it$/));
      assert.ok(await join(systemClock, await token(), { ...joiner, formats: { oldest: 1, newest: 2 } }));
    } finally {
      level = 1;
    }
  });

  it('names the peer in its certificate', async () => {
    const { subjectAltName } = new X509Certificate(
      (await join(systemClock, await token(), { ...joiner, peerId: 'peerbeta' })).certPem,
    );
    assert.equal(peerIn(subjectAltName), 'peerbeta');
    assert.equal(peerIn(undefined), undefined);
  });

  it('refuses a name that another live peer has, and gives the name of a dead one', async () => {
    holders = [{ peerId: 'somebody', alive: true }];
    await assert.rejects(join(systemClock, await token(), joiner), rejectsWith('name-in-use', /"beta" is in use/));
    holders = [{ peerId: 'somebody', alive: false }];
    assert.ok(await join(systemClock, await token(), joiner));
    holders = [{ peerId: joiner.peerId, alive: true }];
    assert.ok(await join(systemClock, await token(), joiner));
    await assert.rejects(
      join(systemClock, await token(), { ...joiner, nodeName: 'Not Valid' }),
      rejectsWith('bad-request', /not a valid node name/),
    );
  });

  it('knows forged, foreign, stolen and expired membership records', async () => {
    const hello = membershipHello(founder, []);
    const judge = (by: NodeIdentity, peerId: string, bytes: Uint8Array, nowMs = Date.now()) => {
      const result = judgeHello(by, peerId, bytes, nowMs);
      return result.ok ? 'ok' : result.reason;
    };
    assert.equal(judge(founder, 'peer-alpha', hello), 'ok');
    assert.match(judge(founder, 'peer-beta', hello), /another peer/);
    assert.match(judge(founder, 'peer-alpha', hello, Date.now() + 11 * 365 * 86_400_000), /expired/);
    assert.match(judge(founder, 'peer-alpha', Buffer.from('{')), /cannot be read/);
    const stranger = await foundCluster(deps, founderKeys, { ...network, addresses: [] });
    assert.match(judge(stranger, 'peer-alpha', hello), /not signed/);
  });
});

describe('identities on disk', () => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(joinPath(tmpdir(), 'skein-identity-'));
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));

  it('come back as they were, readable by nobody else', async () => {
    assert.equal(await loadIdentity(dir), undefined);
    const identity = await foundCluster(deps, founderKeys, { ...network, addresses: [] });
    await saveIdentity(dir, identity);
    const loaded = await loadIdentity(dir, { caHash: certificateHash(identity.caCertPem), nodeName: 'alpha' });
    assert.deepEqual(
      { ...loaded, certPem: 0, keyPem: 0, clusterSecret: 0, membership: 0, peerKey: 0 },
      {
        ...identity,
        certPem: 0,
        keyPem: 0,
        clusterSecret: 0,
        membership: 0,
        peerKey: 0,
      },
    );
    assert.equal(loaded!.certPem.trim(), identity.certPem.trim());
    assert.deepEqual(Buffer.from(loaded!.clusterSecret), Buffer.from(identity.clusterSecret));
    assert.equal((await stat(joinPath(dir, 'pki/ca-key.pem'))).mode & 0o777, 0o600);
    assert.equal((await stat(joinPath(dir, 'pki'))).mode & 0o777, 0o700);
  });

  it('of another cluster or name, or damaged ones, are refused', async () => {
    await saveIdentity(dir, await foundCluster(deps, founderKeys, { ...network, addresses: [] }));
    const refused = (code: string) => (error: unknown) => error instanceof IdentityError && error.code === code;
    await assert.rejects(loadIdentity(dir, { caHash: 'other' }), refused('other-cluster'));
    await assert.rejects(loadIdentity(dir, { nodeName: 'gamma' }), refused('other-name'));
    await writeFile(joinPath(dir, 'pki/node.pem'), 'garbage');
    await assert.rejects(loadIdentity(dir), refused('damaged'));
  });

  it('renew their certificate when two thirds of its life are over', async () => {
    const identity = await foundCluster(deps, founderKeys, { ...network, addresses: [] });
    await saveIdentity(dir, identity);
    assert.equal(await renewCertificate(deps, dir, identity, { addresses: [] }), identity);
    const later = { ...deps, clock: { ...systemClock, nowMs: () => Date.now() + 300 * 86_400_000 } };
    assert.ok(renewalDue(identity.certPem, later.clock.nowMs()));
    const renewed = await renewCertificate(later, dir, identity, { addresses: ['10.1.1.1'] });
    assert.ok(new X509Certificate(renewed.certPem).checkIP('10.1.1.1'));
    assert.equal((await loadIdentity(dir))!.certPem.trim(), renewed.certPem.trim());
  });

  it('include administrators whom every peer believes', async () => {
    const ca = await ClusterCa.create(deps, 'c');
    const admin = await ca.issueClient(ADMIN);
    assert.equal(new X509Certificate(admin.certPem).subject, 'O=system:masters\nCN=kubernetes-admin');
    assert.ok(isSignedBy(admin.certPem, ca.certPem));
    assert.ok(new X509Certificate(ca.certPem).ca);
  });
});
