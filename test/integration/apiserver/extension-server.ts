/**
 * An aggregated API server as Kubernetes' sample-apiserver is one: `flunders` of `wardle.example.com/v1alpha1`, kept in memory. It
 * believes whoever shows the front proxy's certificate, and nobody else, about who asks.
 */
import { createServer, type Server } from 'node:https';
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { networkInterfaces } from 'node:os';
import type { TLSSocket } from 'node:tls';
import { systemClock } from '../../../src/base/clock.js';
import { systemRandom, uuid } from '../../../src/base/random.js';
import { ClusterCa } from '../../../src/security/ca/authority.js';

export const GROUP = 'wardle.example.com';
export const VERSION = 'v1alpha1';
export const API_VERSION = `${GROUP}/${VERSION}`;

/** Slices may not name loopback addresses. */
export const OWN_ADDRESS =
  Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .find(({ family, internal }) => family === 'IPv4' && !internal)?.address ?? '127.0.0.1';

export interface Flunder {
  readonly metadata: { name: string; namespace: string; uid?: string; resourceVersion?: string; generateName?: string };
  readonly [field: string]: unknown;
}

export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
}

const OPENAPI = {
  openapi: '3.0.0',
  info: { title: 'flunders', version: 'v0' },
  paths: {
    [`/apis/${API_VERSION}/namespaces/{namespace}/flunders/{name}`]: {
      get: {
        'x-kubernetes-action': 'get',
        'x-kubernetes-group-version-kind': { group: GROUP, version: VERSION, kind: 'Flunder' },
        responses: {
          200: {
            content: {
              'application/json': { schema: { $ref: '#/components/schemas/com.example.wardle.v1alpha1.Flunder' } },
            },
          },
        },
      },
    },
  },
  components: {
    schemas: {
      'com.example.wardle.v1alpha1.Flunder': {
        type: 'object',
        description: 'Flunder is a thing that flunds.',
        properties: { apiVersion: { type: 'string' }, kind: { type: 'string' }, metadata: { type: 'object' } },
        'x-kubernetes-group-version-kind': [{ group: GROUP, version: VERSION, kind: 'Flunder' }],
      },
    },
  },
};

const RESOURCES = {
  kind: 'APIResourceList',
  apiVersion: 'v1',
  groupVersion: API_VERSION,
  resources: [
    {
      name: 'flunders',
      singularName: 'flunder',
      namespaced: true,
      kind: 'Flunder',
      verbs: ['create', 'delete', 'get', 'list', 'update', 'watch'],
      shortNames: ['fl'],
    },
    { name: 'flunders/status', singularName: '', namespaced: true, kind: 'Flunder', verbs: ['get', 'update'] },
  ],
};

export class ExtensionServer {
  readonly seen: SeenRequest[] = [];
  /** Connections that have been used before are broken off when the next request comes. */
  breaksKept = false;
  private readonly used = new WeakSet<object>();
  private readonly objects = new Map<string, Flunder>();
  private readonly watchers = new Set<{ namespace: string | undefined; response: ServerResponse }>();
  private revision = 1;

  private constructor(
    private readonly server: Server,
    /** Who vouches for it, as an APIService says it. */
    readonly caBundle: string,
  ) {}

  /** With a certificate for a Service. `frontProxyCa`: PEM of who vouches for front proxies. */
  static async open(service: { namespace: string; name: string }, frontProxyCa: string): Promise<ExtensionServer> {
    const ca = await ClusterCa.create({ clock: systemClock, random: systemRandom }, 'extension');
    const { certPem, keyPem } = await ca.issueServing({
      nodeName: 'extension',
      addresses: [],
      dnsNames: [`${service.name}.${service.namespace}.svc`],
    });
    const server = createServer({
      cert: certPem,
      key: keyPem,
      ca: frontProxyCa,
      requestCert: true,
      rejectUnauthorized: false,
    });
    const extension = new ExtensionServer(server, Buffer.from(ca.certPem).toString('base64'));
    server.on('request', (request, response) => {
      if (extension.breaksKept && extension.used.has(request.socket)) return void request.socket.destroy();
      extension.used.add(request.socket);
      return void extension.answer(request, response);
    });
    server.on('upgrade', (request, socket) => {
      socket.on('error', () => socket.destroy());
      if (!extension.admits(request)) return void socket.end('HTTP/1.1 401 Unauthorized\r\n\r\n');
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
      return void socket.pipe(socket);
    });
    await new Promise<void>((resolve) => server.listen(0, '0.0.0.0', resolve));
    return extension;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  get watching(): number {
    return this.watchers.size;
  }

  close(): void {
    this.server.closeAllConnections();
    this.server.close();
  }

  /** The objects by which a cluster comes to it. */
  registration(namespace: string, name: string) {
    return {
      service: {
        metadata: { namespace, name },
        spec: { ports: [{ name: 'https', port: 443, targetPort: this.port }] },
      },
      slice: {
        metadata: { namespace, name: `${name}-own`, labels: { 'kubernetes.io/service-name': name } },
        addressType: 'IPv4',
        ports: [{ name: 'https', port: this.port, protocol: 'TCP' }],
        endpoints: [{ addresses: [OWN_ADDRESS], conditions: { ready: true } }],
      },
      apiService: {
        metadata: { name: `${VERSION}.${GROUP}` },
        spec: {
          group: GROUP,
          version: VERSION,
          service: { namespace, name, port: 443 },
          groupPriorityMinimum: 2000,
          versionPriority: 200,
          caBundle: this.caBundle,
        },
      },
    };
  }

  private admits(request: IncomingMessage): boolean {
    const socket = request.socket as TLSSocket;
    this.seen.push({ method: request.method ?? '', path: request.url ?? '', headers: request.headers });
    return socket.authorized && String(socket.getPeerCertificate().subject.CN) === 'front-proxy-client';
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const send = (code: number, body: unknown) => {
      response.writeHead(code, { 'Content-Type': 'application/json' });
      response.end(JSON.stringify(body));
    };
    if (!this.admits(request)) return send(401, status(401, 'Unauthorized', 'Unauthorized'));
    const url = new URL(request.url ?? '/', 'https://localhost');
    const root = `/apis/${API_VERSION}`;
    if (url.pathname === root) return send(200, RESOURCES);
    if (url.pathname === '/openapi/v3') {
      return send(200, { paths: { [root.slice(1)]: { serverRelativeURL: `/openapi/v3${root}?hash=F` } } });
    }
    if (url.pathname === `/openapi/v3${root}`) return send(200, OPENAPI);
    const [, namespace, name] =
      new RegExp(`^${root}(?:/namespaces/([^/]+))?/flunders(?:/([^/]+))?$`).exec(url.pathname) ?? [];
    if (!url.pathname.includes('/flunders')) return send(404, status(404, 'NotFound', 'not found'));
    const key = `${namespace}/${name}`;
    switch (request.method ?? '') {
      case 'GET':
        if (name === undefined && url.searchParams.get('watch')) return this.watch(response, namespace);
        if (name === undefined) return send(200, this.list(namespace));
        return this.objects.has(key) ? send(200, this.objects.get(key)) : send(404, missing(name));
      case 'POST': {
        const sent = JSON.parse(await bodyOf(request)) as Flunder;
        const made = this.stored({
          ...sent,
          metadata: { ...sent.metadata, namespace: namespace ?? '', uid: uuid(systemRandom) },
        });
        this.tell('ADDED', made);
        return send(201, made);
      }
      case 'PUT': {
        if (!this.objects.has(key)) return send(404, missing(name ?? ''));
        const replaced = this.stored(JSON.parse(await bodyOf(request)) as Flunder);
        this.tell('MODIFIED', replaced);
        return send(200, replaced);
      }
      case 'DELETE': {
        const gone = this.objects.get(key);
        if (!gone) return send(404, missing(name ?? ''));
        this.objects.delete(key);
        this.tell('DELETED', gone);
        return send(200, { kind: 'Status', apiVersion: 'v1', status: 'Success' });
      }
      default:
        return send(405, status(405, 'MethodNotAllowed', 'not allowed'));
    }
  }

  private list(namespace: string | undefined) {
    const items = [...this.objects.values()].filter(
      ({ metadata }) => namespace === undefined || metadata.namespace === namespace,
    );
    return { kind: 'FlunderList', apiVersion: API_VERSION, metadata: { resourceVersion: `${this.revision}` }, items };
  }

  private stored(object: Flunder): Flunder {
    const { metadata } = object;
    const whole = {
      ...object,
      kind: 'Flunder',
      apiVersion: API_VERSION,
      metadata: { ...metadata, resourceVersion: `${++this.revision}` },
    };
    this.objects.set(`${metadata.namespace}/${metadata.name}`, whole);
    return whole;
  }

  private watch(response: ServerResponse, namespace: string | undefined): void {
    const watcher = { namespace, response };
    this.watchers.add(watcher);
    response.on('close', () => this.watchers.delete(watcher));
    response.writeHead(200, { 'Content-Type': 'application/json' });
    response.flushHeaders();
  }

  private tell(type: string, object: Flunder): void {
    for (const { namespace, response } of this.watchers) {
      if (namespace === undefined || namespace === object.metadata.namespace) {
        response.write(`${JSON.stringify({ type, object })}\n`);
      }
    }
  }
}

const status = (code: number, reason: string, message: string) => ({
  kind: 'Status',
  apiVersion: 'v1',
  status: 'Failure',
  code,
  reason,
  message,
});
const missing = (name: string) => status(404, 'NotFound', `flunders.${GROUP} "${name}" not found`);

async function bodyOf(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const part of request) text += String(part);
  return text;
}
