/**
 * port-forward on the wire: SPDY/3.1 streams in pairs (data and error, by request id), directly on the connection or
 * tunnelled in WebSocket messages (`SPDY/3.1+portforward.k8s.io`); clients without SPDY get WebSocket channels.
 */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { createWebSocketStream, WebSocketServer } from 'ws';
import { errorText } from '../../../base/log.js';
import { CHANNEL_PROTOCOL, servePortChannels } from './port-forward-channels.js';
import { acceptSpdy, isWebSocket, spdyProtocol } from './remote-command.js';
import { serveSpdy, type SpdyStream } from './spdy-session.js';

const PROTOCOL = 'portforward.k8s.io';
const TUNNEL = `SPDY/3.1+${PROTOCOL}`;

/** Connects to a port in the pod. */
export type ConnectPort = (port: number) => Promise<Duplex>;

export function servePortForward(request: IncomingMessage, socket: Duplex, head: Buffer, connect: ConnectPort): void {
  if (isWebSocket(request)) {
    serveTunnel(request, socket, head, connect);
    return;
  }
  acceptSpdy(socket, spdyProtocol(request, [PROTOCOL]) ?? PROTOCOL);
  if (head.length > 0) socket.unshift(head);
  servePairs(socket, connect);
}

/** `ws` refuses the slash in the protocol's name, so the header is kept from it and answered by hand. */
function serveTunnel(request: IncomingMessage, socket: Duplex, head: Buffer, connect: ConnectPort): void {
  const asked = String(request.headers['sec-websocket-protocol'] ?? '')
    .split(',')
    .map((one) => one.trim());
  if (asked.includes(CHANNEL_PROTOCOL) && !asked.includes(TUNNEL)) {
    servePortChannels(request, socket, head, connect);
    return;
  }
  if (!asked.includes(TUNNEL)) {
    socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
    return;
  }
  delete request.headers['sec-websocket-protocol'];
  const server = new WebSocketServer({ noServer: true });
  server.on('headers', (headers) => headers.push(`Sec-WebSocket-Protocol: ${TUNNEL}`));
  server.handleUpgrade(request, socket, head, (client) => {
    const tunnel = createWebSocketStream(client);
    tunnel.on('error', () => client.terminate());
    servePairs(tunnel, connect);
  });
}

function servePairs(socket: Duplex, connect: ConnectPort): void {
  const pairs = new Map<string, { data?: SpdyStream; error?: SpdyStream }>();
  serveSpdy(
    socket,
    (stream) => {
      const { streamtype, port, requestid } = stream.headers;
      const key = requestid ?? port ?? '';
      const pair = pairs.get(key) ?? {};
      if (streamtype === 'data') pair.data = stream;
      else pair.error = stream;
      pairs.set(key, pair);
      if (!pair.data || !pair.error) return;
      pairs.delete(key);
      void forward(Number(port), pair.data, pair.error, connect);
    },
    () => pairs.clear(),
  );
}

async function forward(port: number, data: SpdyStream, error: SpdyStream, connect: ConnectPort): Promise<void> {
  try {
    const target = await connect(port);
    const close = () => {
      if (!data.writableEnded) data.end();
      if (!error.writableEnded) error.end();
    };
    target.on('error', close);
    target.on('close', close);
    target.on('end', close);
    data.on('close', () => target.destroy());
    data.on('error', () => target.destroy());
    data.pipe(target);
    target.pipe(data, { end: false });
  } catch (cause) {
    error.end(`error forwarding port ${port} to pod: ${errorText(cause)}`);
    data.end();
  }
}
