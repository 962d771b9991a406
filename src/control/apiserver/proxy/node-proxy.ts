/**
 * Logs, exec, attach, port-forward and proxying: found out here which kubelet, pod or service is meant, then forwarded.
 */
import { request as httpRequest, type ClientRequest, type IncomingMessage, type OutgoingHttpHeaders } from 'node:http';
import type { Duplex } from 'node:stream';
import { ApiError, badRequest, methodNotAllowed, notFound } from '../../../api/errors.js';
import { abortReason } from '../../../base/clock.js';
import { errorText } from '../../../base/log.js';
import type { KubeObject } from '../../../api/object.js';
import type { EndpointSlice } from '../../../api/types/discovery-v1.js';
import type { Node, Pod, Service, ServicePort } from '../../../api/types/core-v1.js';
import { NODES, PODS, SERVICES } from '../../../api/resource.js';
import type { ObjectStore } from '../../../store/object-store.js';
import type { ApiRequest, ApiResponse } from '../http/exchange.js';
import type { ResourcePath } from '../http/request-info.js';
import type { ObjectReads } from '../reads/object-reads.js';
import { forwardedHeaders, forwardExchange, tunnelExchange } from './forwarding.js';

export interface DialOptions {
  readonly host: string;
  readonly port: number;
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  readonly headers: OutgoingHttpHeaders;
}

/** Opens HTTPS requests to kubelets with this peer's client certificate. The caller sends and ends them. */
export interface NodeDialer {
  request(options: DialOptions): ClientRequest;
}

export interface NodeProxyDeps {
  readonly store: ObjectStore;
  readonly reads: ObjectReads;
  readonly dialer: NodeDialer;
}

interface Destination {
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly open: (options: DialOptions) => ClientRequest;
}

const KUBELET_PORT = 10250;
const openPlain = (options: DialOptions) => httpRequest({ ...options, agent: false });

export class NodeProxy {
  constructor(private readonly deps: NodeProxyDeps) {}

  /** Forwards a plain request and its answer, streaming both. */
  async forward(request: ApiRequest, response: ApiResponse, path: ResourcePath, url: URL): Promise<void> {
    const { open, ...target } = await this.resolve(path, url);
    const headers = forwardedHeaders(request, false);
    const isLog = path.resource === 'pods' && path.subresource === 'log';
    await forwardExchange(request, response, {
      open: () => open({ ...target, method: request.method ?? 'GET', headers }),
      failure: (error) => dialFailure(target.host, target.port, error),
      refusal: (answer) => (isLog && (answer.statusCode ?? 502) > 206 ? refusalOf(answer) : undefined),
    });
  }

  /** Tunnels an upgrade: once the other side has switched protocols, bytes pass both ways untouched. */
  async tunnel(request: ApiRequest, socket: Duplex, head: Buffer, path: ResourcePath, url: URL): Promise<void> {
    const { open, ...target } = await this.resolve(path, url);
    const headers = forwardedHeaders(request, true);
    await tunnelExchange(socket, head, {
      open: () => open({ ...target, method: request.method ?? 'GET', headers }),
      failure: (error) => dialFailure(target.host, target.port, error),
    });
  }

  /** What a kubelet answers to a GET. Rejects for anything but a 200 with JSON within the limits. */
  json(
    nodeName: string,
    path: string,
    limits: { readonly bytes: number; readonly signal: AbortSignal },
  ): Promise<unknown> {
    const { open, ...target } = this.kubelet(nodeName, path);
    return new Promise((resolve, reject) => {
      const outgoing = open({ ...target, method: 'GET', headers: { accept: 'application/json' } });
      const onAbort = () => outgoing.destroy(abortReason(limits.signal));
      limits.signal.addEventListener('abort', onAbort, { once: true });
      outgoing.once('close', () => limits.signal.removeEventListener('abort', onAbort));
      outgoing.once('error', (error) => reject(dialFailure(target.host, target.port, error)));
      outgoing.once('response', (answer) => {
        if (answer.statusCode !== 200) {
          void refusalOf(answer).then(reject);
          return;
        }
        readJson(answer, limits.bytes).then(resolve, reject);
      });
      outgoing.end();
    });
  }

  private async resolve(path: ResourcePath, url: URL): Promise<Destination> {
    await this.deps.reads.fresh(undefined);
    const { resource, subresource } = path;
    switch (`${resource}/${subresource}`) {
      case 'pods/log':
        return this.logs(path, url);
      case 'pods/exec':
      case 'pods/attach':
        return this.stream(path, url, subresource);
      case 'pods/portforward': {
        const pod = this.pod(path);
        return this.kubelet(nodeOf(pod), `/portForward/${path.namespace}/${path.name}${url.search}`);
      }
      case 'nodes/proxy': {
        const [name = ''] = path.name.replace(/^https?:/, '').split(':');
        return this.kubelet(name, `${path.rest || '/'}${url.search}`);
      }
      case 'pods/proxy':
        return this.podProxy(path, url);
      case 'services/proxy':
        return this.serviceProxy(path, url);
      default:
        throw methodNotAllowed();
    }
  }

  private pod({ namespace, name }: ResourcePath): Pod {
    return this.deps.reads.present(PODS, namespace, name) as Pod;
  }

  private logs(path: ResourcePath, url: URL): Destination {
    const pod = this.pod(path);
    const query = new URLSearchParams(url.search);
    const container = chooseContainer(pod, query.get('container') ?? '');
    query.delete('container');
    if (!pod.spec?.nodeName) throw badRequest(`pod ${path.name} does not have a host assigned`);
    const text = query.size > 0 ? `?${query.toString()}` : '';
    return this.kubelet(pod.spec.nodeName, `/containerLogs/${path.namespace}/${path.name}/${container}${text}`);
  }

  private stream(path: ResourcePath, url: URL, kind: string): Destination {
    const pod = this.pod(path);
    const query = new URLSearchParams(url.search);
    const container = chooseContainer(pod, query.get('container') ?? '');
    query.delete('container');
    // kubelets call the streams input, output and error.
    for (const [ours, theirs] of [
      ['stdin', 'input'],
      ['stdout', 'output'],
      ['stderr', 'error'],
    ] as const) {
      const value = query.get(ours);
      query.delete(ours);
      if (value !== null && value !== 'false' && value !== '0') query.set(theirs, '1');
    }
    if (query.has('tty')) query.set('tty', query.get('tty') === 'false' || query.get('tty') === '0' ? '0' : '1');
    if (query.get('tty') === '0') query.delete('tty');
    return this.kubelet(nodeOf(pod), `/${kind}/${path.namespace}/${path.name}/${container}?${query.toString()}`);
  }

  private kubelet(nodeName: string, path: string): Destination {
    const node = this.deps.store.get({ group: '', resource: 'nodes', namespace: '', name: nodeName }) as
      Node | undefined;
    if (!node) throw notFound(NODES, nodeName);
    const address = node.status?.addresses?.find(({ type }) => type === 'InternalIP')?.address;
    if (!address) throw new ApiError(500, 'InternalError', `no preferred addresses found; known addresses: []`);
    const port = node.status?.daemonEndpoints?.kubeletEndpoint?.Port ?? KUBELET_PORT;
    return { host: address, port, path, open: (options) => this.deps.dialer.request(options) };
  }

  private podProxy(path: ResourcePath, url: URL): Destination {
    const [, name = '', portText = ''] = /^(?:https?:)?([^:]*)(?::(.*))?$/.exec(path.name) ?? [];
    const pod = this.deps.reads.present(PODS, path.namespace, name) as Pod;
    const host = pod.status?.podIP;
    if (!host) throw badRequest('address not allowed');
    const declared = pod.spec?.containers.flatMap(({ ports }) => ports ?? []) ?? [];
    const port =
      portText === ''
        ? declared[0]?.containerPort
        : (declared.find((entry) => entry.name === portText)?.containerPort ?? Number(portText));
    if (!port) throw badRequest(`no port ${JSON.stringify(portText)} found in pod`);
    return { host, port, path: `${path.rest || '/'}${url.search}`, open: openPlain };
  }

  private serviceProxy(path: ResourcePath, url: URL): Destination {
    const [, name = '', portText = ''] = /^(?:https?:)?([^:]*)(?::(.*))?$/.exec(path.name) ?? [];
    const service = this.deps.reads.present(SERVICES, path.namespace, name) as Service;
    const port = servicePort(service, portText);
    const unavailable = (why: string) => new ApiError(503, 'ServiceUnavailable', why);
    if (!port)
      throw unavailable(`no service port ${JSON.stringify(portText)} found for service ${JSON.stringify(name)}`);
    const slices = this.deps.store.list('discovery.k8s.io', 'endpointslices', path.namespace) as readonly KubeObject[];
    for (const slice of slices as unknown as readonly EndpointSlice[]) {
      if (slice.metadata?.labels?.['kubernetes.io/service-name'] !== name) continue;
      const target = slice.ports?.find((entry) => (entry.name ?? '') === (port.name ?? ''))?.port;
      const host = slice.endpoints?.find(({ conditions }) => conditions?.ready !== false)?.addresses[0];
      if (target && host) return { host, port: target, path: `${path.rest || '/'}${url.search}`, open: openPlain };
    }
    throw unavailable(`no endpoints available for service ${JSON.stringify(name)}`);
  }
}

function servicePort({ spec }: Service, text: string): ServicePort | undefined {
  const ports = spec?.ports ?? [];
  if (text === '') return ports.length === 1 ? ports[0] : ports.find(({ name }) => (name ?? '') === '');
  return ports.find(({ name, port }) => name === text || String(port) === text);
}

function nodeOf(pod: Pod): string {
  if (pod.spec?.nodeName) return pod.spec.nodeName;
  throw badRequest(`pod ${pod.metadata?.name ?? ''} does not have a host assigned`);
}

/** The container that is meant, with upstream's texts when that is unclear. */
export function chooseContainer(pod: Pod, asked: string): string {
  const name = pod.metadata?.name ?? '';
  const names = (list: readonly { name: string }[] | undefined) => (list ?? []).map((container) => container.name);
  const containers = names(pod.spec?.containers);
  const inits = names(pod.spec?.initContainers);
  const all = [...containers, ...inits, ...names(pod.spec?.ephemeralContainers)];
  if (asked !== '') {
    if (all.includes(asked)) return asked;
    throw badRequest(`container ${asked} is not valid for pod ${name}`);
  }
  const chosen = pod.metadata?.annotations?.['kubectl.kubernetes.io/default-container'];
  if (containers.length === 1) return containers[0] ?? '';
  if (chosen !== undefined && containers.includes(chosen)) return chosen;
  const more = inits.length > 0 ? ` or one of the init containers: [${inits.join(' ')}]` : '';
  throw badRequest(
    `a container name must be specified for pod ${name}, choose one of: [${containers.join(' ')}]${more}`,
  );
}

/** Bytes of a kubelet's explanation that are passed on. */
const MAX_REFUSAL_BYTES = 50_000;

/** A kubelet explains in plain text why it has no log; clients expect a Status. */
async function refusalOf(answer: IncomingMessage): Promise<ApiError> {
  const parts: Buffer[] = [];
  let size = 0;
  try {
    for await (const part of answer) {
      parts.push(part as Buffer);
      size += (part as Buffer).length;
      if (size >= MAX_REFUSAL_BYTES) break;
    }
  } catch {
    // What was read has to do.
  }
  const text = Buffer.concat(parts).subarray(0, MAX_REFUSAL_BYTES).toString('utf8').trim();
  if (answer.statusCode === 400) return badRequest(text);
  if (answer.statusCode === 404) return new ApiError(404, 'NotFound', text);
  return new ApiError(answer.statusCode ?? 502, 'InternalError', text);
}

async function readJson(answer: IncomingMessage, limitBytes: number): Promise<unknown> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of answer) {
    size += (part as Buffer).length;
    if (size > limitBytes) throw new ApiError(500, 'InternalError', `the answer has more than ${limitBytes} bytes`);
    parts.push(part as Buffer);
  }
  return JSON.parse(Buffer.concat(parts).toString('utf8'));
}

const dialFailure = (host: string, port: number, error: Error) =>
  new ApiError(500, 'InternalError', `error dialing backend: dial tcp ${host}:${port}: ${errorText(error)}`);
