/** How each kind is kept and merged (`KindPolicies`), from its schema and the table in the design. */
import type { KubeObject } from '../api/object.js';
import { loadData } from '../api/schema/data.js';
import type { KindRegistry } from '../api/schema/registry.js';
import { GENERIC_LAYOUT, layoutOf, type Layout, type SchemaNode } from '../store/crdt/shape.js';
import type { KindPolicies, KindPolicy } from '../store/kind-policy.js';
import { CONFLICT_KIND } from '../store/replication/conflict-log.js';
import { REGISTRY_OBJECT } from '../store/replication/peer-registry.js';
import { REVOKED_PEERS } from '../store/replication/revoked-peer.js';
import { WATERMARK_OBJECT } from '../store/replication/watermark.js';
import { partitionOf } from './partitions.js';

/** Made by one machine at a time: the later stamp wins each part. All other kinds merge field by field. */
const MACHINE_MADE = new Set([
  '/pods',
  '/events',
  '/endpoints',
  'apps/controllerrevisions',
  'apps/replicasets',
  'coordination.k8s.io/leases',
  'discovery.k8s.io/endpointslices',
  'events.k8s.io/events',
  `${REGISTRY_OBJECT.group}/${REGISTRY_OBJECT.resource}`,
  `${REVOKED_PEERS.group}/${REVOKED_PEERS.resource}`,
  `${WATERMARK_OBJECT.group}/${WATERMARK_OBJECT.resource}`,
  CONFLICT_KIND,
]);

/** Nobody minds when a deleted one of these comes back for a while: no tombstones. */
const FORGETTABLE = new Set(['/events', 'events.k8s.io/events', CONFLICT_KIND]);

/** See `KindPolicy.isDerived`. */
const DERIVED = new Set([
  ...FORGETTABLE,
  '/endpoints',
  'coordination.k8s.io/leases',
  'discovery.k8s.io/endpointslices',
  `${REGISTRY_OBJECT.group}/${REGISTRY_OBJECT.resource}`,
  `${WATERMARK_OBJECT.group}/${WATERMARK_OBJECT.resource}`,
]);

/** Objects that live on a node: see `KindPolicy.homeOf`. */
const HOMES: Readonly<Record<string, Pick<KindPolicy, 'homeOf' | 'withoutGuesses'>>> = {
  '/pods': { homeOf: ({ spec }) => (spec as { nodeName?: string } | undefined)?.nodeName },
  '/nodes': { homeOf: ({ metadata }) => metadata.name, withoutGuesses: withoutNodeTaints },
};

/** A node out of reach is tainted by whoever does not reach it. */
function withoutNodeTaints(node: KubeObject): KubeObject {
  const { spec } = node as { spec?: { readonly taints?: readonly { readonly key: string }[] } };
  const taints = spec?.taints?.filter(({ key }) => !key.startsWith('node.kubernetes.io/'));
  if (!spec || !taints) return node;
  const { taints: _, ...rest } = spec;
  return { ...node, spec: taints.length > 0 ? { ...rest, taints } : rest } as KubeObject;
}

const REGISTER: KindPolicy = { merge: 'register', layout: GENERIC_LAYOUT, tombstones: true };

/** Layouts are compiled when a kind is first merged. */
export function createKindPolicies(registry: KindRegistry): KindPolicies {
  const known = new Map<string, KindPolicy>();
  return {
    partitionOf,
    policyOf(group, resource) {
      const name = `${group}/${resource}`;
      let policy = known.get(name);
      if (!policy) known.set(name, (policy = makePolicy(registry, group, resource)));
      return policy;
    },
  };
}

function makePolicy(registry: KindRegistry, group: string, resource: string): KindPolicy {
  const name = `${group}/${resource}`;
  const more = { ...HOMES[name], isDerived: DERIVED.has(name) };
  if (MACHINE_MADE.has(name)) return { ...REGISTER, ...more, tombstones: !FORGETTABLE.has(name) };
  let layout: Layout | undefined;
  return {
    ...more,
    merge: 'document',
    tombstones: true,
    get layout() {
      layout ??= layoutFor(registry, group, resource);
      return layout;
    },
  };
}

function layoutFor(registry: KindRegistry, group: string, resource: string): Layout {
  const info = registry.all().find((one) => one.group === group && one.resource === resource);
  const schemas = builtInSchemas();
  const schema = info && schemas[info.schemaName];
  return schema ? layoutOf(schema, (ref) => schemas[ref.slice(ref.lastIndexOf('/') + 1)]) : GENERIC_LAYOUT;
}

function builtInSchemas(): Readonly<Record<string, SchemaNode>> {
  const data = loadData('schemas') as { components?: { schemas: Record<string, SchemaNode> } };
  return data.components?.schemas ?? (data as Record<string, SchemaNode>);
}
