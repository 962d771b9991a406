/**
 * Who may use this machine's kubelet port. Peers and administrators may do everything there: an API server reaches the kubelets
 * of others with its machine's certificate. Everybody else (a collector of metrics, say) is judged as upstream's kubelet asks:
 * by what they may do to `nodes/stats`, `nodes/metrics`, `nodes/log`, `nodes/spec` or, for the rest, `nodes/proxy` of this node.
 */
import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';
import { ApiError } from '../api/errors.js';
import { type Authenticator, bearerTokenOf, subjectOf } from '../security/authn/authenticator.js';
import { ANONYMOUS_USER, MASTERS_GROUP, NODES_GROUP, type UserInfo } from '../security/authn/user.js';
import type { Authorizer } from '../security/authz/authorizer.js';

const VERBS: Readonly<Record<string, string>> = {
  POST: 'create',
  PUT: 'update',
  PATCH: 'patch',
  DELETE: 'delete',
};
const SUBRESOURCES: Readonly<Record<string, string>> = {
  stats: 'stats',
  metrics: 'metrics',
  logs: 'log',
  spec: 'spec',
};

/** True: go on. False: nobody knows the caller. A text: the caller may not. */
export type KubeletVerdict = boolean | string;

export interface KubeletAccess {
  readonly authenticator: Authenticator;
  readonly authorizer: Authorizer;
}

async function userOf(request: IncomingMessage, authenticator: Authenticator): Promise<UserInfo | undefined> {
  const socket = request.socket as TLSSocket;
  const certificate = socket.authorized ? subjectOf(socket.getPeerCertificate()) : undefined;
  const bearerToken = bearerTokenOf(request.headers.authorization);
  try {
    return await authenticator.authenticate({
      ...(certificate ? { certificate } : {}),
      ...(bearerToken === undefined ? {} : { bearerToken }),
    });
  } catch (error) {
    if (error instanceof ApiError) return undefined;
    throw error;
  }
}

export function kubeletAuthorization({ authenticator, authorizer }: KubeletAccess, nodeName: string) {
  return async (request: IncomingMessage): Promise<KubeletVerdict> => {
    const user = await userOf(request, authenticator);
    if (!user || user.name === ANONYMOUS_USER) return false;
    if (user.groups.includes(MASTERS_GROUP) || user.groups.includes(NODES_GROUP)) return true;
    const [, first = ''] = (request.url ?? '/').split(/[/?]/);
    const subresource = SUBRESOURCES[first] ?? 'proxy';
    const verb = VERBS[request.method ?? ''] ?? 'get';
    const about = { group: '', version: 'v1', resource: 'nodes', subresource, namespace: '', name: nodeName };
    if (authorizer.authorize({ user, verb, ...about }).decision === 'allow') return true;
    return `Forbidden (user=${user.name}, verb=${verb}, resource=nodes, subresource(s)=[${subresource}])\n`;
  };
}
