/**
 * HTTP as a test sees it: each request goes to a peer picked at random, exactly once. Nothing is retried and nothing is
 * interpreted but JSON, so that codes, headers and bodies can be asserted as they were on the wire.
 */
import { Agent as HttpAgent, request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';

/** Bodies are looked into freely in tests. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type Json = any;

/** An API server and how to be its administrator. */
export interface PeerAddress {
  readonly url: string;
  readonly ca?: Buffer;
  readonly cert?: Buffer;
  readonly key?: Buffer;
  readonly token?: string;
}

export interface Call {
  readonly body?: unknown;
  /** Content type of the body. */
  readonly type?: string;
  readonly accept?: string;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** Parsed when it is JSON, otherwise undefined. */
  readonly body: Json;
  /** Which peer answered. */
  readonly peer: string;
}

/** A refusal: the answer was not 2xx. */
export class Refusal extends Error {
  constructor(
    what: string,
    readonly answer: Answer,
  ) {
    super(`${what} at ${answer.peer}: ${answer.status} ${answer.body?.message ?? answer.text.slice(0, 300)}`);
  }

  get status(): number {
    return this.answer.status;
  }

  get reason(): string | undefined {
    return this.answer.body?.reason;
  }
}

const TIMEOUT_MS = 30_000;

interface Connection {
  readonly address: PeerAddress;
  readonly agent: HttpAgent;
}

const connect = (address: PeerAddress): Connection => {
  const { url, ca, cert, key } = address;
  const tls = { keepAlive: true, ...(ca ? { ca } : {}), ...(cert ? { cert } : {}), ...(key ? { key } : {}) };
  return { address, agent: url.startsWith('https:') ? new HttpsAgent(tls) : new HttpAgent({ keepAlive: true }) };
};

/** The API of a cluster as one user. */
export class Api {
  private constructor(
    private readonly connections: readonly Connection[],
    private readonly headers: Readonly<Record<string, string | string[]>>,
  ) {}

  /** As the administrator that the addresses' credentials stand for. */
  static open(peers: readonly PeerAddress[]): Api {
    return new Api(peers.map(connect), {});
  }

  /** The administrator acting as somebody else. */
  as(user: string, groups: readonly string[] = []): Api {
    // A list becomes one header line for each group.
    return new Api(this.connections, { 'Impersonate-User': user, 'Impersonate-Group': [...groups] });
  }

  /** Somebody who has nothing but a bearer token. */
  withToken(token: string): Api {
    const bare = this.connections.map(({ address: { url, ca } }) => connect({ url, ...(ca ? { ca } : {}) }));
    return new Api(bare, { Authorization: `Bearer ${token}` });
  }

  get hosts(): readonly string[] {
    return this.connections.map(({ address }) => new URL(address.url).hostname);
  }

  /** One for each peer: what all of them must have before a row can go on. */
  get eachPeer(): readonly Api[] {
    return this.connections.map((connection) => new Api([connection], this.headers));
  }

  close(): void {
    for (const { agent } of this.connections) agent.destroy();
  }

  /** One request, answered whatever the status; rejects only when there is no answer. */
  async send(method: string, path: string, call: Call = {}): Promise<Answer> {
    const { response, peer } = await this.open(method, path, call);
    response.setEncoding('utf8');
    let text = '';
    for await (const chunk of response) text += String(chunk);
    return { status: response.statusCode ?? 0, headers: response.headers, text, body: parsed(text), peer };
  }

  /** As {@link send}, but anything but 2xx is a {@link Refusal}. Resolves with the body. */
  async call(method: string, path: string, call: Call = {}): Promise<Json> {
    const answer = await this.send(method, path, call);
    if (answer.status < 200 || answer.status > 299) throw new Refusal(`${method} ${path}`, answer);
    return answer.body;
  }

  get(path: string, call: Call = {}): Promise<Json> {
    return this.call('GET', path, call);
  }

  /** The answer's head, its body still to come. */
  open(method: string, path: string, call: Call = {}): Promise<{ response: IncomingMessage; peer: string }> {
    const connection = this.connections[Math.floor(Math.random() * this.connections.length)];
    if (!connection) throw new Error('there is no peer');
    const { address, agent } = connection;
    const url = new URL(path, address.url);
    for (const [name, value] of Object.entries(call.query ?? {})) {
      if (value !== undefined) url.searchParams.set(name, String(value));
    }
    const data = call.body === undefined ? undefined : bytes(call.body);
    const headers = {
      Accept: call.accept ?? 'application/json',
      ...(address.token === undefined ? {} : { Authorization: `Bearer ${address.token}` }),
      ...(data ? { 'Content-Type': call.type ?? 'application/json', 'Content-Length': data.length } : {}),
      ...this.headers,
      ...call.headers,
    };
    return new Promise((resolve, reject) => {
      const request = url.protocol === 'https:' ? httpsRequest : httpRequest;
      const fail = (error: Error) => reject(new Error(`${method} ${url.href}: ${error.message}`, { cause: error }));
      const sent = request(url, { method, headers, agent }, (response) => {
        clearTimeout(timer);
        resolve({ response, peer: url.host });
      });
      const timer = setTimeout(() => sent.destroy(new Error('no answer in time')), call.timeoutMs ?? TIMEOUT_MS);
      sent.on('error', fail);
      sent.end(data);
    });
  }
}

const bytes = (body: unknown): Buffer =>
  Buffer.isBuffer(body) ? body : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));

function parsed(text: string): Json {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
