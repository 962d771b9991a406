/**
 * Comparing RBAC rules. Whether one set of rules grants all that another does: who hands out permissions must hold them. Compared as upstream
 * does, by single permissions (one verb on one resource or path) against whole rules; that the union of two rules would
 * cover a wildcard is not recognised.
 */
import type { PolicyRule } from '../types/rbac-v1.js';

export const ALL = '*';

/** Whether a rule's path is the other one, or ends in `*` and begins it. */
export function pathCovers(pattern: string, path: string): boolean {
  if (pattern === ALL || pattern === path) return true;
  return pattern.endsWith('*') && path.startsWith(pattern.replace(/\*+$/, ''));
}

/** A rule as its single permissions. */
function breakDown(rule: PolicyRule): PolicyRule[] {
  const parts: PolicyRule[] = [];
  const names = rule.resourceNames ?? [];
  for (const group of rule.apiGroups ?? []) {
    for (const resource of rule.resources ?? []) {
      for (const verb of rule.verbs) {
        const part = { apiGroups: [group], resources: [resource], verbs: [verb] };
        if (names.length === 0) parts.push(part);
        for (const name of names) parts.push({ ...part, resourceNames: [name] });
      }
    }
  }
  for (const path of rule.nonResourceURLs ?? []) {
    for (const verb of rule.verbs) parts.push({ nonResourceURLs: [path], verbs: [verb] });
  }
  return parts;
}

const hasAll = (list: readonly string[] | undefined, wanted: readonly string[] | undefined) =>
  (wanted ?? []).every((item) => list?.includes(item) === true);
const coversAll = (list: readonly string[] | undefined, wanted: readonly string[] | undefined) =>
  list?.includes(ALL) === true || hasAll(list, wanted);

function coversResources(owned: readonly string[] = [], wanted: readonly string[] = []): boolean {
  if (owned.includes(ALL) || hasAll(owned, wanted)) return true;
  return wanted.every((resource) => {
    if (owned.includes(resource)) return true;
    const slash = resource.indexOf('/');
    return slash >= 0 && owned.includes(`*/${resource.slice(slash + 1)}`);
  });
}

const coversPaths = (owned: readonly string[] = [], wanted: readonly string[] = []) =>
  wanted.every((path) => owned.some((pattern) => pathCovers(pattern, path)));

function coversNames(owned: readonly string[] = [], wanted: readonly string[] = []): boolean {
  return owned.length === 0 || (wanted.length > 0 && hasAll(owned, wanted));
}

const ruleCovers = (owned: PolicyRule, part: PolicyRule) =>
  coversAll(owned.verbs, part.verbs) &&
  coversAll(owned.apiGroups, part.apiGroups) &&
  coversResources(owned.resources, part.resources) &&
  coversPaths(owned.nonResourceURLs, part.nonResourceURLs) &&
  coversNames(owned.resourceNames, part.resourceNames);

/** The single permissions of `wanted` that `owned` does not grant. */
export function uncovered(owned: readonly PolicyRule[], wanted: readonly PolicyRule[]): PolicyRule[] {
  return wanted.flatMap(breakDown).filter((part) => !owned.some((rule) => ruleCovers(rule, part)));
}

/** Joins the verbs of permissions on the same resource, for a text or a listing. */
export function compacted(rules: readonly PolicyRule[]): PolicyRule[] {
  const compact: PolicyRule[] = [];
  const simple = new Map<string, PolicyRule>();
  for (const rule of rules) {
    const { apiGroups = [], resources = [], resourceNames = [], nonResourceURLs = [] } = rule;
    const isSimple = apiGroups.length === 1 && resources.length === 1 && resourceNames.length <= 1;
    const key = JSON.stringify([apiGroups, resources, resourceNames]);
    const present = isSimple && nonResourceURLs.length === 0 ? simple.get(key) : undefined;
    if (present) {
      for (const verb of rule.verbs) if (!present.verbs.includes(verb)) present.verbs.push(verb);
      continue;
    }
    const own = { ...rule, verbs: [...rule.verbs] };
    if (isSimple && nonResourceURLs.length === 0) simple.set(key, own);
    compact.push(own);
  }
  return compact;
}

const list = (name: string, items: readonly string[] | undefined) =>
  items === undefined || items.length === 0 ? [] : [`${name}:[${items.map((item) => JSON.stringify(item)).join(' ')}]`];

/** `{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}`. */
export function describeRule(rule: PolicyRule): string {
  const parts = [
    ...list('APIGroups', rule.apiGroups),
    ...list('Resources', rule.resources),
    ...list('NonResourceURLs', rule.nonResourceURLs),
    ...list('ResourceNames', rule.resourceNames),
    ...list('Verbs', rule.verbs),
  ];
  return `{${parts.join(', ')}}`;
}
