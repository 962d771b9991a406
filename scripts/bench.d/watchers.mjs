/**
 * The watchers of the `watch` benchmark, which only look for the times in what they get: each on a TLS connection of its own
 * over HTTP/1.1, or as client-go has them, many over each HTTP/2 connection. Without Node's own clients, as both ends share the processors.
 */
import { once } from 'node:events';
import { connect } from 'node:tls';

const [{ port, path, mark, count, tls, perConnection }] = await once(process, 'message');
const code = mark.charCodeAt(0);
const query = `${path}?watch=1&resourceVersion=0`;
/** How many events took how long to arrive, in tenths of milliseconds; the last stands for all longer ones. */
const took = new Uint32Array(100_000);
/** Of each write, by its time: how many watchers have it, and how long the last of them waited, in milliseconds. */
const writes = new Map();

function arrived(timeMs, nowMs) {
  const ms = nowMs - timeMs;
  took[Math.max(0, Math.min(took.length - 1, Math.round(ms * 10)))] += 1;
  const write = writes.get(timeMs);
  if (write) {
    write.watchers += 1;
    write.lastMs = ms;
  } else writes.set(timeMs, { watchers: 1, lastMs: ms });
}

/** One for all connections: what arrives is looked at before the next one reads. */
const buffer = Buffer.allocUnsafe(256 * 1024);

const POINT = 46;
const ZERO = 48;

/** Looks for the marked times in the pieces of one stream, and notes how long each took to arrive. Makes no garbage: its own pauses would be counted. */
function timeReader() {
  let inside = false;
  let time = 0;
  let unit = 0;
  return (bytes) => {
    const nowMs = performance.timeOrigin + performance.now();
    let at = inside ? 0 : bytes.indexOf(code);
    while (at >= 0 && at < bytes.length) {
      const byte = bytes[at];
      if (byte !== code) {
        if (byte === POINT) unit = 1;
        else {
          time = time * 10 + byte - ZERO;
          unit *= 10;
        }
        at += 1;
      } else if (inside) {
        if (unit > 0) arrived(time / unit, nowMs);
        inside = false;
        at = bytes.indexOf(code, at + 1);
      } else {
        inside = true;
        time = 0;
        unit = 0;
        at += 1;
      }
    }
  };
}

/** Calls back with every piece that arrives, valid until it returns. */
function open(protocol, onBytes, onConnect) {
  const callback = (length, whole) => {
    onBytes(whole.subarray(0, length));
    return true;
  };
  const options = { host: '127.0.0.1', port, ...tls, servername: 'kubernetes', ALPNProtocols: [protocol] };
  const socket = connect({ ...options, onread: { buffer, callback } }, () => onConnect(socket));
}

/** Resolves with the first bytes: the answer's beginning and the initial state. */
function watchOn() {
  const read = timeReader();
  return new Promise((resolve) => {
    open(
      'http/1.1',
      (bytes) => {
        resolve();
        read(bytes);
      },
      (socket) => socket.write(`GET ${query} HTTP/1.1\r\nHost: kubernetes\r\n\r\n`),
    );
  });
}

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
/** Types and flags of frames (RFC 9113, 6). */
const DATA = 0;
const HEADERS = 1;
const SETTINGS = 4;
const WINDOW_UPDATE = 8;
const ACK = 1;
const END_OF_STREAM_AND_HEADERS = 5;
/** What golang.org/x/net/http2 gives its server: windows of a stream and of the connection, and when it tells what it has read. */
const STREAM_WINDOW = 4 << 20;
const CONNECTION_WINDOW = 1 << 30;
const REFRESH_BYTES = 4 << 10;

function frame(type, flags, stream, payload) {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

const number32 = (value) => Buffer.from([value >>> 24, value >>> 16, value >>> 8, value]);
/** Literal header fields without indexing (RFC 7541, 6.2.2), for names and values below 127 bytes. */
const field = (name, value) =>
  Buffer.from(`\0${String.fromCharCode(name.length)}${name}${String.fromCharCode(value.length)}${value}`, 'latin1');
const REQUEST = Buffer.concat([
  field(':method', 'GET'),
  field(':scheme', 'https'),
  field(':authority', 'kubernetes'),
  field(':path', query),
]);

/** One connection with several watches. Resolves when each of them has its first bytes. */
function watchesOn(watches) {
  const readers = new Map();
  const unread = new Map();
  let missing = watches;
  let unreadBytes = 0;
  let socket;
  let rest = Buffer.alloc(0);
  return new Promise((resolve) => {
    const updates = [];
    const credit = (stream, bytes) => updates.push(frame(WINDOW_UPDATE, 0, stream, number32(bytes)));
    const onData = (stream, payload) => {
      const read = readers.get(stream);
      if (read) read(payload);
      else {
        readers.set(stream, timeReader());
        readers.get(stream)(payload);
        if (--missing === 0) resolve();
      }
      const bytes = (unread.get(stream) ?? 0) + payload.length;
      if (bytes >= REFRESH_BYTES) credit(stream, bytes);
      unread.set(stream, bytes >= REFRESH_BYTES ? 0 : bytes);
      unreadBytes += payload.length;
    };
    const onBytes = (piece) => {
      const bytes = rest.length === 0 ? piece : Buffer.concat([rest, piece]);
      let at = 0;
      while (bytes.length - at >= 9) {
        const end = at + 9 + bytes.readUIntBE(at, 3);
        if (end > bytes.length) break;
        const type = bytes[at + 3];
        if (type === DATA) onData(bytes.readUInt32BE(at + 5), bytes.subarray(at + 9, end));
        else if (type === SETTINGS && bytes[at + 4] !== ACK) socket.write(frame(SETTINGS, ACK, 0, Buffer.alloc(0)));
        at = end;
      }
      rest = Buffer.from(bytes.subarray(at));
      if (unreadBytes >= REFRESH_BYTES) {
        credit(0, unreadBytes);
        unreadBytes = 0;
      }
      if (updates.length > 0) socket.write(Buffer.concat(updates.splice(0)));
    };
    open('h2', onBytes, (connected) => {
      socket = connected;
      const initialWindow = Buffer.concat([Buffer.from([0, 4]), number32(STREAM_WINDOW)]);
      socket.write(Buffer.concat([PREFACE, frame(SETTINGS, 0, 0, initialWindow)]));
      credit(0, CONNECTION_WINDOW);
      for (let i = 0; i < watches; i++) updates.push(frame(HEADERS, END_OF_STREAM_AND_HEADERS, 2 * i + 1, REQUEST));
      socket.write(Buffer.concat(updates.splice(0)));
    });
  });
}

if (perConnection === 1) for (let i = 0; i < count; i++) await watchOn();
else for (let i = 0; i < count; i += perConnection) await watchesOn(Math.min(perConnection, count - i));
process.send('ready');
// After the warm-up.
await once(process, 'message');
took.fill(0);
writes.clear();
await once(process, 'message');
const last = [...writes]
  .filter(([, { watchers }]) => watchers === count)
  .map(([timeMs, { lastMs }]) => [timeMs, lastMs]);
process.send({ took, last }, () => process.exit(0));
