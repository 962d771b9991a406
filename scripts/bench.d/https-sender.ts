/**
 * Requests over one TLS connection, one at a time, at a fraction of what Node's HTTP client costs: the load shares the
 * processors with what it measures.
 */
import { once } from 'node:events';
import { connect, type TLSSocket } from 'node:tls';

export interface Endpoint {
  readonly host: string;
  readonly port: number;
  readonly tls: { readonly ca: Buffer; readonly cert: Buffer; readonly key: Buffer };
}

const HEAD_END = '\r\n\r\n';
const CHUNKS_END = '0\r\n\r\n';

export class HttpsSender {
  private socket: TLSSocket | undefined;
  private waiting: { resolve: (status: number) => void; reject: (error: Error) => void } | undefined;
  /** Of the present answer: its status, and how much of it is still to come (undefined: until the last chunk). */
  private status = 0;
  private missing: number | undefined = 0;
  private head: Buffer = Buffer.alloc(0);

  constructor(private readonly endpoint: Endpoint) {}

  /** Resolves with the answer's status once all of the answer is there. Rejects when the connection fails. */
  async post(path: string, body: string): Promise<number> {
    const socket = (this.socket ??= await this.open());
    return new Promise((resolve, reject) => {
      this.waiting = { resolve, reject };
      socket.write(
        `POST ${path} HTTP/1.1\r\nHost: kubernetes\r\nContent-Type: application/json\r\n` +
          `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
      );
    });
  }

  close(): void {
    this.socket?.destroy();
  }

  private async open(): Promise<TLSSocket> {
    const { host, port, tls } = this.endpoint;
    const socket = connect({ host, port, ...tls, servername: 'kubernetes' });
    await once(socket, 'secureConnect');
    socket.setNoDelay(true);
    socket.on('data', (bytes: Buffer) => this.receive(bytes));
    socket.on('error', (error) => this.fail(error));
    socket.on('close', () => this.fail(new Error('the connection was closed')));
    return socket;
  }

  private fail(error: Error): void {
    this.socket = undefined;
    this.status = 0;
    this.head = Buffer.alloc(0);
    this.waiting?.reject(error);
    this.waiting = undefined;
  }

  private receive(bytes: Buffer): void {
    let body = bytes;
    if (this.status === 0) {
      this.head = this.head.length === 0 ? bytes : Buffer.concat([this.head, bytes]);
      const end = this.head.indexOf(HEAD_END);
      if (end < 0) return;
      const head = this.head.toString('latin1', 0, end);
      body = this.head.subarray(end + HEAD_END.length);
      this.head = Buffer.alloc(0);
      this.status = Number(head.slice(9, 12));
      const length = /^content-length: (\d+)/im.exec(head)?.[1];
      this.missing = length === undefined ? undefined : Number(length);
    }
    if (this.missing !== undefined) this.missing -= body.length;
    const ended =
      this.missing === undefined ? body.subarray(-CHUNKS_END.length).toString() === CHUNKS_END : this.missing <= 0;
    if (!ended) return;
    const { status, waiting } = this;
    this.status = 0;
    this.waiting = undefined;
    waiting?.resolve(status);
  }
}
