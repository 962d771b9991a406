import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import type { Worker } from 'node:worker_threads';
import { systemClock } from '../../../../../src/base/clock.js';
import { silentLogger } from '../../../../../src/base/log.js';
import { FrontThread } from '../../../../../src/control/apiserver/front/front-thread.js';
import type { FromFront, RequestHead, ToFront } from '../../../../../src/control/apiserver/front/protocol.js';
import type { ApiRequest, ApiResponse } from '../../../../../src/control/apiserver/http/exchange.js';

/** The other end of the mailbox. */
class OtherThread extends EventEmitter {
  readonly told: ToFront[] = [];

  postMessage(messages: readonly ToFront[]): void {
    this.told.push(...messages);
    this.emit('told');
  }

  terminate(): Promise<number> {
    this.emit('exit', 1);
    return Promise.resolve(1);
  }

  tell(...messages: FromFront[]): void {
    this.emit('message', messages);
  }

  async hears(what: ToFront[0]): Promise<ToFront> {
    for (;;) {
      const found = this.told.find(([kind]) => kind === what);
      if (found) return found;
      await once(this, 'told');
    }
  }
}

const HEAD: RequestHead = {
  connection: 1,
  method: 'GET',
  url: '/',
  headers: {},
  rawHeaders: [],
  unsized: false,
  complete: true,
};

describe('the front in a thread', function () {
  // Some copy a hundred megabytes.
  this.timeout(30_000);
  let thread: OtherThread;
  let front: FrontThread;
  let asked: { readonly request: ApiRequest; readonly response: ApiResponse }[];

  beforeEach(async () => {
    thread = new OtherThread();
    asked = [];
    front = new FrontThread(
      { clock: systemClock, log: silentLogger, spawn: () => thread as unknown as Worker },
      { port: 0, host: '127.0.0.1', tls: { key: '', cert: '', ca: '' }, feedBytes: 1 },
      { request: (request, response) => void asked.push({ request, response }), upgrade: () => undefined },
    );
    const started = front.start();
    thread.tell(['listening', { port: 1, address: '127.0.0.1', family: 'IPv4' }]);
    await started;
    thread.tell(['connection', 1, {}], ['request', 1, HEAD]);
  });

  const answerer = () => asked[0]?.response as ApiResponse;

  it('cuts off the readers of frames that the thread does not take, instead of keeping them without bound', async () => {
    const feed = front.fanOut();
    feed.join(answerer());
    let closed = false;
    answerer().once('close', () => (closed = true));
    const frame = Buffer.alloc(8 * 1024 * 1024);
    for (let i = 0; i < 8; i++) feed.push(frame);
    await thread.hears('frame');
    assert.equal(closed, false);
    feed.push(frame);
    feed.push(frame);
    assert.equal((await thread.hears('destroy'))[1], 1);
    assert.ok(closed);
  });

  it('goes on sending frames once the thread has taken those before', async () => {
    const feed = front.fanOut();
    feed.join(answerer());
    const frame = Buffer.alloc(8 * 1024 * 1024);
    for (let i = 0; i < 20; i++) {
      feed.push(frame);
      thread.tell(['fed', frame.length]);
    }
    await thread.hears('frame');
    assert.equal(thread.told.filter(([what]) => what === 'destroy').length, 0);
  });

  it('refuses heads that HTTP does not allow where they are made', () => {
    assert.throws(() => answerer().setHeader('a b', '1'), /Header name/);
    assert.throws(() => answerer().setHeader('a', 'b\nc'), /Invalid character/);
    assert.throws(() => answerer().writeHead(99), /status code/);
  });

  it('tells those who answer that nobody waits any more, once', async () => {
    let times = 0;
    answerer().once('close', () => (times += 1));
    thread.tell(['closed', 1], ['closed', 1]);
    await Promise.resolve();
    answerer().end();
    await Promise.resolve();
    assert.equal(times, 1);
    assert.deepEqual(thread.told, []);
  });

  it('rejects a start that the thread refuses', async () => {
    const other = new OtherThread();
    const refused = new FrontThread(
      { clock: systemClock, log: silentLogger, spawn: () => other as unknown as Worker },
      { port: 1, host: '127.0.0.1', tls: { key: '', cert: '', ca: '' }, feedBytes: 1 },
      { request: () => undefined, upgrade: () => undefined },
    );
    const started = refused.start();
    other.tell(['refused', { message: 'listen EADDRINUSE', code: 'EADDRINUSE', port: 1 }]);
    await assert.rejects(started, { message: 'listen EADDRINUSE', code: 'EADDRINUSE', port: 1 });
  });
});
