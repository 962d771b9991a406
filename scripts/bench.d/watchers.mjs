/** The watchers of the `watch` benchmark: many TLS connections that only look for the times in what they get. */
import { once } from 'node:events';
import { connect } from 'node:tls';

const [{ port, path, mark, count, tls }] = await once(process, 'message');
const code = mark.charCodeAt(0);
const tookMs = [];

/** Tells how long each marked time took to arrive. */
function watchOn(socket) {
  let rest = '';
  let inside = false;
  socket.on('data', (bytes) => {
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
    if (inside) rest += bytes.latin1Slice(from, bytes.length);
  });
}

for (let i = 0; i < count; i++) {
  const socket = connect({ host: '127.0.0.1', port, ...tls, servername: 'kubernetes' });
  await once(socket, 'secureConnect');
  socket.write(`GET ${path}?watch=1&resourceVersion=0 HTTP/1.1\r\nHost: kubernetes\r\n\r\n`);
  watchOn(socket);
  // The answer's beginning comes with the whole initial state, whose times are empty.
  await once(socket, 'data');
}
process.send('ready');
await once(process, 'message');
process.send(tookMs, () => process.exit(0));
