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

/** A role's rules, and by what they speak of: a decision passes many roles, and most have nothing to say about it. */
export interface RuleSet {
  readonly rules: readonly PolicyRule[];
  /** By `group/resource`, as rules write them. */
  readonly resources: ReadonlyMap<string, readonly PolicyRule[]>;
  /** A rule names all groups or resources: otherwise the exact key is the only one to look for. */
  readonly hasWildcards: boolean;
  readonly paths: readonly PolicyRule[];
}

export function ruleSet(rules: readonly PolicyRule[] = []): RuleSet {
  const resources = new Map<string, PolicyRule[]>();
  for (const rule of rules) {
    for (const group of new Set(rule.apiGroups)) {
      for (const resource of new Set(rule.resources)) {
        const key = `${group}/${resource}`;
        const known = resources.get(key);
        if (known) known.push(rule);
        else resources.set(key, [rule]);
      }
    }
  }
  const hasWildcards = [...resources.keys()].some((key) => key.includes(ALL));
  const paths = rules.filter((rule) => (rule.nonResourceURLs ?? []).length > 0);
  return { rules, resources, hasWildcards, paths };
}

/** Under which keys a rule about the request can be, the exact one first; none for requests that are not about resources. */
export function ruleKeys({ path, group, resource, subresource }: AuthorizationAttributes): readonly string[] {
  if (path !== undefined) return [];
  if (subresource === '') return [`${group}/${resource}`, `${group}/*`, `*/${resource}`, '*/*'];
  const combined = `${resource}/${subresource}`;
  const every = `*/${subresource}`;
  return [`${group}/${combined}`, `${group}/*`, `${group}/${every}`, `*/${combined}`, '*/*', `*/${every}`];
}

const hasVerb = ({ verbs }: PolicyRule, verb: string) => verbs.includes(verb) || verbs.includes(ALL);

const hasName = ({ resourceNames }: PolicyRule, name: string) =>
  resourceNames === undefined || resourceNames.length === 0 || resourceNames.includes(name);

/** Whether one of the rules allows the request. `keys`: see {@link ruleKeys}, made once for all roles. */
export function rulesAllow(set: RuleSet, attributes: AuthorizationAttributes, keys: readonly string[]): boolean {
  const { verb, path, name } = attributes;
  if (path !== undefined) {
    return set.paths.some(
      (rule) => hasVerb(rule, verb) && (rule.nonResourceURLs ?? []).some((pattern) => pathCovers(pattern, path)),
    );
  }
  for (const key of keys) {
    const rules = set.resources.get(key);
    if (rules?.some((rule) => hasVerb(rule, verb) && hasName(rule, name))) return true;
    if (!set.hasWildcards) return false;
  }
  return false;
}
