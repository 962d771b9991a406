/** Which requests a webhook or a policy is about: rules, namespace and object selectors. */
import type { KubeObject, LabelSelector } from '../../../api/object.js';
import { labelMatcher, type LabelMatcher } from '../../../api/selectors/label.js';
import type { MatchResources, NamedRuleWithOperations } from '../../../api/types/admissionregistration-v1.js';

export interface MatchedRequest {
  readonly operation: 'CREATE' | 'UPDATE' | 'DELETE' | 'CONNECT';
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly subresource: string;
  /** Empty for cluster-scoped objects. */
  readonly namespace: string;
  readonly name: string;
}

/** One way to name a resource: a group and version that serve it. */
export interface ResourceVersion {
  readonly group: string;
  readonly version: string;
  readonly resource: string;
}

const has = (values: readonly string[] | undefined, value: string): boolean =>
  values !== undefined && (values.includes('*') || values.includes(value));

function resourceMatches(resources: readonly string[] | undefined, resource: string, subresource: string): boolean {
  return (resources ?? []).some((entry) => {
    const [name = '', sub = ''] = entry.split('/', 2);
    return (name === '*' || name === resource) && (sub === '*' || sub === subresource);
  });
}

/** Whether a rule speaks of the request, named as `as`. */
export function ruleMatches(rule: NamedRuleWithOperations, request: MatchedRequest, as: ResourceVersion): boolean {
  const { scope, resourceNames } = rule;
  if (scope === 'Namespaced' && request.namespace === '') return false;
  if (scope === 'Cluster' && request.namespace !== '') return false;
  if (resourceNames !== undefined && resourceNames.length > 0 && !resourceNames.includes(request.name)) return false;
  return (
    has(rule.operations, request.operation) &&
    has(rule.apiGroups, as.group) &&
    has(rule.apiVersions, as.version) &&
    resourceMatches(rule.resources, as.resource, request.subresource)
  );
}

/**
 * How the first rule that matches names the resource: as the request does, or, unless only exact matches count, as another
 * version that serves the same objects.
 */
export function matchingVersion(
  rules: readonly NamedRuleWithOperations[] | undefined,
  request: MatchedRequest,
  exact: boolean,
  equivalents: () => readonly ResourceVersion[],
): ResourceVersion | undefined {
  const { group, version, resource } = request;
  if (rules === undefined || rules.length === 0) return undefined;
  if (rules.some((rule) => ruleMatches(rule, request, request))) return { group, version, resource };
  if (exact) return undefined;
  for (const other of equivalents()) if (rules.some((rule) => ruleMatches(rule, request, other))) return other;
  return undefined;
}

/** Configurations of admission itself are never subject to it: a bad one must stay removable. */
export const isExempt = ({ group, resource }: { group: string; resource: string }): boolean =>
  group === 'admissionregistration.k8s.io' && EXEMPT.has(resource);

const EXEMPT = new Set([
  'mutatingwebhookconfigurations',
  'validatingwebhookconfigurations',
  'mutatingadmissionpolicies',
  'mutatingadmissionpolicybindings',
  'validatingadmissionpolicies',
  'validatingadmissionpolicybindings',
]);

export interface Selectors {
  readonly namespaces: LabelMatcher;
  readonly objects: LabelMatcher;
}

/** A selector that is absent selects everything. */
export const compileSelector = (selector: LabelSelector | undefined): LabelMatcher => labelMatcher(selector ?? {});

export const compileSelectors = (match: Pick<MatchResources, 'namespaceSelector' | 'objectSelector'>): Selectors => ({
  namespaces: compileSelector(match.namespaceSelector),
  objects: compileSelector(match.objectSelector),
});

/** Requests about cluster-scoped objects other than namespaces are never left out by a namespace selector. */
export function namespaceMatches(
  matcher: LabelMatcher,
  request: MatchedRequest,
  object: KubeObject | undefined,
  namespaceOf: (name: string) => KubeObject | undefined,
): boolean {
  if (matcher.empty) return true;
  if (request.group === '' && request.resource === 'namespaces' && request.subresource === '' && object !== undefined) {
    return matcher.matches(object.metadata.labels);
  }
  if (request.namespace === '') return true;
  return matcher.matches(namespaceOf(request.namespace)?.metadata.labels);
}

/** The new or the old object's labels; objects without metadata (options of connections) only fit the empty selector. */
export function objectMatches(matcher: LabelMatcher, ...objects: readonly (KubeObject | undefined)[]): boolean {
  if (matcher.empty) return true;
  return objects.some((object) => {
    const metadata = object?.metadata as KubeObject['metadata'] | undefined;
    return metadata !== undefined && matcher.matches(metadata.labels);
  });
}
