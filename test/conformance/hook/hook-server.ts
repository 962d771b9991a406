/**
 * Webhooks answered by the test's own process, reached by URL: the rows are about what the API server asks and does with the
 * answers. (Kubernetes' own test runs them in a pod behind a Service; row `webhook-fail-closed` and the tests of
 * test/integration/apiserver/webhooks.test.ts go that way.)
 */
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { networkInterfaces } from 'node:os';
import { systemClock } from '../../../src/base/clock.js';
import { systemRandom } from '../../../src/base/random.js';
import { ClusterCa } from '../../../src/security/ca/authority.js';
import { NotRun, type Context } from '../framework/context.js';
import { eventually } from '../framework/expect.js';
import type { Json } from '../framework/http.js';

/** Gives the response's fields for what it is asked. */
export type Answer = (request: Json) => Promise<Json> | Record<string, unknown>;

export const ALLOWED: Json = { allowed: true };
export const denied = (message: string): Json => ({ allowed: false, status: { message } });
export const patched = (...operations: Json[]): Json => ({
  allowed: true,
  patchType: 'JSONPatch',
  patch: Buffer.from(JSON.stringify(operations)).toString('base64'),
});

export interface Hook {
  readonly name?: string;
  readonly answer: Answer;
  readonly rules: readonly Json[];
  /** Further fields of the webhook. */
  readonly more?: Json;
}

export const rule = (operations: readonly string[], group: string, resources: string, versions = ['v1']): Json => ({
  operations,
  apiGroups: [group],
  apiVersions: versions,
  resources: [resources],
});

/** Another machine's cluster reaches this one at its own address, if at all. */
const ADDRESS =
  Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .find(({ family, internal }) => family === 'IPv4' && !internal)?.address ?? '127.0.0.1';

const MARKER = 'conformance.example.com/marker';
const REACHED_MS = 20_000;

export type ConfigurationKind = 'Mutating' | 'Validating';

export class HookServer {
  /** Reviews by path, in the order in which they came. */
  readonly seen: { readonly path: string; readonly request: Json }[] = [];
  private readonly answers = new Map<string, Answer>();

  private constructor(
    private readonly t: Context,
    readonly namespace: string,
    private readonly label: Json,
    private readonly server: Server,
    private readonly caBundle: string,
  ) {}

  /** A server, and a namespace whose objects its webhooks are asked about. */
  static async open(t: Context): Promise<HookServer> {
    const label = { 'conformance.example.com/hook': t.unique('run') };
    const namespace = await t.namespace('webhook', label);
    const ca = await ClusterCa.create({ clock: systemClock, random: systemRandom }, 'hooks');
    const serving = await ca.issueServing({ nodeName: 'hooks', addresses: [ADDRESS] });
    const server = createServer({ key: serving.keyPem, cert: serving.certPem });
    await new Promise<void>((resolve) => server.listen(0, ADDRESS, resolve));
    t.cleanup(() => {
      server.closeAllConnections();
      server.close();
      return Promise.resolve();
    });
    const hooks = new HookServer(t, namespace, label, server, Buffer.from(ca.certPem).toString('base64'));
    server.on('request', (request, response) => {
      const parts: Buffer[] = [];
      request.on('data', (part: Buffer) => parts.push(part));
      request.on('end', () => {
        void hooks.respond(request.url ?? '', JSON.parse(Buffer.concat(parts).toString()) as Json).then((body) => {
          response.setHeader('Content-Type', 'application/json');
          response.end(JSON.stringify(body));
        });
      });
    });
    return hooks;
  }

  private async respond(url: string, review: Json): Promise<Json> {
    const path = url.split('?')[0] ?? '';
    const { apiVersion, kind, request } = review;
    this.seen.push({ path, request });
    const answer = (await this.answers.get(path)?.(request)) ?? denied(`nothing is at ${path}`);
    return { apiVersion, kind, response: { uid: request.uid, ...answer } };
  }

  /** Where reviews are answered so. */
  clientConfig(answer: Answer): Json {
    const path = `/${this.answers.size}`;
    this.answers.set(path, answer);
    const { port } = this.server.address() as AddressInfo;
    return { url: `https://${ADDRESS}:${port}${path}`, caBundle: this.caBundle };
  }

  /** A configuration of either kind; objects in other namespaces are not asked about. */
  configuration(name: string, hooks: readonly Hook[], labels: Json = {}): Json {
    const webhook = ({ name: called = 'hook', answer, rules, more = {} }: Hook, i: number): Json => ({
      name: `${called}-${i}.conformance.example.com`,
      clientConfig: this.clientConfig(answer),
      rules,
      namespaceSelector: { matchLabels: this.label },
      sideEffects: 'None',
      admissionReviewVersions: ['v1'],
      ...more,
    });
    return { metadata: { name, labels }, webhooks: hooks.map(webhook) };
  }

  resource(kind: ConfigurationKind) {
    return this.t.resource('admissionregistration.k8s.io/v1', `${kind.toLowerCase()}webhookconfigurations`);
  }

  /** Creates the configuration and waits until every peer asks by it. */
  async register(kind: ConfigurationKind, hooks: readonly Hook[], labels: Json = {}): Promise<string> {
    const name = this.t.unique('hooks');
    const mark = this.t.unique('mark');
    const marker: Hook = {
      name: 'marker',
      answer: () => denied('marked'),
      rules: [rule(['CREATE'], '', 'configmaps')],
      more: { objectSelector: { matchLabels: { [MARKER]: mark } } },
    };
    await this.resource(kind).create(this.configuration(name, [...hooks, marker], labels));
    this.t.cleanup(() => this.resource(kind).delete(name));
    await this.everyPeer(
      async (send) => (await send({ metadata: { name: mark, labels: { [MARKER]: mark } } })) !== 201,
    );
    return name;
  }

  /** Waits until all peers answer the creation of a ConfigMap, which is not kept, as is expected. */
  async everyPeer(expected: (send: (body: Json) => Promise<number>) => Promise<boolean>): Promise<void> {
    const path = this.t.core('configmaps', this.namespace).path();
    const send = (peer: Context['api']) => async (body: Json) =>
      (await peer.send('POST', path, { body, query: { dryRun: 'All' } })).status;
    try {
      for (const peer of this.t.api.eachPeer) {
        await eventually('the configuration to take effect', () => expected(send(peer)), REACHED_MS);
      }
    } catch (error) {
      if (this.seen.length > 0) throw error;
      throw new NotRun(`the cluster does not reach this machine at ${ADDRESS}`);
    }
  }
}
