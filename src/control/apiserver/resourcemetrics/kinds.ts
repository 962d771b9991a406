/** NodeMetrics and PodMetrics (`metrics.k8s.io/v1beta1`): kinds that are answered from kubelets' figures and never stored. */
import type { KindRegistry, ResourceInfo } from '../../../api/schema/registry.js';
import type { OpenApiSchema } from '../../../api/schema/schema.js';

export const METRICS_GROUP = 'metrics.k8s.io';
const VERSION = 'v1beta1';

const USAGE: OpenApiSchema = { type: 'object', additionalProperties: { type: 'string' } };
const COMMON: Readonly<Record<string, OpenApiSchema>> = {
  timestamp: { type: 'string', format: 'date-time' },
  window: { type: 'string' },
};
const SCHEMAS: Readonly<Record<string, OpenApiSchema>> = {
  NodeMetrics: { type: 'object', properties: { ...COMMON, usage: USAGE } },
  PodMetrics: {
    type: 'object',
    properties: {
      ...COMMON,
      containers: {
        type: 'array',
        items: { type: 'object', properties: { name: { type: 'string' }, usage: USAGE } },
      },
    },
  },
};

function register(registry: KindRegistry, resource: string, kind: string, namespaced: boolean): void {
  const ref = { group: METRICS_GROUP, version: VERSION, resource, kind, namespaced };
  const info: ResourceInfo = registry.customInfo({ ...ref, singular: '', schema: SCHEMAS[kind] ?? {} });
  registry.registerInfo(Object.freeze({ ...info, verbs: ['get', 'list'] }));
}

/** Makes the kinds known, so that discovery and authorization tell of them. Doing it again changes nothing. */
export function registerMetricsKinds(registry: KindRegistry): void {
  if (registry.find(METRICS_GROUP, VERSION, 'nodes') !== undefined) return;
  register(registry, 'nodes', 'NodeMetrics', false);
  register(registry, 'pods', 'PodMetrics', true);
}
