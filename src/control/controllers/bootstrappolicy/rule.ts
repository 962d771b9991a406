/** Short forms for the tables of the default policy: lists are words in one string, `core` is the group without a name. */
import type { PolicyRule, Subject } from '../../../api/types/rbac-v1.js';

export const RBAC_GROUP = 'rbac.authorization.k8s.io';

export const READ = 'get list watch';
export const WRITE = 'create update patch delete deletecollection';

const words = (text: string) => text.split(/\s+/).filter((word) => word !== '');

/** As upstream writes them: verbs, groups and resources in alphabetical order. */
const sorted = (text: string) => words(text).toSorted();
const groupsOf = (text: string) => sorted(text).map((group) => (group === 'core' ? '' : group));

export function rule(verbs: string, groups: string, resources: string, names?: string): PolicyRule {
  return {
    verbs: sorted(verbs),
    apiGroups: groupsOf(groups).toSorted(),
    resources: sorted(resources),
    ...(names === undefined ? {} : { resourceNames: sorted(names) }),
  };
}

export const paths = (verbs: string, urls: string): PolicyRule => ({
  verbs: sorted(verbs),
  nonResourceURLs: sorted(urls),
});

/** Events of both groups. */
export const EVENTS: PolicyRule = rule('create update patch', 'core events.k8s.io', 'events');

export const group = (name: string): Subject => ({ kind: 'Group', apiGroup: RBAC_GROUP, name });
export const user = (name: string): Subject => ({ kind: 'User', apiGroup: RBAC_GROUP, name });
export const account = (name: string): Subject => ({ kind: 'ServiceAccount', namespace: 'kube-system', name });

export type Rules = readonly PolicyRule[];
