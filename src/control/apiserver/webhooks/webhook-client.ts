/**
 * Posts JSON to webhooks over TLS: to a URL, or to a pod behind a Service. Connections are kept and used again for the same
 * target and authority. Answers are limited in size; each call ends within its timeout.
 */
import { Agent, request as httpsRequest } from 'node:https';
import type { IncomingMessage } from 'node:http';
import type { Clock } from '../../../base/clock.js';
import type { Service } from '../../../base/lifecycle.js';
import type { WebhookClientConfig } from '../../../api/types/admissionregistration-v1.js';
import { connectionText } from '../proxy/connection-text.js';
import { resolveService, type ResolverDeps } from '../proxy/service-resolver.js';

export interface WebhookCall {
  readonly config: WebhookClientConfig;
  readonly body: unknown;
  /** From the connection's beginning to the answer's end. */
  readonly timeoutMs: number;
}

export interface WebhookClientOptions {
  /** Bytes of an answer at most. */
  readonly answerBytes: number;
  /** Targets whose connections are kept at most; the longest unused one's are closed. */
  readonly targets: number;
  /** Connections to one target at most. */
  readonly socketsPerTarget: number;
}

export const DEFAULT_WEBHOOK_CLIENT: WebhookClientOptions = Object.freeze({
  answerBytes: 16 * 1024 * 1024,
  targets: 128,
  socketsPerTarget: 64,
});

/** A call without a usable answer; `message` is what upstream shows after `failed to call webhook: `. */
export class WebhookCallError extends Error {
  readonly code = 'ERR_WEBHOOK_CALL';
}

interface Target {
  readonly host: string;
  readonly port: number;
  readonly path: string;
  /** The name in the certificate. */
  readonly serverName: string;
  /** The address as messages show it. */
  readonly shown: string;
}

export class WebhookClient implements Service {
  readonly name = 'webhook-client';
  private readonly agents = new Map<string, Agent>();

  constructor(
    private readonly deps: ResolverDeps & { readonly clock: Clock },
    private readonly options: WebhookClientOptions = DEFAULT_WEBHOOK_CLIENT,
  ) {}

  start(): Promise<void> {
    return Promise.resolve();
  }

  stop(): Promise<void> {
    for (const agent of this.agents.values()) agent.destroy();
    this.agents.clear();
    return Promise.resolve();
  }

  /** The answer's JSON. Rejects with {@link WebhookCallError}. */
  async post({ config, body, timeoutMs }: WebhookCall): Promise<unknown> {
    const timeout = `timeout=${Math.ceil(timeoutMs / 1000)}s`;
    let target: Target;
    try {
      target = this.target(config, timeout);
    } catch (error) {
      throw new WebhookCallError(error instanceof Error ? error.message : String(error), { cause: error });
    }
    const prefix = `Post "${target.shown}": `;
    const { status, text } = await this.exchange(target, config.caBundle, JSON.stringify(body), timeoutMs, prefix);
    if (status < 200 || status > 299) throw new WebhookCallError(statusText(status, text));
    try {
      return JSON.parse(text) as unknown;
    } catch (error) {
      const why = error instanceof Error ? error.message : '';
      throw new WebhookCallError(`couldn't get version/kind; json parse error: ${why}`, { cause: error });
    }
  }

  private target({ url, service }: WebhookClientConfig, timeout: string): Target {
    if (service) {
      const port = service.port ?? 443;
      const { namespace, name, path = '/' } = service;
      const serverName = `${name}.${namespace}.svc`;
      const query = `${path}?${timeout}`;
      const shown = `https://${serverName}:${port}${query}`;
      return { ...resolveService(this.deps, { namespace, name, port }), path: query, serverName, shown };
    }
    const parsed = new URL(url ?? '');
    const path = `${parsed.pathname}?${timeout}`;
    const host = parsed.hostname.replace(/^\[|\]$/g, '');
    const port = parsed.port === '' ? 443 : Number(parsed.port);
    return { host, port, path, serverName: host, shown: `${parsed.origin}${path}` };
  }

  /** One agent for each authority and name, so that a connection is never used for another trust. */
  private agentFor({ host, port, serverName }: Target, caBundle: string | undefined): Agent {
    const key = `${host}:${port}/${serverName}/${caBundle ?? ''}`;
    let agent = this.agents.get(key);
    if (agent === undefined) {
      const ca = caBundle ? { ca: Buffer.from(caBundle, 'base64').toString() } : {};
      agent = new Agent({ keepAlive: true, maxSockets: this.options.socketsPerTarget, ...ca });
    } else this.agents.delete(key);
    this.agents.set(key, agent);
    if (this.agents.size > this.options.targets) {
      const [oldest] = this.agents;
      oldest?.[1].destroy();
      this.agents.delete(oldest?.[0] ?? '');
    }
    return agent;
  }

  private exchange(
    target: Target,
    caBundle: string | undefined,
    body: string,
    timeoutMs: number,
    prefix: string,
  ): Promise<{ status: number; text: string }> {
    return new Promise((resolve, reject) => {
      let settled = false;
      const fail = (why: string, cause?: unknown) => {
        if (settled) return;
        settled = true;
        cancel();
        reject(new WebhookCallError(prefix + why, { cause }));
        request.destroy();
      };
      const request = httpsRequest({
        host: target.host,
        port: target.port,
        path: target.path,
        method: 'POST',
        servername: isAddress(target.serverName) ? '' : target.serverName,
        agent: this.agentFor(target, caBundle),
        headers: {
          'Content-Type': 'application/json',
          Accept: 'application/json, */*',
          'Content-Length': Buffer.byteLength(body),
          Host: new URL(target.shown).host,
          'User-Agent': 'skein-admission',
        },
      });
      const cancel = this.deps.clock.timer(timeoutMs, () => fail('context deadline exceeded'));
      request.on('error', (error) => fail(connectionText(error), error));
      request.on('response', (response: IncomingMessage) => {
        const parts: Buffer[] = [];
        let size = 0;
        response.on('data', (part: Buffer) => {
          size += part.length;
          if (size > this.options.answerBytes) fail('the answer is too large');
          else parts.push(part);
        });
        response.on('error', (error) => fail(connectionText(error), error));
        response.on('aborted', () => fail('unexpected EOF'));
        response.on('end', () => {
          if (settled) return;
          settled = true;
          cancel();
          resolve({ status: response.statusCode ?? 0, text: Buffer.concat(parts).toString() });
        });
      });
      request.end(body);
    });
  }
}

const isAddress = (host: string): boolean => /^[\d.]+$/.test(host) || host.includes(':');

/** As client-go words an answer that is not a success. */
function statusText(status: number, text: string): string {
  if (status === 404) return 'the server could not find the requested resource';
  if (status === 401) return 'the server has asked for the client to provide credentials';
  if (status === 403) return 'forbidden';
  if (status >= 500) {
    const shown = JSON.stringify(text.slice(0, 1024));
    return `an error on the server (${shown}) has prevented the request from succeeding`;
  }
  return `the server rejected our request for an unknown reason`;
}
