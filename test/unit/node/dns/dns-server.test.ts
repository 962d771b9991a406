import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { decode, encode, type Answer, type DecodedPacket, type RecordType } from 'dns-packet';
import { systemClock } from '../../../../src/base/clock.js';
import { silentLogger } from '../../../../src/base/log.js';
import { noMetrics } from '../../../../src/base/metrics.js';
import { seededRandom } from '../../../../src/base/random.js';
import { ENDPOINTSLICES, SERVICES } from '../../../../src/api/resource.js';
import type { Service } from '../../../../src/api/types/core-v1.js';
import type { Endpoint, EndpointSlice } from '../../../../src/api/types/discovery-v1.js';
import { DnsServer } from '../../../../src/node/dns/dns-server.js';
import { FrameReader, framed } from '../../../../src/node/dns/tcp-frame.js';
import { MemoryClient } from '../../../../src/testing/memory-client.js';

const deps = { clock: systemClock, log: silentLogger, metrics: noMetrics, random: seededRandom(7) };

function service(name: string, spec: NonNullable<Service['spec']>): Service {
  return { apiVersion: 'v1', kind: 'Service', metadata: { name, namespace: 'shop' }, spec } as Service;
}
function slice(name: string, endpoints: Endpoint[], addressType: 'IPv4' | 'IPv6' = 'IPv4'): EndpointSlice {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: `${name}-1`, namespace: 'shop', labels: { 'kubernetes.io/service-name': name } },
    addressType,
    endpoints,
    ports: [{ name: 'http', protocol: 'TCP', port: 8080 }],
  };
}

describe('the DNS server', () => {
  let client: MemoryClient;
  let server: DnsServer;
  let upstream: Socket;
  let upstreamSeen: string[];
  let upstreamSilent: boolean;

  beforeEach(async () => {
    upstreamSeen = [];
    upstreamSilent = false;
    upstream = createSocket('udp4');
    upstream.bind(0, '127.0.0.1');
    await once(upstream, 'listening');
    upstream.on('message', (message, from) => {
      let query: DecodedPacket;
      try {
        query = decode(message);
      } catch {
        return;
      }
      const name = query.questions?.[0]?.name ?? '';
      upstreamSeen.push(name);
      if (upstreamSilent) return;
      const reply = { type: 'response' as const, id: query.id, flags: 0x8180, questions: query.questions };
      upstream.send(
        encode({ ...reply, answers: [{ name, type: 'A', ttl: 60, data: '203.0.113.9' }] }),
        from.port,
        from.address,
      );
    });
    client = new MemoryClient(deps);
    client.seed(
      SERVICES,
      service('web', { clusterIPs: ['10.96.0.5', 'fd00::5'], ports: [{ name: 'http', port: 80, protocol: 'TCP' }] }),
    );
    client.seed(SERVICES, service('db', { clusterIP: 'None', ports: [{ name: 'http', port: 80 }] }));
    client.seed(SERVICES, service('empty', { clusterIP: 'None', ports: [{ name: 'http', port: 80 }] }));
    client.seed(SERVICES, service('outside', { type: 'ExternalName', externalName: 'example.org' }));
    client.seed(SERVICES, service('inside', { type: 'ExternalName', externalName: 'web.shop.svc.cluster.local' }));
    client.seed(
      ENDPOINTSLICES,
      slice('db', [
        { addresses: ['10.244.0.7'], hostname: 'db-0' },
        { addresses: ['10.244.1.8'], conditions: { ready: true } },
        { addresses: ['10.244.1.9'], conditions: { ready: false } },
      ]),
    );
    server = new DnsServer(
      { ...deps, client },
      {
        addresses: [{ ip: '127.0.0.1', port: 0 }],
        upstream: [{ ip: '127.0.0.1', port: upstream.address().port }],
        upstreamTimeoutMs: 100,
      },
    );
    await server.start();
    await server.synced;
  });
  afterEach(async () => {
    for (const close of closing.splice(0)) close();
    await server.stop();
    upstream.close();
  });

  /** Closed after the test, however that ends. */
  const closing: (() => void)[] = [];
  function clientSocket(): Socket {
    const socket = createSocket('udp4');
    closing.push(() => socket.close());
    return socket;
  }

  const port = () => server.addresses[0]?.port ?? 0;

  async function udp(message: Buffer): Promise<Buffer> {
    const socket = clientSocket();
    const answered = once(socket, 'message', { signal: AbortSignal.timeout(5_000) });
    socket.send(message, port(), '127.0.0.1');
    const [reply] = (await answered) as [Buffer];
    return reply;
  }
  async function tcp(...messages: Buffer[]): Promise<Buffer[]> {
    const socket = connect(port(), '127.0.0.1');
    closing.push(() => socket.destroy());
    const reader = new FrameReader();
    const replies: Buffer[] = [];
    socket.write(Buffer.concat(messages.map(framed)));
    for await (const chunk of socket) {
      replies.push(...reader.push(chunk as Buffer));
      if (replies.length >= messages.length) break;
    }
    return replies;
  }
  const question = (name: string, type: RecordType, size?: number) =>
    encode({
      type: 'query',
      id: 4711,
      flags: 0x0100,
      questions: [{ name, type }],
      additionals: size
        ? [
            {
              type: 'OPT',
              name: '.',
              udpPayloadSize: size,
              extendedRcode: 0,
              ednsVersion: 0,
              flags: 0,
              flag_do: false,
              options: [],
            },
          ]
        : [],
    });
  const ask = async (name: string, type: RecordType): Promise<DecodedPacket & { rcode: string }> =>
    decode(await udp(question(name, type))) as DecodedPacket & { rcode: string };
  const data = (answers: Answer[] | undefined) =>
    (answers ?? []).map((each) => ('data' in each ? each.data : undefined));

  it('gives the cluster IP of a Service by family, whatever the case', async () => {
    const reply = await ask('WEB.shop.svc.Cluster.local', 'A');
    assert.equal(reply.rcode, 'NOERROR');
    assert.equal(reply.id, 4711);
    assert.equal(reply.flag_aa, true);
    assert.deepEqual(reply.answers, [
      { name: 'WEB.shop.svc.Cluster.local', type: 'A', ttl: 5, class: 'IN', flush: false, data: '10.96.0.5' },
    ]);
    assert.deepEqual(data((await ask('web.shop.svc.cluster.local', 'AAAA')).answers), ['fd00::5']);
  });

  it('tells an unknown name from a known one without such records, with the SOA in both', async () => {
    const unknown = await ask('nope.shop.svc.cluster.local', 'A');
    assert.equal(unknown.rcode, 'NXDOMAIN');
    assert.equal(unknown.authorities?.[0]?.type, 'SOA');
    const empty = await ask('web.shop.svc.cluster.local', 'MX');
    assert.equal(empty.rcode, 'NOERROR');
    assert.deepEqual(empty.answers, []);
    assert.equal(empty.authorities?.[0]?.type, 'SOA');
    assert.equal((await ask('shop.svc.cluster.local', 'A')).rcode, 'NOERROR');
    assert.equal((await ask('other.svc.cluster.local', 'A')).rcode, 'NXDOMAIN');
  });

  it('describes ports by SRV, with the addresses of the targets', async () => {
    const reply = await ask('_http._tcp.web.shop.svc.cluster.local', 'SRV');
    assert.deepEqual(data(reply.answers), [
      { priority: 0, weight: 100, port: 80, target: 'web.shop.svc.cluster.local' },
    ]);
    assert.deepEqual(data(reply.additionals), ['10.96.0.5', 'fd00::5']);
    assert.equal((await ask('_nope._tcp.web.shop.svc.cluster.local', 'SRV')).rcode, 'NXDOMAIN');
  });

  it('gives the ready endpoints of a headless Service, each under a name of its own', async () => {
    const reply = await ask('db.shop.svc.cluster.local', 'A');
    assert.deepEqual((data(reply.answers) as string[]).sort(), ['10.244.0.7', '10.244.1.8']);
    assert.deepEqual(data((await ask('db-0.db.shop.svc.cluster.local', 'A')).answers), ['10.244.0.7']);
    assert.deepEqual(data((await ask('10-244-1-8.db.shop.svc.cluster.local', 'A')).answers), ['10.244.1.8']);
    const srv = await ask('_http._tcp.db.shop.svc.cluster.local', 'SRV');
    const targets = (data(srv.answers) as { target: string; port: number }[]).map((s) => `${s.target}:${s.port}`);
    assert.deepEqual(targets.sort(), [
      '10-244-1-8.db.shop.svc.cluster.local:8080',
      'db-0.db.shop.svc.cluster.local:8080',
    ]);
    assert.equal((await ask('empty.shop.svc.cluster.local', 'A')).rcode, 'NXDOMAIN');
  });

  it('finds names by address, and leaves other addresses to the resolvers', async () => {
    assert.deepEqual(data((await ask('5.0.96.10.in-addr.arpa', 'PTR')).answers), ['web.shop.svc.cluster.local']);
    assert.deepEqual(data((await ask('7.0.244.10.in-addr.arpa', 'PTR')).answers), ['db-0.db.shop.svc.cluster.local']);
    await ask('1.1.1.1.in-addr.arpa', 'PTR');
    assert.deepEqual(upstreamSeen, ['1.1.1.1.in-addr.arpa']);
  });

  it('follows an ExternalName inside and outside of the cluster', async () => {
    const outside = await ask('outside.shop.svc.cluster.local', 'A');
    assert.deepEqual(data(outside.answers), ['example.org', '203.0.113.9']);
    const inside = await ask('inside.shop.svc.cluster.local', 'A');
    assert.deepEqual(data(inside.answers), ['web.shop.svc.cluster.local', '10.96.0.5']);
  });

  it('gives pods the address in their name, and its schema version', async () => {
    assert.deepEqual(data((await ask('10-244-3-4.shop.pod.cluster.local', 'A')).answers), ['10.244.3.4']);
    assert.deepEqual(data((await ask('dns-version.cluster.local', 'TXT')).answers), [[Buffer.from('1.1.0')]]);
  });

  it('forwards other zones and answers SERVFAIL when nobody replies', async () => {
    assert.deepEqual(data((await ask('example.com', 'A')).answers), ['203.0.113.9']);
    upstreamSilent = true;
    assert.equal((await ask('example.com', 'A')).rcode, 'SERVFAIL');
  });

  it('cuts a long answer short over UDP and gives all of it over TCP', async () => {
    const endpoints = Array.from({ length: 60 }, (_, i) => ({ addresses: [`10.244.2.${i + 1}`] }));
    client.seed(SERVICES, service('many', { clusterIP: 'None' }));
    client.seed(ENDPOINTSLICES, slice('many', endpoints));
    const name = 'many.shop.svc.cluster.local';
    while ((await ask(name, 'A')).rcode !== 'NOERROR') await systemClock.sleep(2);
    const short = await udp(question(name, 'A'));
    assert.ok(short.length <= 512);
    assert.equal(decode(short).flag_tc, true);
    const wide = decode(await udp(question(name, 'A', 4096)));
    assert.equal(wide.flag_tc, false);
    assert.equal(wide.answers?.length, 60);
    assert.ok(wide.additionals?.some(({ type }) => type === 'OPT'));
    const [whole, again] = await tcp(question(name, 'A'), question('web.shop.svc.cluster.local', 'A'));
    assert.equal(decode(whole!).answers?.length, 60);
    assert.equal(decode(again!).answers?.length, 1);
  });

  it('follows changes', async () => {
    await client.delete(SERVICES, 'shop', 'web');
    while ((await ask('web.shop.svc.cluster.local', 'A')).rcode !== 'NXDOMAIN') await systemClock.sleep(2);
    await ask('5.0.96.10.in-addr.arpa', 'PTR');
    assert.deepEqual(upstreamSeen, ['5.0.96.10.in-addr.arpa']);
  });

  it('goes on after garbage on both transports', async () => {
    const random = seededRandom(3);
    const socket = clientSocket();
    for (let i = 0; i < 60; i++) socket.send(random.bytes(1 + random.int(80)), port(), '127.0.0.1');
    const stream = connect(port(), '127.0.0.1');
    closing.push(() => stream.destroy());
    stream.on('error', () => undefined);
    stream.write(random.bytes(5_000));
    assert.equal((await ask('web.shop.svc.cluster.local', 'A')).rcode, 'NOERROR');
  });

  it('answers after a flood as before, whatever of it was lost', async () => {
    const random = seededRandom(3);
    const socket = clientSocket();
    for (let i = 0; i < 5_000; i++) socket.send(random.bytes(1 + random.int(80)), port(), '127.0.0.1');
    // As resolvers do: a question that got lost in the flood is asked again.
    const asker = clientSocket();
    const answered = once(asker, 'message', { signal: AbortSignal.timeout(5_000) });
    let asked = 0;
    for (let done = false; !done; await systemClock.sleep(20)) {
      asker.send(question('web.shop.svc.cluster.local', 'A'), port(), '127.0.0.1');
      done = (await Promise.race([answered, systemClock.sleep(80)])) !== undefined;
      asked += 1;
      assert.ok(asked < 40, 'no answer after the flood');
    }
    // And from then on each question at once.
    for (let i = 0; i < 20; i++) assert.equal((await ask('web.shop.svc.cluster.local', 'A')).rcode, 'NOERROR');
  });

  it('takes a burst of many questions while it is busy', async () => {
    const socket = clientSocket();
    const wanted = 1_000;
    let replies = 0;
    const all = new Promise<void>((resolve) => socket.on('message', () => ++replies === wanted && resolve()));
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    socket.setRecvBufferSize(4 * 2 ** 20);
    for (let i = 0; i < wanted; i++) socket.send(question('web.shop.svc.cluster.local', 'A'), port(), '127.0.0.1');
    const rmemMax = Number(await readFile('/proc/sys/net/core/rmem_max', 'utf8'));
    await Promise.race([all, systemClock.sleep(4_000)]);
    // Kernels that were not told to hold more hold about 500.
    assert.ok(replies >= (rmemMax >= 4 * 2 ** 20 ? wanted : 200), `${replies}`);
  });
});
