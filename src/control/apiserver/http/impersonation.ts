/**
 * Acting as somebody else: the `Impersonate-User`, `-Group`, `-Uid` and `-Extra-*` headers (`kubectl --as`). Whoever sends them
 * must be allowed to impersonate each of the named users, groups, uids and extras; the request then counts as theirs.
 */
import { ApiError } from '../../../api/errors.js';
import {
  ANONYMOUS_USER,
  AUTHENTICATED_GROUP,
  UNAUTHENTICATED_GROUP,
  type UserInfo,
} from '../../../security/authn/user.js';
import type { Authorizer } from '../../../security/authz/authorizer.js';
import { requireAllowed } from './access.js';
import type { ApiRequest } from './exchange.js';

const PREFIX = 'impersonate-';
const EXTRA_PREFIX = 'impersonate-extra-';
const AUTHENTICATION_GROUP = 'authentication.k8s.io';
const SERVICE_ACCOUNT = /^system:serviceaccount:([^:]+):([^:]+)$/;

interface Wanted {
  readonly name: string;
  readonly groups: readonly string[];
  readonly uid: string;
  readonly extra: Readonly<Record<string, readonly string[]>>;
}

/** Extra keys are sent percent-encoded, since header names allow less than they do. */
function extraKey(header: string): string {
  const key = header.slice(EXTRA_PREFIX.length).toLowerCase();
  try {
    return decodeURIComponent(key);
  } catch {
    return key;
  }
}

function isImpersonating({ headers }: ApiRequest): boolean {
  for (const name in headers) if (name.startsWith(PREFIX)) return true;
  return false;
}

/** The values of each header, one by one: groups and extras are sent in several headers of one name. */
function headerValues({ rawHeaders }: ApiRequest): ReadonlyMap<string, readonly string[]> {
  const values = new Map<string, string[]>();
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]?.toLowerCase() ?? '';
    if (!name.startsWith(PREFIX)) continue;
    const known = values.get(name);
    if (known) known.push(rawHeaders[i + 1] ?? '');
    else values.set(name, [rawHeaders[i + 1] ?? '']);
  }
  return values;
}

function wantedBy(request: ApiRequest): Wanted | undefined {
  const { url = '' } = request;
  const headers = headerValues(request);
  const all = (name: string) => (headers.get(name) ?? []).filter((value) => value !== '');
  const name = all('impersonate-user')[0] ?? '';
  const groups = all('impersonate-group');
  const uid = all('impersonate-uid')[0] ?? '';
  const extra: Record<string, string[]> = {};
  for (const header of headers.keys()) {
    if (header.startsWith(EXTRA_PREFIX)) extra[extraKey(header)] = all(header);
  }
  const rest = [...groups, ...(uid === '' ? [] : [uid]), ...Object.keys(extra)];
  if (name !== '') return { name, groups, uid, extra };
  if (rest.length === 0) return undefined;
  const cause = `requested [${rest.join(' ')}] without impersonating a user`;
  throw new ApiError(500, 'InternalError', `Internal Server Error: ${JSON.stringify(url)}: ${cause}`);
}

function requirePermitted(user: UserInfo, { name, groups, uid, extra }: Wanted, authorizer: Authorizer): void {
  const common = { user, verb: 'impersonate', group: '', version: 'v1', subresource: '', namespace: '' };
  const [, accountNamespace, account] = SERVICE_ACCOUNT.exec(name) ?? [];
  if (accountNamespace !== undefined && account !== undefined) {
    const attributes = { ...common, resource: 'serviceaccounts', namespace: accountNamespace, name: account };
    requireAllowed(authorizer, attributes);
  } else requireAllowed(authorizer, { ...common, resource: 'users', name });
  for (const group of groups) requireAllowed(authorizer, { ...common, resource: 'groups', name: group });
  const authentication = { ...common, group: AUTHENTICATION_GROUP };
  for (const [key, values] of Object.entries(extra)) {
    for (const value of values) {
      requireAllowed(authorizer, { ...authentication, resource: 'userextras', subresource: key, name: value });
    }
  }
  if (uid !== '') requireAllowed(authorizer, { ...authentication, resource: 'uids', name: uid });
}

/** The groups that come with being somebody, besides those asked for. */
function groupsOf({ name, groups }: Wanted): readonly string[] {
  const [, namespace] = SERVICE_ACCOUNT.exec(name) ?? [];
  const isAccount = namespace !== undefined && groups.length === 0;
  const all = isAccount ? ['system:serviceaccounts', `system:serviceaccounts:${namespace}`] : groups;
  if (all.includes(AUTHENTICATED_GROUP) || all.includes(UNAUTHENTICATED_GROUP)) return all;
  return [...all, name === ANONYMOUS_USER ? UNAUTHENTICATED_GROUP : AUTHENTICATED_GROUP];
}

/**
 * Who the request counts as: `user` itself unless it impersonates. The headers are taken out, so that nothing behind acts on
 * them again. Throws a 403 for what the user may not, and a 500 for headers that name nobody, as upstream.
 */
export function actingUser(request: ApiRequest, user: UserInfo, authorizer: Authorizer): UserInfo {
  if (!isImpersonating(request)) return user;
  const wanted = wantedBy(request);
  for (const name of Object.keys(request.headers)) if (name.startsWith(PREFIX)) delete request.headers[name];
  if (wanted === undefined) return user;
  requirePermitted(user, wanted, authorizer);
  const { name, uid, extra } = wanted;
  return {
    name,
    groups: groupsOf(wanted),
    ...(uid === '' ? {} : { uid }),
    ...(Object.keys(extra).length === 0 ? {} : { extra }),
  };
}
