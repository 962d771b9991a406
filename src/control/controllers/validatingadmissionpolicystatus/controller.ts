/** Tells in the status of a ValidatingAdmissionPolicy which expressions do not fit the kinds that its rules name. */
import type { Service } from '../../../base/lifecycle.js';
import { typeCheckPolicy, type KindLookup } from '../../../api/cel/policy-type-check.js';
import { isNotFound } from '../../../api/errors.js';
import type { KubeObject } from '../../../api/object.js';
import type { ResourceRef } from '../../../api/resource.js';
import type { ValidatingAdmissionPolicy } from '../../../api/types/admissionregistration-v1.js';
import { Controller } from '../../../client/controller.js';
import type { SharedDeps } from '../deps.js';

const POLICIES: ResourceRef = Object.freeze({
  group: 'admissionregistration.k8s.io',
  version: 'v1',
  resource: 'validatingadmissionpolicies',
  kind: 'ValidatingAdmissionPolicy',
  namespaced: false,
});

type Policy = ValidatingAdmissionPolicy & KubeObject;

export function validatingAdmissionPolicyStatusController(deps: SharedDeps, kinds: KindLookup): Service {
  const policies = deps.informers.of<Policy>(POLICIES);
  const controller = new Controller(deps, {
    name: 'validatingadmissionpolicy-status',
    waitFor: [policies],
    async reconcile(name) {
      const policy = policies.get('', name);
      const generation = policy?.metadata.generation ?? 0;
      if (!policy || policy.status?.observedGeneration === generation) return;
      const expressionWarnings = typeCheckPolicy(policy, kinds);
      const typeChecking = expressionWarnings.length > 0 ? { expressionWarnings } : {};
      const status = { ...policy.status, observedGeneration: generation, typeChecking };
      try {
        await deps.client.updateStatus<Policy>(POLICIES, { ...policy, status });
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
    },
  });
  policies.addHandler({
    onUpsert: ({ metadata }) => controller.queue.add(metadata.name ?? ''),
    onDelete: () => undefined,
  });
  return controller;
}
