/** The watchers of the `watch` benchmark: many TLS connections that only look for the times in what they get. */
import { once } from 'node:events';
import { connect } from 'node:tls';

const [{ port, path, mark, count, tls }] = await once(process, 'message');
const code = mark.charCodeAt(0);
const tookMs = [];

/** One for all connections: what arrives is looked at before the next one reads. */
const buffer = Buffer.allocUnsafe(64 * 1024);

/** Notes how long each marked time took to arrive. Resolves with the first bytes: the answer's beginning and the initial state. */
function watchOn() {
  return new Promise((resolve) => {
    let rest = '';
    let inside = false;
    const look = (length, whole) => {
      resolve();
      const bytes = whole.subarray(0, length);
      const nowMs = performance.timeOrigin + performance.now();
      let from = 0;
      for (let at = bytes.indexOf(code); at >= 0; at = bytes.indexOf(code, from)) {
        if (inside) {
          const time = rest + bytes.latin1Slice(from, at);
          if (time !== '') tookMs.push(nowMs - Number(time));
          rest = '';
        }
        inside = !inside;
        from = at + 1;
      }
      if (inside) rest += bytes.latin1Slice(from, length);
      return true;
    };
    // Without a stream's machinery: both ends share the processors.
    const onread = { buffer, callback: look };
    const socket = connect({ host: '127.0.0.1', port, ...tls, servername: 'kubernetes', onread }, () =>
      socket.write(`GET ${path}?watch=1&resourceVersion=0 HTTP/1.1\r\nHost: kubernetes\r\n\r\n`),
    );
  });
}

for (let i = 0; i < count; i++) await watchOn();
process.send('ready');
// After the warm-up.
await once(process, 'message');
tookMs.length = 0;
await once(process, 'message');
process.send(tookMs, () => process.exit(0));
