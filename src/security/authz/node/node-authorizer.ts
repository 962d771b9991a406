/**
 * The node authorizer: a kubelet may read what its own pods need, and keep its own Node, Lease and CSINode. What it may change
 * of them is limited further by the NodeRestriction admission plugin. As Kubernetes 1.32: with the selectors of lists taken
 * into account. It never denies: roles may grant nodes more.
 */
import {
  ALLOW,
  NO_OPINION,
  type AuthorizationAttributes,
  type AuthorizationDecision,
  type Authorizer,
  type ResolvedRules,
  type Subject,
} from '../authorizer.js';
import { ruleKeys, rulesAllow, ruleSet } from '../rbac/rules.js';
import { nodeNameOf } from './node-identity.js';
import type { NodePods } from './node-pods.js';
import { NODE_RULES } from './node-rules.js';

const RULES = ruleSet(NODE_RULES);
const LEASE_NAMESPACE = 'kube-node-lease';
const OWN_VERBS = ['get', 'create', 'update', 'patch', 'delete'];

const because = (reason: string): AuthorizationDecision => ({ decision: 'no-opinion', reason });
const unrelated = (node: string) => because(`no relationship found between node '${node}' and this object`);

const byRules = (attributes: AuthorizationAttributes) =>
  rulesAllow(RULES, attributes, ruleKeys(attributes)) ? ALLOW : NO_OPINION;

type Related = (node: string, namespace: string, name: string) => boolean;

/** Single objects by name, and nothing below them. */
function readOf(attributes: AuthorizationAttributes, node: string, verbs: readonly string[], related: Related) {
  const { verb, subresource, namespace, name } = attributes;
  if (!verbs.includes(verb)) {
    return because(`can only ${verbs.length > 1 ? 'read resources' : 'get individual resources'} of this type`);
  }
  if (subresource !== '') return because(`cannot ${verbs.length > 1 ? 'read' : 'get'} subresource`);
  if (name === '') return because('No Object name found');
  return related(node, namespace, name) ? ALLOW : unrelated(node);
}

const READ = ['get', 'list', 'watch'];
const GET = ['get'];

function leaseAccess({ verb, namespace, name }: AuthorizationAttributes, node: string): AuthorizationDecision {
  if (!OWN_VERBS.includes(verb)) return because('can only get, create, update, patch, or delete a node lease');
  if (namespace !== LEASE_NAMESPACE) {
    return because(`can only access leases in the "${LEASE_NAMESPACE}" system namespace`);
  }
  if (verb !== 'create' && name !== node) {
    return because('can only access node lease with the same name as the requesting node');
  }
  return ALLOW;
}

function csiNodeAccess({ verb, subresource, name }: AuthorizationAttributes, node: string): AuthorizationDecision {
  if (!OWN_VERBS.includes(verb)) return because('can only get, create, update, patch, or delete a CSINode');
  if (subresource !== '') return because('cannot authorize CSINode subresources');
  if (verb !== 'create' && name !== node) {
    return because('can only access CSINode with the same name as the requesting node');
  }
  return ALLOW;
}

function nodeAccess(attributes: AuthorizationAttributes, node: string): AuthorizationDecision {
  const { verb, subresource, name } = attributes;
  if (subresource !== '' || !READ.includes(verb)) return byRules(attributes);
  if (name === node) return ALLOW;
  const all = name === '' ? 'all nodes' : `'${name}'`;
  return because(`node '${node}' cannot read ${all}, only its own Node object`);
}

export class NodeAuthorizer implements Authorizer {
  constructor(private readonly pods: NodePods) {}

  authorize(attributes: AuthorizationAttributes): AuthorizationDecision {
    const node = nodeNameOf(attributes.user);
    if (node === undefined) return NO_OPINION;
    if (node === '') return because(`unknown node for user ${JSON.stringify(attributes.user.name)}`);
    return attributes.path === undefined ? this.resource(attributes, node) : byRules(attributes);
  }

  rulesFor(user: Subject): ResolvedRules {
    if (nodeNameOf(user) === undefined) return { rules: [], errors: [], incomplete: false };
    return { rules: [], errors: ['node authorizer does not support user rule resolution'], incomplete: true };
  }

  private resource(attributes: AuthorizationAttributes, node: string): AuthorizationDecision {
    const { pods } = this;
    const { group, resource, subresource } = attributes;
    switch (group === '' ? resource : `${resource}.${group}`) {
      case 'secrets':
        return readOf(attributes, node, READ, (...of) => pods.usesSecret(...of));
      case 'configmaps':
        return readOf(attributes, node, READ, (...of) => pods.usesConfigMap(...of));
      case 'persistentvolumeclaims':
        if (subresource === 'status') return this.claimStatus(attributes, node);
        return readOf(attributes, node, GET, (...of) => pods.usesClaim(...of));
      case 'persistentvolumes':
        return readOf(attributes, node, GET, (_node, _namespace, name) => pods.usesVolume(node, name));
      case 'volumeattachments.storage.k8s.io':
        return readOf(attributes, node, GET, (_node, _namespace, name) => pods.isAttachment(node, name));
      case 'serviceaccounts':
        return this.token(attributes, node);
      case 'leases.coordination.k8s.io':
        return leaseAccess(attributes, node);
      case 'csinodes.storage.k8s.io':
        return csiNodeAccess(attributes, node);
      case 'nodes':
        return nodeAccess(attributes, node);
      case 'pods':
        return this.pod(attributes, node);
      default:
        return byRules(attributes);
    }
  }

  private claimStatus({ verb, namespace, name }: AuthorizationAttributes, node: string): AuthorizationDecision {
    if (!['get', 'update', 'patch'].includes(verb)) return because('can only get/update/patch this type');
    if (name === '') return because('No Object name found');
    return this.pods.usesClaim(node, namespace, name) ? ALLOW : unrelated(node);
  }

  private token({ verb, subresource, namespace, name }: AuthorizationAttributes, node: string): AuthorizationDecision {
    if (verb !== 'create' || name === '') return because('can only create tokens for individual service accounts');
    if (subresource !== 'token') return because('can only create token subresource of service account');
    return this.pods.usesServiceAccount(node, namespace, name) ? ALLOW : unrelated(node);
  }

  private pod(attributes: AuthorizationAttributes, node: string): AuthorizationDecision {
    const { verb, subresource, namespace, name, fieldSelector = [] } = attributes;
    if (subresource !== '' || !READ.includes(verb)) return byRules(attributes);
    if (verb === 'get') return this.pods.hasPod(node, namespace, name) ? ALLOW : unrelated(node);
    const isOwn = fieldSelector.some(
      ({ key, operator, values }) =>
        key === 'spec.nodeName' && operator === 'In' && values.length === 1 && values[0] === node,
    );
    if (isOwn || (name !== '' && this.pods.hasPod(node, namespace, name))) return ALLOW;
    return because('can only list/watch pods with spec.nodeName field selector');
  }
}
