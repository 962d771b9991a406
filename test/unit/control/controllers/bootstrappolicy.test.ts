import assert from 'node:assert/strict';
import type { ClusterRole, ClusterRoleBinding } from '../../../../src/api/types/rbac-v1.js';
import { bootstrapPolicyController } from '../../../../src/control/controllers/bootstrappolicy/controller.js';
import { planBinding, planRole } from '../../../../src/control/controllers/bootstrappolicy/plan.js';
import {
  AUTOUPDATE,
  CLUSTERROLES,
  DEFAULT_POLICY,
  ROLES,
} from '../../../../src/control/controllers/bootstrappolicy/policy.js';
import { clusterRoleAggregationController } from '../../../../src/control/controllers/clusterroleaggregation/controller.js';
import { NODE_RULES } from '../../../../src/security/authz/node/node-rules.js';
import { NAMESPACES } from '../../../../src/api/resource.js';
import { harness } from './harness.js';

const role = (name: string): ClusterRole => {
  const found = DEFAULT_POLICY.clusterRoles.find(({ metadata }) => metadata.name === name);
  assert.ok(found, name);
  return structuredClone(found);
};
const binding = (name: string): ClusterRoleBinding => {
  const found = DEFAULT_POLICY.clusterRoleBindings.find(({ metadata }) => metadata.name === name);
  assert.ok(found, name);
  return structuredClone(found);
};

describe('the default policy', () => {
  it('names every role that it binds, and each object once', () => {
    const { clusterRoles, clusterRoleBindings, roles, roleBindings } = DEFAULT_POLICY;
    const names = new Set(clusterRoles.map(({ metadata }) => metadata.name));
    assert.equal(names.size, clusterRoles.length);
    for (const { roleRef } of clusterRoleBindings) assert.ok(names.has(roleRef.name), roleRef.name);
    const local = new Set(roles.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`));
    for (const { metadata, roleRef } of roleBindings) assert.ok(local.has(`${metadata.namespace}/${roleRef.name}`));
    // So that a peer's health can be asked for at any time: see cluster-authorizer.
    assert.equal(clusterRoleBindings[0]?.metadata.name, 'system:public-info-viewer');
  });

  it('grants nodes by role what the node authorizer knows of them', () => {
    const sorted = (rules: readonly object[] = []) =>
      rules.map((rule) => JSON.stringify(rule, Object.keys(rule).toSorted())).toSorted();
    assert.deepEqual(sorted(role('system:node').rules), sorted(NODE_RULES));
  });

  it('is added to, never taken from, and left alone on request', () => {
    const wanted = role('system:discovery');
    assert.equal(planRole(wanted, wanted).action, 'none');
    const less = { ...wanted, rules: [{ verbs: ['get'], nonResourceURLs: ['/api', '/own'] }] };
    const plan = planRole(wanted, less);
    assert.ok(plan.action === 'update');
    const { rules = [] } = plan.object as ClusterRole;
    assert.deepEqual(rules[0], less.rules[0]);
    assert.equal(planRole(wanted, plan.object as ClusterRole).action, 'none');
    const fixed = { ...less, metadata: { ...less.metadata, annotations: { [AUTOUPDATE]: 'false' } } };
    assert.equal(planRole(wanted, fixed).action, 'none');
    const bound = binding('system:basic-user');
    const changed = { ...bound, subjects: [{ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: 'x' }] };
    const added = planBinding(bound, changed);
    assert.ok(added.action === 'update');
    assert.equal((added.object as ClusterRoleBinding).subjects?.length, 2);
    const elsewhere = { ...bound, roleRef: { ...bound.roleRef, name: 'view' } };
    assert.equal(planBinding(bound, elsewhere).action, 'replace');
  });

  it('is written at the start, with what a namespace waits for once that is there', async () => {
    const h = harness();
    await h.client.create(NAMESPACES, { metadata: { name: 'kube-system' } });
    const policy = bootstrapPolicyController(h);
    const aggregation = clusterRoleAggregationController(h);
    await h.run(policy, aggregation);
    await h.clock.advance(100);
    assert.equal(h.client.all(CLUSTERROLES).length, DEFAULT_POLICY.clusterRoles.length);
    const inPublic = () => h.client.all(ROLES).filter(({ metadata }) => metadata.namespace === 'kube-public').length;
    assert.equal(inPublic(), 0);
    await h.client.create(NAMESPACES, { metadata: { name: 'kube-public' } });
    await h.clock.advance(1500);
    assert.equal(inPublic(), 1);
    const admin = await h.client.get<ClusterRole>(CLUSTERROLES, '', 'admin');
    const verbs = (resource: string) =>
      new Set(admin.rules?.filter(({ resources }) => resources?.includes(resource)).flatMap((rule) => rule.verbs));
    assert.ok(verbs('rolebindings').has('create'));
    assert.ok(verbs('pods').has('delete') && verbs('pods').has('watch'));
    assert.equal(verbs('nodes').size, 0);
    await h.stop();
  });
});
