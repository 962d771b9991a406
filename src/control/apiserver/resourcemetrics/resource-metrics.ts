/** `metrics.k8s.io/v1beta1`: what `kubectl top` and autoscalers read. */
import { rfc3339, type Clock } from '../../../base/clock.js';
import { methodNotAllowed, notFound } from '../../../api/errors.js';
import type { KubeObject } from '../../../api/object.js';
import { Quantity } from '../../../api/quantity.js';
import { apiVersionOf, NODES, PODS } from '../../../api/resource.js';
import type { ResourceInfo } from '../../../api/schema/registry.js';
import type { Node } from '../../../api/types/core-v1.js';
import { negotiate } from '../http/negotiation.js';
import type { ApiRequest, ApiResponse } from '../http/exchange.js';
import type { ApiVerb, ResourcePath } from '../http/request-info.js';
import { sendObject } from '../http/response.js';
import type { ObjectReads } from '../reads/object-reads.js';
import { parseSelection } from '../reads/selection.js';
import { tableFor } from '../tables/table.js';
import type { UsageSampler } from './sampler.js';
import type { ContainerUsage, NodeUsage } from './usage.js';

interface MetricsCall {
  readonly request: ApiRequest;
  readonly response: ApiResponse;
  readonly query: URLSearchParams;
  readonly path: ResourcePath;
  readonly verb: ApiVerb;
  readonly info: ResourceInfo;
}

const usageOf = (nanocores: number, bytes: number) => ({
  cpu: new Quantity(BigInt(nanocores)).toString(),
  memory: Quantity.of(bytes, 'BinarySI').toString(),
});

const isReady = (node: KubeObject) =>
  (node as Node).status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true;

/** A duration as Go writes it, to the millisecond. */
const durationText = (ms: number) => `${(ms / 1000).toFixed(3)}s`;

export class ResourceMetrics {
  constructor(
    private readonly deps: { readonly reads: ObjectReads; readonly sampler: UsageSampler; readonly clock: Clock },
  ) {}

  /** Answers a get or list of NodeMetrics or PodMetrics. Throws 404 for what nobody can tell anything about, and 405. */
  async handle(call: MetricsCall): Promise<void> {
    const { request, response, query, path, verb, info } = call;
    if (verb !== 'get' && verb !== 'list') throw methodNotAllowed();
    const shown = negotiate(request.headers.accept);
    const all = await this.metricsOf(info);
    const options = {
      metaVersion: shown.metaVersion,
      includeObject: query.get('includeObject') ?? 'Metadata',
      nowMs: this.deps.clock.nowMs(),
    };
    if (verb === 'get') {
      const found = all.find(
        ({ metadata }) => metadata.name === path.name && (metadata.namespace ?? '') === path.namespace,
      );
      if (found === undefined) throw notFound(info, info.namespaced ? `${path.namespace}/${path.name}` : path.name);
      const body = shown.as === 'table' ? tableFor(info, [found], options) : found;
      return sendObject(request, response, 200, body, shown.format);
    }
    const selection = parseSelection(info, {
      namespace: path.namespace,
      labelSelector: query.get('labelSelector') ?? undefined,
      fieldSelector: query.get('fieldSelector') ?? undefined,
    });
    const items = all.filter(
      (object) =>
        (selection.namespace === undefined || object.metadata.namespace === selection.namespace) &&
        selection.matches(object),
    );
    const list = { kind: info.listKind, apiVersion: apiVersionOf(info), metadata: {}, items };
    const body = shown.as === 'table' ? tableFor(info, items, options) : list;
    return sendObject(request, response, 200, body, shown.format);
  }

  private async metricsOf(info: ResourceInfo): Promise<KubeObject[]> {
    await this.deps.reads.fresh(undefined).catch(() => undefined);
    const nodes = this.deps.reads.select(NODES, parseSelection(NODES, {}));
    // Who is not ready would only be waited for in vain.
    const ready = nodes.filter(isReady).map(({ metadata }) => metadata.name ?? '');
    const usages = await this.deps.sampler.usages(ready);
    if (info.resource === 'nodes') {
      return nodes.flatMap((node) => {
        const usage = usages.get(node.metadata.name ?? '');
        return usage === undefined ? [] : [this.nodeMetrics(info, node, usage)];
      });
    }
    const owners = new Map<string, { usage: NodeUsage; containers: readonly ContainerUsage[] }>();
    for (const usage of usages.values()) {
      for (const [key, containers] of usage.pods) owners.set(key, { usage, containers });
    }
    return this.deps.reads.select(PODS, parseSelection(PODS, {})).flatMap((pod) => {
      const found = owners.get(`${pod.metadata.namespace ?? ''}/${pod.metadata.name ?? ''}`);
      return found === undefined ? [] : [this.podMetrics(info, pod, found.usage, found.containers)];
    });
  }

  private common(info: ResourceInfo, { metadata }: KubeObject, { windowMs }: NodeUsage) {
    const time = rfc3339(this.deps.clock.nowMs());
    const { name, namespace, labels } = metadata;
    return {
      kind: info.kind,
      apiVersion: apiVersionOf(info),
      metadata: {
        ...(name === undefined ? {} : { name }),
        ...(namespace === undefined ? {} : { namespace }),
        creationTimestamp: time,
        ...(labels === undefined ? {} : { labels }),
      },
      timestamp: time,
      window: durationText(windowMs),
    };
  }

  private nodeMetrics(info: ResourceInfo, node: KubeObject, usage: NodeUsage): KubeObject {
    const containers = [...usage.pods.values()].flat();
    const sum = (field: 'nanocores' | 'memoryBytes') => containers.reduce((total, one) => total + one[field], 0);
    const { nanocores, memoryBytes } = usage.machine ?? {
      nanocores: sum('nanocores'),
      memoryBytes: sum('memoryBytes'),
    };
    const usageTotal = usageOf(nanocores, memoryBytes);
    return Object.assign(this.common(info, node, usage), { usage: usageTotal });
  }

  private podMetrics(
    info: ResourceInfo,
    pod: KubeObject,
    usage: NodeUsage,
    containers: readonly ContainerUsage[],
  ): KubeObject {
    const each = containers.map(({ name, nanocores, memoryBytes }) => ({
      name,
      usage: usageOf(nanocores, memoryBytes),
    }));
    return Object.assign(this.common(info, pod, usage), { containers: each });
  }
}
