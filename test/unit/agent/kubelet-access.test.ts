import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { kubeletAuthorization } from '../../../src/agent/kubelet-access.js';
import { Authenticator } from '../../../src/security/authn/authenticator.js';
import type { Authorizer } from '../../../src/security/authz/authorizer.js';

interface Caller {
  readonly certificate?: { readonly CN: string; readonly O?: string | string[] };
  readonly token?: string;
  readonly url?: string;
  readonly method?: string;
}

const authenticator = new Authenticator([
  {
    authenticate: (token) =>
      Promise.resolve(token === 'good' ? { user: { name: 'prom', groups: [] }, audiences: [] } : undefined),
  },
]);

/** What the kubelet of `n1` says when `prom` may get `nodes/metrics` of it. */
function verdict({ certificate, token, url = '/pods', method = 'GET' }: Caller): Promise<boolean | string> {
  const authorizer: Authorizer = {
    authorize: ({ user, verb, resource, subresource, name }) => ({
      decision:
        [user.name, verb, resource, subresource, name].join() === 'prom,get,nodes,metrics,n1' ? 'allow' : 'no-opinion',
      reason: '',
    }),
  };
  const request = {
    url,
    method,
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    socket: { authorized: certificate !== undefined, getPeerCertificate: () => ({ subject: certificate }) },
  };
  return kubeletAuthorization({ authenticator, authorizer }, 'n1')(request as unknown as IncomingMessage);
}

describe('access to a kubelet', () => {
  it('is given to peers and administrators', async () => {
    assert.equal(await verdict({ certificate: { CN: 'system:node:n2', O: 'system:nodes' } }), true);
    assert.equal(await verdict({ certificate: { CN: 'admin', O: ['x', 'system:masters'] }, method: 'POST' }), true);
  });

  it('is not given to strangers', async () => {
    assert.equal(await verdict({}), false);
    assert.equal(await verdict({ token: 'bad' }), false);
  });

  it('is given to others as roles say about the node', async () => {
    assert.equal(await verdict({ token: 'good', url: '/metrics/resource?x=y' }), true);
    assert.equal(
      await verdict({ token: 'good', url: '/exec/ns/pod/c?command=sh', method: 'POST' }),
      'Forbidden (user=prom, verb=create, resource=nodes, subresource(s)=[proxy])\n',
    );
    assert.match(String(await verdict({ certificate: { CN: 'anna' }, url: '/metrics' })), /^Forbidden \(user=anna/);
  });
});
