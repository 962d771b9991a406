/** What admission is asked about besides plain objects: subresources, connections, and objects in another version. */
import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { systemClock } from '../../../src/base/clock.js';
import { systemRandom } from '../../../src/base/random.js';
import { NODES, PODS, SERVICEACCOUNTS } from '../../../src/api/resource.js';
import type { KubeObject } from '../../../src/api/object.js';
import { ClusterCa } from '../../../src/security/ca/authority.js';
import { KUBECTLS, isPresent, startCluster, type TestCluster } from './cluster.js';

type Json = Record<string, unknown>;
interface Review {
  readonly uid: string;
  readonly kind: Json;
  readonly resource: Json;
  readonly requestKind: Json;
  readonly subResource?: string;
  readonly operation: string;
  readonly object: (KubeObject & Json) | null;
}

const KUBECTL = KUBECTLS.at(-1)?.path ?? '';

/** A webhook server that answers what `answer` says, and keeps what it was asked. */
async function startWebhook(answer: (request: Review) => Json) {
  const ca = await ClusterCa.create({ clock: systemClock, random: systemRandom }, 'hooks');
  const serving = await ca.issueServing({ nodeName: 'hook', addresses: ['127.0.0.1'] });
  const seen: Review[] = [];
  const server: Server = createServer({ key: serving.keyPem, cert: serving.certPem }, (request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      const {
        apiVersion,
        kind,
        request: review,
      } = JSON.parse(Buffer.concat(parts).toString()) as {
        apiVersion: string;
        kind: string;
        request: Review;
      };
      seen.push(review);
      const body = { kind, apiVersion, response: { uid: review.uid, ...answer(review) } };
      response.setHeader('Content-Type', 'application/json');
      response.end(JSON.stringify(body));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    seen,
    config: {
      url: `https://127.0.0.1:${(server.address() as AddressInfo).port}/`,
      caBundle: Buffer.from(ca.certPem).toString('base64'),
    },
    stop() {
      server.closeAllConnections();
      server.close();
    },
  };
}

describe('admission of subresources, connections and versions', function () {
  this.timeout(60_000);
  let cluster: TestCluster;
  let webhook: Awaited<ReturnType<typeof startWebhook>>;
  let answer: (request: Review) => Json;

  before(async function () {
    if (!isPresent(KUBECTL)) this.skip();
    webhook = await startWebhook((request) => answer(request));
  });
  after(() => webhook?.stop());

  beforeEach(async () => {
    answer = () => ({ allowed: true });
    webhook.seen.length = 0;
    cluster = await startCluster();
    await cluster.client.create(SERVICEACCOUNTS, { metadata: { name: 'default', namespace: 'default' } });
  });
  afterEach(async () => cluster.stop());

  const apply = async (...objects: Json[]) => {
    const list = { apiVersion: 'v1', kind: 'List', items: objects };
    const { code, stderr } = await cluster.kubectl(KUBECTL, ['apply', '-f', '-'], JSON.stringify(list));
    assert.equal(code, 0, stderr);
  };
  const kubectl = async (...args: string[]) => cluster.kubectl(KUBECTL, args);
  const rule = (operation: string, group: string, version: string, resource: string) => ({
    operations: [operation],
    apiGroups: [group],
    apiVersions: [version],
    resources: [resource],
  });
  const register = (kind: string, rules: Json[], more: Json = {}) =>
    apply({
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: `${kind}WebhookConfiguration`,
      metadata: { name: 'h' },
      webhooks: [
        {
          name: 'h.example.com',
          clientConfig: webhook.config,
          rules,
          sideEffects: 'None',
          admissionReviewVersions: ['v1'],
          ...more,
        },
      ],
    });
  const policy = (rules: Json[], expression: string, messageExpression: string, more: Json = {}) =>
    apply(
      {
        apiVersion: 'admissionregistration.k8s.io/v1',
        kind: 'ValidatingAdmissionPolicy',
        metadata: { name: 'p' },
        spec: { matchConstraints: { resourceRules: rules }, validations: [{ expression, messageExpression }], ...more },
      },
      {
        apiVersion: 'admissionregistration.k8s.io/v1',
        kind: 'ValidatingAdmissionPolicyBinding',
        metadata: { name: 'b' },
        spec: { policyName: 'p', validationActions: ['Deny'] },
      },
    );
  const createPod = async (name: string) => {
    await cluster.client.create(PODS, {
      metadata: { name, namespace: 'default' },
      spec: { containers: [{ name: 'c', image: 'busybox' }] },
    } as KubeObject);
  };
  const createNode = () => cluster.client.create(NODES, { metadata: { name: 'n' } });

  it('judges evictions, bindings, tokens and ephemeral containers by policies', async () => {
    await createPod('p');
    await createNode();
    await policy(
      [
        rule('CREATE', '', 'v1', 'pods/eviction'),
        rule('CREATE', '', 'v1', 'pods/binding'),
        rule('CREATE', '', 'v1', 'serviceaccounts/token'),
        rule('UPDATE', '', 'v1', 'pods/ephemeralcontainers'),
      ],
      'false',
      "request.kind.group + '/' + request.kind.kind + ' ' + object.kind + ' of ' + request.resource.resource + '/' + request.subResource",
    );
    const debug = await kubectl('debug', 'p', '--image=busybox', '--target=c', '--attach=false', '--stdin=false');
    assert.match(debug.stderr, /denied request: \/Pod Pod of pods\/ephemeralcontainers/);
    const token = await kubectl('create', 'token', 'default');
    assert.match(
      token.stderr,
      /ValidatingAdmissionPolicy 'p' with binding 'b' denied request: authentication.k8s.io\/TokenRequest TokenRequest of serviceaccounts\/token/,
    );
    const post = (subresource: string, body: Json) =>
      cluster.kubectl(
        KUBECTL,
        ['create', '--raw', `/api/v1/namespaces/default/pods/p/${subresource}`, '-f', '-'],
        JSON.stringify(body),
      );
    const metadata = { name: 'p', namespace: 'default' };
    const bound = { apiVersion: 'v1', kind: 'Binding', metadata, target: { kind: 'Node', name: 'n' } };
    assert.match((await post('binding', bound)).stderr, /denied request: \/Binding Binding of pods\/binding/);
    const evicted = { apiVersion: 'policy/v1', kind: 'Eviction', metadata };
    assert.match(
      (await post('eviction', evicted)).stderr,
      /denied request: policy\/Eviction Eviction of pods\/eviction/,
    );
    await kubectl('delete', 'validatingadmissionpolicybinding', 'b');
    assert.equal((await post('binding', bound)).code, 0);
    assert.equal((await kubectl('create', 'token', 'default')).code, 0);
  });

  it('judges connections by policies before a kubelet is looked for', async () => {
    await createPod('p');
    await policy(
      ['pods/exec', 'pods/attach', 'pods/portforward', 'pods/proxy', 'services/proxy', 'nodes/proxy'].map((name) =>
        rule('CONNECT', '', 'v1', name),
      ),
      "request.subResource == 'proxy' && object.path == '/fine'",
      "request.kind.kind + (has(object.command) ? ' ' + object.command.join(' ') : '') + ' is refused'",
    );
    const exec = await kubectl('exec', 'p', '--', 'rm', '-rf');
    assert.match(exec.stderr, /The pods "p" is invalid: .* denied request: PodExecOptions rm -rf is refused/);
    for (const [path, kind] of [
      ['/api/v1/namespaces/default/pods/p/attach', 'PodAttachOptions'],
      ['/api/v1/namespaces/default/pods/p/portforward', 'PodPortForwardOptions'],
      ['/api/v1/namespaces/default/pods/p/proxy/x', 'PodProxyOptions'],
      ['/api/v1/namespaces/default/services/s/proxy/x', 'ServiceProxyOptions'],
      ['/api/v1/nodes/n/proxy/x', 'NodeProxyOptions'],
    ] as const) {
      assert.match((await kubectl('get', '--raw', path)).stderr, new RegExp(`denied request: ${kind} is refused`));
    }
    // Admitted, and then not to be had: this server reaches no nodes.
    const fine = await fetch(`${cluster.url}/api/v1/namespaces/default/pods/p/proxy/fine`);
    assert.equal(fine.status, 503);
  });

  it('asks webhooks about tokens, and takes what they make of them', async () => {
    answer = () => ({
      allowed: true,
      patchType: 'JSONPatch',
      patch: Buffer.from(JSON.stringify([{ op: 'replace', path: '/spec/expirationSeconds', value: 1200 }])).toString(
        'base64',
      ),
      warnings: ['shortened'],
    });
    await register('Mutating', [rule('CREATE', '', 'v1', 'serviceaccounts/token')]);
    const { stdout, stderr } = await kubectl('create', 'token', 'default', '--duration=1h', '-o', 'json');
    assert.match(stderr, /Warning: shortened/);
    assert.equal((JSON.parse(stdout) as { spec: Json }).spec['expirationSeconds'], 1200);
    assert.equal(webhook.seen[0]?.requestKind['kind'], 'TokenRequest');
  });

  const scaler = {
    apiVersion: 'autoscaling/v2',
    kind: 'HorizontalPodAutoscaler',
    metadata: { name: 'h', namespace: 'default' },
    spec: {
      scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'd' },
      maxReplicas: 3,
      metrics: [
        { type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 60 } } },
      ],
    },
  };
  const target = () =>
    cluster.kubectl(KUBECTL, ['get', 'hpa', 'h', '-o', 'jsonpath={.spec.metrics[0].resource.target}']);

  it('shows webhooks the version that their rule names, and takes back patches of it', async () => {
    answer = ({ object }) => {
      const { targetCPUUtilizationPercentage: percentage } = (object as { spec: Json }).spec;
      const value = Number(percentage) + 1;
      const operations = [{ op: 'replace', path: '/spec/targetCPUUtilizationPercentage', value }];
      return {
        allowed: true,
        patchType: 'JSONPatch',
        patch: Buffer.from(JSON.stringify(operations)).toString('base64'),
      };
    };
    await register('Mutating', [rule('CREATE', 'autoscaling', 'v1', 'horizontalpodautoscalers')]);
    await apply(scaler);
    const [asked] = webhook.seen;
    assert.deepEqual(
      [
        asked?.object?.['apiVersion'],
        asked?.kind['version'],
        asked?.requestKind['version'],
        asked?.resource['version'],
      ],
      ['autoscaling/v1', 'v1', 'v2', 'v1'],
    );
    assert.equal((await target()).stdout, '{"averageUtilization":61,"type":"Utilization"}');
  });

  it('leaves other versions alone where only the exact one counts', async () => {
    answer = () => ({ allowed: false });
    const rules = [rule('CREATE', 'autoscaling', 'v1', 'horizontalpodautoscalers')];
    await register('Validating', rules, { matchPolicy: 'Exact' });
    await apply(scaler);
    assert.equal(webhook.seen.length, 0);
  });

  it('judges by policies in the version, and the group, that their rule names', async () => {
    await policy(
      [
        rule('CREATE', 'autoscaling', 'v1', 'horizontalpodautoscalers'),
        rule('CREATE', 'events.k8s.io', 'v1', 'events'),
      ],
      "request.kind.group == 'autoscaling' ? object.spec.targetCPUUtilizationPercentage < 50 : object.note != 'bad'",
      "object.apiVersion + ' for ' + request.requestKind.group + '/' + request.requestKind.version",
    );
    const denied = await cluster.kubectl(KUBECTL, ['create', '-f', '-'], JSON.stringify(scaler));
    assert.match(denied.stderr, /denied request: autoscaling\/v1 for autoscaling\/v2/);
    const event = (message: string) => ({
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name: message, namespace: 'default' },
      involvedObject: { namespace: 'default' },
      message,
    });
    const bad = await cluster.kubectl(KUBECTL, ['create', '-f', '-'], JSON.stringify(event('bad')));
    assert.match(bad.stderr, /denied request: events.k8s.io\/v1 for \/v1/);
    assert.equal((await cluster.kubectl(KUBECTL, ['create', '-f', '-'], JSON.stringify(event('good')))).code, 0);
  });

  /** Kept as v1 with `hostPort`; v2 has `host` and `port`, which only a webhook makes of it. */
  const defineHosts = async () => {
    const version = (name: string) => ({
      name,
      served: true,
      storage: name === 'v1',
      schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
    });
    await apply({
      apiVersion: 'apiextensions.k8s.io/v1',
      kind: 'CustomResourceDefinition',
      metadata: { name: 'hosts.example.com' },
      spec: {
        group: 'example.com',
        scope: 'Namespaced',
        names: { plural: 'hosts', singular: 'host', kind: 'Host', listKind: 'HostList' },
        versions: [version('v1'), version('v2')],
        conversion: {
          strategy: 'Webhook',
          webhook: { clientConfig: webhook.config, conversionReviewVersions: ['v1'] },
        },
      },
    });
  };
  const convert = ({ hostPort, host, port, ...rest }: Json, to: string): Json => {
    const [name, number] = typeof hostPort === 'string' ? hostPort.split(':') : [host, port];
    return {
      ...rest,
      apiVersion: to,
      ...(to.endsWith('v2') ? { host: name, port: number } : { hostPort: [name, number].join(':') }),
    };
  };
  const conversionOf = (request: Review) => {
    const { objects, desiredAPIVersion } = request as unknown as { objects: Json[]; desiredAPIVersion: string };
    if (objects === undefined) return undefined;
    return {
      result: { status: 'Success' },
      convertedObjects: objects.map((object) => convert(object, desiredAPIVersion)),
    };
  };
  const host = (name: string, hostPort: string) =>
    JSON.stringify({ apiVersion: 'example.com/v1', kind: 'Host', metadata: { name, namespace: 'default' }, hostPort });

  it('judges custom resources in a version that only their conversion webhook can make', async () => {
    answer = (request) => conversionOf(request) ?? { allowed: true };
    await defineHosts();
    await policy([rule('CREATE', 'example.com', 'v2', 'hosts')], "object.port != '666'", "'port ' + object.port");
    const bad = await cluster.kubectl(KUBECTL, ['create', '-f', '-'], host('bad', 'evil:666'));
    assert.match(bad.stderr, /denied request: port 666/);
    const good = await cluster.kubectl(KUBECTL, ['create', '-f', '-'], host('good', 'nice:80'));
    assert.equal(good.code, 0, good.stderr);
  });

  it('takes back patches of such a version through the conversion webhook', async () => {
    answer = (request) => {
      const operations = [{ op: 'replace', path: '/port', value: '443' }];
      const patch = Buffer.from(JSON.stringify(operations)).toString('base64');
      return conversionOf(request) ?? { allowed: true, patchType: 'JSONPatch', patch };
    };
    await defineHosts();
    await register('Mutating', [rule('CREATE', 'example.com', 'v2', 'hosts')]);
    const made = await cluster.kubectl(KUBECTL, ['create', '-f', '-', '-o', 'json'], host('h', 'nice:80'));
    assert.equal(made.code, 0, made.stderr);
    assert.equal((JSON.parse(made.stdout) as Json)['hostPort'], 'nice:443');
  });

  it('judges scales as what they are', async () => {
    await apply({
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'd', namespace: 'default' },
      spec: {
        selector: { matchLabels: { a: 'b' } },
        template: { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'busybox' }] } },
      },
    });
    await policy(
      [rule('UPDATE', 'apps', 'v1', 'deployments/scale')],
      "object.kind == 'Scale' && object.spec.replicas < 5",
      "request.kind.kind + ' from ' + string(oldObject.spec.replicas)",
    );
    assert.match((await kubectl('scale', 'deployment/d', '--replicas=7')).stderr, /denied request: Scale from 1/);
    assert.equal((await kubectl('scale', 'deployment/d', '--replicas=4')).code, 0);
  });
});
