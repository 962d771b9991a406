/** How an aggregated server is told who asks (Kubernetes' "Authenticating Proxy"; names as kubeadm configures them). */
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';
import type { UserInfo } from '../../../security/authn/user.js';

/** What says so at kube-apiserver, and what an aggregated server reads of it in `extension-apiserver-authentication`. */
export const USERNAME_HEADER = 'X-Remote-User';
export const GROUP_HEADER = 'X-Remote-Group';
export const EXTRA_PREFIX = 'X-Remote-Extra-';

/** What a client may have said of itself, or was believed here already: nobody but this server says who asks. */
const DROPPED = /^(?:x-remote-(?:user|uid|group$|extra-)|impersonate-)/i;
/** Bytes that may be in a header's name (RFC 9110, 5.6.2). `%` begins an escape. */
const NAME_BYTE = /[!#$&'*+\-.^_`|~0-9A-Za-z]/;

/** Header values are bytes; those of a name are UTF-8. */
const bytesOf = (text: string): string => Buffer.from(text, 'utf8').toString('latin1');

const escapedName = (key: string): string =>
  [...Buffer.from(key, 'utf8')]
    .map((byte) => {
      const text = String.fromCharCode(byte);
      return byte < 0x80 && NAME_BYTE.test(text) ? text : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
    })
    .join('');

/** Throws (a TypeError, when they are sent) for names with control characters. */
export function frontProxyHeaders({ name, groups, extra = {} }: UserInfo): OutgoingHttpHeaders {
  const headers: OutgoingHttpHeaders = { [USERNAME_HEADER]: bytesOf(name) };
  if (groups.length > 0) headers[GROUP_HEADER] = groups.map(bytesOf);
  for (const [key, values] of Object.entries(extra)) headers[EXTRA_PREFIX + escapedName(key)] = values.map(bytesOf);
  return headers;
}

export function withoutClaims<T extends IncomingHttpHeaders | OutgoingHttpHeaders>(headers: T): OutgoingHttpHeaders {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !DROPPED.test(name)));
}
