/** Which flow a request belongs to (API Priority and Fairness): the first FlowSchema, by precedence, that matches it. */
import { subjectMatches } from '../../../api/flowcontrol/subjects.js';
import type { FlowSchema, NonResourcePolicyRule, ResourcePolicyRule } from '../../../api/types/flowcontrol-v1.js';
import type { AuthorizationAttributes } from '../../../security/authz/authorizer.js';

const DEFAULT_PRECEDENCE = 1000;

const allows = (list: readonly string[] | undefined, value: string) =>
  list !== undefined && (list.includes('*') || list.includes(value));

function resourceMatches(rule: ResourcePolicyRule, asked: AuthorizationAttributes): boolean {
  const { verb, group, resource, subresource, namespace } = asked;
  if (!allows(rule.verbs, verb) || !allows(rule.apiGroups, group)) return false;
  if (!allows(rule.resources, subresource === '' ? resource : `${resource}/${subresource}`)) return false;
  return namespace === '' ? rule.clusterScope === true : allows(rule.namespaces, namespace);
}

function pathMatches({ verbs, nonResourceURLs }: NonResourcePolicyRule, verb: string, path: string): boolean {
  if (!allows(verbs, verb)) return false;
  return nonResourceURLs.some(
    (url) => url === '*' || url === path || (url.endsWith('/*') && path.startsWith(url.slice(0, -1))),
  );
}

/** Whether the schema is about this request. */
export function flowMatches({ spec }: FlowSchema, asked: AuthorizationAttributes): boolean {
  const { path, user, verb } = asked;
  return (spec?.rules ?? []).some(({ subjects, resourceRules = [], nonResourceRules = [] }) => {
    if (!subjects.some((subject) => subjectMatches(subject, user))) return false;
    if (path !== undefined) return nonResourceRules.some((rule) => pathMatches(rule, verb, path));
    return resourceRules.some((rule) => resourceMatches(rule, asked));
  });
}

/** By precedence, then by name: the order in which schemas are tried. */
export const compareFlows = (a: FlowSchema, b: FlowSchema): number =>
  (a.spec?.matchingPrecedence ?? DEFAULT_PRECEDENCE) - (b.spec?.matchingPrecedence ?? DEFAULT_PRECEDENCE) ||
  ((a.metadata.name ?? '') < (b.metadata.name ?? '') ? -1 : 1);

/** What tells the flows of one schema apart. */
export function distinguisherOf({ spec }: FlowSchema, { user, namespace }: AuthorizationAttributes): string {
  const method = spec?.distinguisherMethod?.type;
  return method === 'ByUser' ? user.name : method === 'ByNamespace' ? namespace : '';
}
