import assert from 'node:assert/strict';
import { frame, FrameReader } from '../../../src/p2p/libp2p/frames.js';
import { formatHostPort, hostPortOf, parseHostPort, tcpMultiaddr } from '../../../src/p2p/libp2p/address.js';

describe('FrameReader', () => {
  it('finds messages however the bytes are cut', () => {
    const messages = [new Uint8Array(0), Uint8Array.of(1), new Uint8Array(300).fill(2), new Uint8Array(0)];
    const bytes = Buffer.concat(messages.map((message) => frame(message)));
    for (const step of [1, 2, 3, 5, 7, 100, 1000]) {
      const got: Uint8Array[] = [];
      const reader = new FrameReader(1000, (message) => got.push(message));
      for (let at = 0; at < bytes.length; at += step) reader.push(bytes.subarray(at, at + step));
      assert.deepEqual(
        got.map((message) => [...message]),
        messages.map((message) => [...message]),
      );
    }
  });

  it('refuses a message that is too long before it arrives', () => {
    const reader = new FrameReader(10, () => undefined);
    assert.throws(() => reader.push(frame(new Uint8Array(11)).subarray(0, 4)), /11 bytes is longer than 10/);
  });
});

describe('peer addresses', () => {
  it('are host:port pairs, also for IPv6', () => {
    for (const text of ['10.0.0.1:7443', '[fd00::1]:7443', 'node-a.example:1']) {
      const parsed = parseHostPort(text);
      assert.ok(parsed, text);
      assert.equal(formatHostPort(parsed), text);
      assert.equal(hostPortOf(tcpMultiaddr(parsed)), text);
    }
    for (const text of ['', 'host', ':1', 'a:b', '1.2.3.4:70000', 'fd00::1:7443', '[x]:1'])
      assert.equal(parseHostPort(text), undefined, text);
  });
});
