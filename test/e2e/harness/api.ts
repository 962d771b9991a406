/** The Kubernetes API of one peer over HTTPS with the administrator's certificate, and connections that are kept. */
import { readFile } from 'node:fs/promises';
import { Agent as HttpsAgent, request } from 'node:https';
import { parse, parseAllDocuments } from 'yaml';

export interface Answer {
  readonly status: number;
  /** Parsed when it is JSON. */
  readonly body: Json;
  readonly text: string;
  /** The `Warning:` header as it came; empty without one. */
  readonly warning: string;
}

/** Bodies are looked into freely in tests. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type Json = any;

interface Kubeconfig {
  readonly clusters: readonly [{ readonly cluster: Readonly<Record<string, string>> }];
  readonly users: readonly [{ readonly user: Readonly<Record<string, string>> }];
}

/** An answer that is not the one that was hoped for. */
export class StatusError extends Error {
  constructor(
    readonly status: number,
    what: string,
  ) {
    super(`${what}: ${status}`);
  }
}

export class Api {
  private constructor(
    readonly peer: string,
    readonly port: number,
    private readonly agent: HttpsAgent,
  ) {}

  static async open(kubeconfig: string, peer: string, port = 6443): Promise<Api> {
    const { clusters, users } = parse(await readFile(kubeconfig, 'utf8')) as Kubeconfig;
    const decode = (text: string | undefined) => Buffer.from(text ?? '', 'base64');
    const { user } = users[0];
    const agent = new HttpsAgent({
      keepAlive: true,
      ca: decode(clusters[0].cluster['certificate-authority-data']),
      cert: decode(user['client-certificate-data']),
      key: decode(user['client-key-data']),
    });
    return new Api(peer, port, agent);
  }

  close(): void {
    this.agent.destroy();
  }

  /** One request; rejects when the connection fails or there is no answer in time. */
  send(
    method: string,
    path: string,
    body?: unknown,
    { type = 'application/json', timeoutMs = 20_000 }: { type?: string; timeoutMs?: number } = {},
  ): Promise<Answer> {
    const data = body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body);
    const headers = data === undefined ? {} : { 'Content-Type': type, 'Content-Length': Buffer.byteLength(data) };
    return new Promise((resolve, reject) => {
      const { agent, peer, port } = this;
      const signal = AbortSignal.timeout(timeoutMs);
      const sent = request({ host: peer, port, method, path, headers, agent, signal }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        response.on('error', reject);
        response.on('end', () => {
          const warning = String(response.headers.warning ?? '');
          resolve({ status: response.statusCode ?? 0, body: parsed(text), text, warning });
        });
      });
      sent.on('error', reject);
      sent.end(data);
    });
  }

  /**
   * Hands over an answer line by line as it comes. Resolves when it ends, also by the signal; rejects when the connection breaks,
   * the status is not 200 ({@link StatusError}), nothing came for `silenceMs`, or `onLine` throws.
   */
  stream(
    path: string,
    { signal, silenceMs }: { readonly signal: AbortSignal; readonly silenceMs: number },
    onLine: (line: string) => void,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      const { agent, peer, port } = this;
      let rest = '';
      const sent = request({ host: peer, port, path, agent, signal, timeout: silenceMs }, (response) => {
        if (response.statusCode !== 200) sent.destroy(new StatusError(response.statusCode ?? 0, `GET ${path}`));
        response.setEncoding('utf8').on('data', (chunk: string) => {
          const lines = (rest + chunk).split('\n');
          rest = lines.pop() ?? '';
          try {
            for (const line of lines) if (line !== '') onLine(line);
          } catch (error) {
            sent.destroy(error as Error);
            reject(error as Error);
          }
        });
        response.on('error', reject);
        response.on('end', resolve);
      });
      sent.on('timeout', () => sent.destroy(new Error(`nothing came for ${silenceMs} ms`)));
      sent.on('error', (error) => (signal.aborted ? resolve() : reject(error)));
      sent.on('close', resolve);
      sent.end();
    });
  }

  /** The lines of an answer that does not end, each as it comes. Rejects when it ends, or `onLine` throws. */
  lines(path: string, signal: AbortSignal, onLine: (line: string) => void): Promise<never> {
    return new Promise((_resolve, reject) => {
      const { agent, peer, port } = this;
      const sent = request({ host: peer, port, path, agent, signal }, (response) => {
        let rest = '';
        response.setEncoding('utf8').on('data', (chunk: string) => {
          const parts = (rest + chunk).split('\n');
          rest = parts.pop() ?? '';
          try {
            for (const line of parts) if (line !== '') onLine(line);
          } catch (error) {
            sent.destroy(error as Error);
          }
        });
        response.on('error', reject);
        response.on('end', () => reject(new Error(`the answer ended with status ${response.statusCode}`)));
      });
      sent.on('error', reject);
      sent.end();
    });
  }

  /** As {@link send}; rejects with the server's message unless the status is 2xx. Resolves with the body. */
  async call(method: string, path: string, body?: unknown, options: { type?: string } = {}): Promise<Json> {
    const answer = await this.send(method, path, body, options);
    if (answer.status < 200 || answer.status > 299) {
      throw new Error(`${method} ${path} at ${this.peer}: ${answer.status} ${answer.body?.message ?? answer.text}`);
    }
    return answer.body;
  }

  get(path: string): Promise<Json> {
    return this.call('GET', path);
  }

  /** Objects of a list. */
  async list(path: string): Promise<Json[]> {
    return (await this.get(path)).items;
  }

  /** Creates the objects of a manifest in the default namespace. Kinds of the core and apps groups only. */
  async applyYaml(text: string): Promise<void> {
    for (const document of parseAllDocuments(text)) {
      const object = document.toJS() as Json;
      const group = object.apiVersion === 'v1' ? '/api/v1' : `/apis/${object.apiVersion}`;
      await this.call('POST', `${group}/namespaces/default/${object.kind.toLowerCase()}s`, object);
    }
  }

  patch(path: string, change: unknown): Promise<Json> {
    return this.call('PATCH', path, change, { type: 'application/merge-patch+json' });
  }
}

function parsed(text: string): Json {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
