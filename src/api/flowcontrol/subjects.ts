/** Subjects of flow schemas: whose requests a schema is about (`flowcontrol.apiserver.k8s.io/v1 Subject`). */
import type { Subject } from '../types/flowcontrol-v1.js';

export const user = (name: string): Subject => ({ kind: 'User', user: { name } });
export const group = (name: string): Subject => ({ kind: 'Group', group: { name } });
export const serviceAccount = (namespace: string, name: string): Subject => ({
  kind: 'ServiceAccount',
  serviceAccount: { namespace, name },
});
export const ALL_AUTHENTICATED = group('system:authenticated');
export const ALL_UNAUTHENTICATED = group('system:unauthenticated');

const SERVICE_ACCOUNT_PREFIX = 'system:serviceaccount:';

/** Whether a user is who the subject means; `*` as a name means everybody of that sort. */
export function subjectMatches(
  subject: Subject,
  { name, groups }: { readonly name: string; readonly groups: readonly string[] },
): boolean {
  switch (subject.kind) {
    case 'User':
      return subject.user?.name === '*' || subject.user?.name === name;
    case 'Group':
      return subject.group?.name === '*' || groups.includes(subject.group?.name ?? '');
    case 'ServiceAccount': {
      if (!name.startsWith(SERVICE_ACCOUNT_PREFIX)) return false;
      const [namespace, account] = name.slice(SERVICE_ACCOUNT_PREFIX.length).split(':');
      const wanted = subject.serviceAccount;
      return wanted?.namespace === namespace && (wanted?.name === '*' || wanted?.name === account);
    }
    default:
      return false;
  }
}
