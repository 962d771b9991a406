/**
 * Fills ClusterRoles that aggregate others (`aggregationRule.clusterRoleSelectors`) with the rules of all ClusterRoles whose
 * labels match. What else is written into their `rules` is overwritten.
 */
import { isDeepStrictEqual } from 'node:util';
import { isNotFound } from '../../../api/errors.js';
import { labelMatcher } from '../../../api/selectors/label.js';
import type { ClusterRole, PolicyRule } from '../../../api/types/rbac-v1.js';
import { Controller } from '../../../client/controller.js';
import { CLUSTERROLES } from '../bootstrappolicy/policy.js';
import type { SharedDeps } from '../deps.js';

const nameOf = ({ metadata }: ClusterRole) => metadata.name ?? '';
const selectorsOf = ({ aggregationRule }: ClusterRole) => aggregationRule?.clusterRoleSelectors ?? [];

const selects = (aggregate: ClusterRole, role: ClusterRole) =>
  selectorsOf(aggregate).some((selector) => labelMatcher(selector).matches(role.metadata.labels ?? {}));

/** The rules of all that match, by selector and then by name, each rule once. */
export function aggregatedRules(aggregate: ClusterRole, roles: readonly ClusterRole[]): PolicyRule[] {
  const rules = new Map<string, PolicyRule>();
  const others = roles
    .filter((role) => nameOf(role) !== nameOf(aggregate))
    .toSorted((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
  for (const selector of selectorsOf(aggregate)) {
    const matcher = labelMatcher(selector);
    for (const role of others) {
      if (!matcher.matches(role.metadata.labels ?? {})) continue;
      for (const rule of role.rules ?? []) {
        const key = JSON.stringify([
          rule.verbs,
          rule.apiGroups,
          rule.resources,
          rule.resourceNames,
          rule.nonResourceURLs,
        ]);
        if (!rules.has(key)) rules.set(key, rule);
      }
    }
  }
  return [...rules.values()];
}

export function clusterRoleAggregationController(deps: SharedDeps): Controller {
  const roles = deps.informers.of<ClusterRole>(CLUSTERROLES);
  /** Aggregating roles as last seen: few, while there may be thousands of others. */
  const aggregates = new Map<string, ClusterRole>();
  const controller = new Controller(deps, { name: 'clusterrole-aggregation', waitFor: [roles], reconcile });

  const wake = (role: ClusterRole, before?: ClusterRole) => {
    for (const [name, aggregate] of aggregates) {
      const isPart = selects(aggregate, role) || (before !== undefined && selects(aggregate, before));
      if (isPart && name !== nameOf(role)) controller.queue.add(name);
    }
  };
  roles.addHandler({
    onUpsert(role, before) {
      if (selectorsOf(role).length > 0) {
        aggregates.set(nameOf(role), role);
        controller.queue.add(nameOf(role));
      } else aggregates.delete(nameOf(role));
      wake(role, before);
    },
    onDelete(role) {
      aggregates.delete(nameOf(role));
      wake(role);
    },
  });

  async function reconcile(name: string): Promise<void> {
    const aggregate = roles.get('', name);
    if (!aggregate || aggregate.metadata.deletionTimestamp || selectorsOf(aggregate).length === 0) return;
    const rules = aggregatedRules(aggregate, roles.list());
    if (isDeepStrictEqual(rules, aggregate.rules ?? [])) return;
    try {
      await deps.client.update<ClusterRole>(CLUSTERROLES, { ...aggregate, rules });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }
  return controller;
}
