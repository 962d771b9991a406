/**
 * NodeRestriction: a kubelet changes its own Node, Lease and CSINode, the status of its own pods, and mirror pods of its own,
 * and nothing that would draw other workloads to it (taints, restricted labels). Applies to users of the group `system:nodes`.
 */
import { forbidden } from '../../api/errors.js';
import type { KubeObject } from '../../api/object.js';
import type { TokenRequest } from '../../api/types/authentication-v1.js';
import type { Lease } from '../../api/types/coordination-v1.js';
import type { Node, PersistentVolumeClaim, Pod } from '../../api/types/core-v1.js';
import { nodeNameOf } from '../authz/node/node-identity.js';
import { podReferences } from '../authz/node/references.js';
import type { AdmissionAttributes, AdmissionLookups, AdmissionPlugin, Requester } from './admission.js';

const MIRROR = 'kubernetes.io/config.mirror';
const LEASE_NAMESPACE = 'kube-node-lease';
const quoted = (text: string) => JSON.stringify(text);
const same = (a: unknown, b: unknown, empty: unknown) => JSON.stringify(a ?? empty) === JSON.stringify(b ?? empty);

type Refuse = (why: string) => Error;

/** Labels of `kubernetes.io` and `k8s.io` that kubelets may give themselves. */
const KUBELET_LABELS = new Set([
  'kubernetes.io/hostname',
  'kubernetes.io/os',
  'kubernetes.io/arch',
  'topology.kubernetes.io/zone',
  'topology.kubernetes.io/region',
  'failure-domain.beta.kubernetes.io/zone',
  'failure-domain.beta.kubernetes.io/region',
  'node.kubernetes.io/instance-type',
  'node.kubernetes.io/windows-build',
  'beta.kubernetes.io/instance-type',
  'beta.kubernetes.io/os',
  'beta.kubernetes.io/arch',
]);
const KUBELET_PREFIXES = ['kubelet.kubernetes.io', 'node.kubernetes.io'];
const RESTRICTED_PREFIX = 'node-restriction.kubernetes.io';

const isWithin = (prefix: string, domain: string) => prefix === domain || prefix.endsWith(`.${domain}`);

function isForbiddenLabel(key: string): boolean {
  const slash = key.indexOf('/');
  const prefix = slash < 0 ? '' : key.slice(0, slash);
  if (isWithin(prefix, RESTRICTED_PREFIX)) return true;
  if (!isWithin(prefix, 'kubernetes.io') && !isWithin(prefix, 'k8s.io')) return false;
  return !KUBELET_LABELS.has(key) && !KUBELET_PREFIXES.some((allowed) => isWithin(prefix, allowed));
}

function forbiddenLabels(next: Node, old: Node | undefined): string[] {
  const [now, before] = [next.metadata.labels ?? {}, old?.metadata.labels ?? {}];
  const keys = new Set([...Object.keys(now), ...Object.keys(before)]);
  return [...keys].filter((key) => now[key] !== before[key] && isForbiddenLabel(key)).toSorted();
}

function checkNode(attributes: AdmissionAttributes, node: string, refuse: Refuse): void {
  const { operation, subresource, name, object, oldObject } = attributes;
  const [next, old] = [object as Node | undefined, oldObject as Node | undefined];
  const cannot = (what: string) => refuse(`node ${quoted(node)} is not allowed to modify ${what}`);
  if (operation === 'CREATE' && next) {
    const labels = forbiddenLabels(next, undefined);
    if (labels.length > 0) throw refuse(`is not allowed to set the following labels: ${labels.join(', ')}`);
  }
  const requested = name === '' ? (next?.metadata.name ?? '') : name;
  if (requested !== node) throw cannot(`node ${quoted(requested)}`);
  if (operation !== 'UPDATE' || !next || !old) return;
  if (subresource === '' && !same(next.spec?.taints, old.spec?.taints, [])) throw cannot('taints');
  const labels = forbiddenLabels(next, old);
  if (labels.length > 0) throw refuse(`is not allowed to modify labels: ${labels.join(', ')}`);
  if (!same(next.metadata.ownerReferences, old.metadata.ownerReferences, [])) throw cannot('ownerReferences');
}

/** A mirror pod belongs to its node and refers to nothing that the API would have to hand out for it. */
function checkMirrorPod(pod: Pod, node: string, lookups: AdmissionLookups, refuse: Refuse): void {
  const cannot = (what: string) => refuse(`node ${quoted(node)} can not create pods that reference ${what}`);
  const only = (what: string) => refuse(`node ${quoted(node)} can only create pods with ${what}`);
  if (pod.metadata.annotations?.[MIRROR] === undefined) {
    throw refuse(`pod does not have ${quoted(MIRROR)} annotation, node ${quoted(node)} can only create mirror pods`);
  }
  if (pod.spec?.nodeName !== node) throw only('spec.nodeName set to itself');
  const owners = pod.metadata.ownerReferences ?? [];
  if (owners.length > 1) throw only('a single owner reference set to itself');
  const [owner] = owners;
  const isOwn = owner?.apiVersion === 'v1' && owner.kind === 'Node' && owner.name === node;
  if (!owner || !isOwn) throw only('an owner reference set to itself');
  if (owner.controller !== true) throw only('a controller owner reference set to itself');
  if (owner.blockOwnerDeletion) {
    throw refuse(`node ${quoted(node)} must not set blockOwnerDeletion on an owner reference`);
  }
  const present = lookups.get('', 'nodes', '', node);
  if (!present) throw refuse(`node ${quoted(node)} not found`);
  if (owner.uid !== present.metadata.uid) {
    throw refuse(`node ${node} UID mismatch: expected ${owner.uid} got ${present.metadata.uid ?? ''}`);
  }
  if (pod.spec.serviceAccountName) throw cannot('a service account');
  const { secrets, configMaps, claims } = podReferences(pod);
  if (secrets.size > 0) throw cannot('secrets');
  if (configMaps.size > 0) throw cannot('configmaps');
  if (claims.size > 0) throw cannot('persistentvolumeclaims');
  if ((pod.spec.resourceClaims ?? []).length > 0) throw cannot('resourceclaims');
}

function checkPod(attributes: AdmissionAttributes, node: string, lookups: AdmissionLookups, refuse: Refuse): void {
  const { operation, object, oldObject } = attributes;
  if (operation === 'CREATE') return checkMirrorPod(object as Pod, node, lookups, refuse);
  if (operation === 'DELETE') {
    if ((oldObject as Pod | undefined)?.spec?.nodeName === node) return;
    throw refuse(`node ${quoted(node)} can only delete pods with spec.nodeName set to itself`);
  }
  throw refuse(`unexpected operation "UPDATE", node ${quoted(node)} can only create and delete mirror pods`);
}

function checkPodStatus({ object, oldObject }: AdmissionAttributes, node: string, refuse: Refuse): void {
  const [next, old] = [object as Pod | undefined, oldObject as Pod | undefined];
  if (old?.spec?.nodeName !== node) {
    throw refuse(`node ${quoted(node)} can only update pod status for pods with spec.nodeName set to itself`);
  }
  if (!same(next?.metadata.labels, old.metadata.labels, {})) {
    throw refuse(`node ${quoted(node)} cannot update labels through pod status`);
  }
}

function checkEviction(attributes: AdmissionAttributes, node: string, lookups: AdmissionLookups, refuse: Refuse): void {
  const { namespace, name, object } = attributes;
  const pod = lookups.get('', 'pods', namespace, name || (object?.metadata.name ?? '')) as Pod | undefined;
  // An absent pod is the eviction's own 404.
  if (!pod || pod.spec?.nodeName === node) return;
  throw refuse(`node ${node} can only evict pods with spec.nodeName set to itself`);
}

/** All of a claim but what a kubelet reports about its expansion. */
function withoutExpansion(object: KubeObject | undefined): unknown {
  const { metadata, spec, status } = (object ?? { metadata: {} }) as PersistentVolumeClaim;
  const { capacity, conditions, allocatedResources, allocatedResourceStatuses, ...rest } = status ?? {};
  void [capacity, conditions, allocatedResources, allocatedResourceStatuses];
  const { labels, annotations, ownerReferences, finalizers } = metadata;
  return { labels, annotations, ownerReferences, finalizers, spec, status: rest };
}

function checkClaim({ operation, subresource, object, oldObject }: AdmissionAttributes, node: string, refuse: Refuse) {
  if (subresource !== 'status') throw refuse(`unexpected subresource ${quoted(subresource)}`);
  if (operation !== 'UPDATE') throw refuse(`unexpected operation ${quoted(operation)}`);
  if (same(withoutExpansion(object), withoutExpansion(oldObject), {})) return;
  throw refuse(`node ${quoted(node)} is not allowed to update fields other than status.quantity and status.conditions`);
}

function checkLease({ operation, namespace, name, object }: AdmissionAttributes, node: string, refuse: Refuse): void {
  if (namespace !== LEASE_NAMESPACE) {
    throw refuse(`can only access leases in the ${quoted(LEASE_NAMESPACE)} system namespace`);
  }
  const requested = operation === 'CREATE' && name === '' ? ((object as Lease).metadata.name ?? '') : name;
  if (requested !== node) throw refuse('can only access node lease with the same name as the requesting node');
}

function check(attributes: AdmissionAttributes, node: string, lookups: AdmissionLookups): void {
  const { group, resource, subresource, name } = attributes;
  const refuse: Refuse = (why) => forbidden(attributes, name, why);
  const path = subresource === '' ? resource : `${resource}/${subresource}`;
  switch (group === '' ? path : `${path}.${group}`) {
    case 'pods':
      return checkPod(attributes, node, lookups, refuse);
    case 'pods/status':
      return checkPodStatus(attributes, node, refuse);
    case 'pods/eviction':
      return checkEviction(attributes, node, lookups, refuse);
    case 'nodes':
    case 'nodes/status':
      return checkNode(attributes, node, refuse);
    case 'leases.coordination.k8s.io':
      return checkLease(attributes, node, refuse);
    case 'csinodes.storage.k8s.io':
      if ((name || (attributes.object?.metadata.name ?? '')) === node) return;
      throw refuse('can only access CSINode with the same name as the requesting node');
    default:
      if (group !== '') return;
      if (resource === 'pods') throw refuse(`unexpected pod subresource ${quoted(subresource)}`);
      if (resource === 'persistentvolumeclaims') checkClaim(attributes, node, refuse);
  }
}

function nodeOf(user: Requester, refuse: Refuse): string | undefined {
  const node = nodeNameOf(user);
  if (node === '') throw refuse(`could not determine node from user ${quoted(user.name)}`);
  return node;
}

const RESOURCES = new Set(['pods', 'nodes', 'persistentvolumeclaims', 'leases', 'csinodes']);

export const nodeRestriction: AdmissionPlugin = {
  name: 'NodeRestriction',
  handles: ({ user, resource }) => RESOURCES.has(resource) && nodeNameOf(user) !== undefined,
  admit(attributes, lookups) {
    const node = nodeOf(attributes.user, (why) => forbidden(attributes, attributes.name, why));
    if (node !== undefined) check(attributes, node, lookups);
  },
};

/**
 * The same rule for tokens, which are not stored: a node asks for those of pods that run on it. `pod` finds one of the account's
 * namespace. Throws a 403.
 */
export function restrictNodeToken(
  user: Requester,
  account: string,
  { spec }: TokenRequest,
  pod: (name: string) => KubeObject | undefined,
): void {
  const refuse: Refuse = (why) => forbidden({ group: '', resource: 'serviceaccounts' }, account, why);
  const node = nodeOf(user, refuse);
  if (node === undefined) return;
  const bound = spec.boundObjectRef;
  if (bound?.apiVersion !== 'v1' || bound.kind !== 'Pod' || !bound.name) {
    throw refuse('node requested token not bound to a pod');
  }
  if (!bound.uid) throw refuse('node requested token with a pod binding without a uid');
  const present = pod(bound.name) as Pod | undefined;
  // An absent pod is the token request's own failure.
  if (!present) return;
  if (present.spec?.nodeName !== node) {
    throw refuse('node requested token bound to a pod scheduled on a different node');
  }
  if (bound.uid !== present.metadata.uid) {
    throw refuse(
      `the UID in the bound object reference (${bound.uid}) does not match the UID in record. ` +
        'The object might have been deleted and then recreated',
    );
  }
}
