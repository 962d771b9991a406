/**
 * What one RBAC rule allows (`rbac.authorization.k8s.io/v1 PolicyRule`). Rules only ever add: a request is allowed when one
 * rule matches all of its verb, group, resource and name, or its verb and path. As upstream, an asterisk stands for all, an
 * asterisk before `/scale` for that subresource of every resource, and a path may end in one; nothing else is a wildcard: one
 * after `pods/` means itself.
 */
import { ALL, pathCovers } from '../../../api/rbac/coverage.js';
import type { PolicyRule } from '../../../api/types/rbac-v1.js';
import type { AuthorizationAttributes } from '../authorizer.js';

export const RBAC_GROUP = 'rbac.authorization.k8s.io';

/** A role's rules, divided by what they speak of, so that a request only looks at those that can match. */
export interface RuleSet {
  readonly rules: readonly PolicyRule[];
  readonly resources: readonly PolicyRule[];
  readonly paths: readonly PolicyRule[];
}

export function ruleSet(rules: readonly PolicyRule[] = []): RuleSet {
  return {
    rules,
    resources: rules.filter((rule) => (rule.resources ?? []).length > 0),
    paths: rules.filter((rule) => (rule.nonResourceURLs ?? []).length > 0),
  };
}

const has = (list: readonly string[] | undefined, item: string) =>
  list !== undefined && (list.includes(item) || list.includes(ALL));

function resourceMatches(resources: readonly string[] | undefined, combined: string, subresource: string): boolean {
  if (resources === undefined) return false;
  for (const resource of resources) {
    if (resource === ALL || resource === combined) return true;
    const isEvery = subresource !== '' && resource.length === subresource.length + 2 && resource.startsWith('*/');
    if (isEvery && resource.endsWith(subresource)) return true;
  }
  return false;
}

const nameMatches = (names: readonly string[] | undefined, name: string) =>
  names === undefined || names.length === 0 || names.includes(name);

/** `resource` or `resource/subresource`, as rules name it. */
export const combinedResource = ({ resource, subresource }: AuthorizationAttributes) =>
  subresource === '' ? resource : `${resource}/${subresource}`;

/** Whether one of the rules allows the request. `combined`: see {@link combinedResource}. */
export function rulesAllow(set: RuleSet, attributes: AuthorizationAttributes, combined: string): boolean {
  const { verb, path } = attributes;
  if (path !== undefined) {
    return set.paths.some(
      (rule) => has(rule.verbs, verb) && (rule.nonResourceURLs ?? []).some((pattern) => pathCovers(pattern, path)),
    );
  }
  for (const rule of set.resources) {
    if (
      has(rule.verbs, verb) &&
      has(rule.apiGroups, attributes.group) &&
      resourceMatches(rule.resources, combined, attributes.subresource) &&
      nameMatches(rule.resourceNames, attributes.name)
    ) {
      return true;
    }
  }
  return false;
}
