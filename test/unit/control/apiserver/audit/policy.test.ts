import assert from 'node:assert/strict';
import { decideAudit, parseAuditPolicy } from '../../../../../src/control/apiserver/audit/policy.js';
import type { AuthorizationAttributes } from '../../../../../src/security/authz/authorizer.js';

const ask = (more: Partial<AuthorizationAttributes>): AuthorizationAttributes => ({
  user: { name: 'eve', groups: ['devs', 'system:authenticated'] },
  verb: 'get',
  group: '',
  version: 'v1',
  resource: 'pods',
  subresource: '',
  namespace: 'ns',
  name: 'p',
  ...more,
});
const policyOf = (rules: string, more = '') =>
  parseAuditPolicy(`apiVersion: audit.k8s.io/v1\nkind: Policy\n${more}\nrules:\n${rules}`);

describe('audit policies', () => {
  it('take the first rule that matches, and record nothing where none does', () => {
    const policy = policyOf(`
- {level: None, users: [robot]}
- {level: Request, verbs: [create], resources: [{group: apps, resources: [deployments]}]}
- {level: Metadata, userGroups: [devs]}`);
    const levelOf = (more: Partial<AuthorizationAttributes>) => decideAudit(policy, ask(more)).level;
    assert.equal(levelOf({ user: { name: 'robot', groups: ['devs'] } }), 'None');
    assert.equal(levelOf({ verb: 'create', group: 'apps', resource: 'deployments' }), 'Request');
    assert.equal(levelOf({ verb: 'create', group: 'apps', resource: 'deployments', subresource: 'scale' }), 'Metadata');
    assert.equal(levelOf({}), 'Metadata');
    assert.equal(levelOf({ user: { name: 'other', groups: [] } }), 'None');
  });

  const patterns: [string, Partial<AuthorizationAttributes>, boolean][] = [
    ['pods', {}, true],
    ['pods', { subresource: 'log' }, false],
    ['pods/log', { subresource: 'log' }, true],
    ['pods/*', { subresource: 'log' }, true],
    ['*/log', { subresource: 'log' }, true],
    ['*/status', { subresource: 'log' }, false],
    ['*', { subresource: 'log' }, true],
  ];
  for (const [pattern, more, expected] of patterns) {
    it(`${expected ? 'match' : 'do not match'} ${more.subresource ? 'pods/log' : 'pods'} by ${pattern}`, () => {
      const policy = policyOf(`- {level: Metadata, resources: [{group: "", resources: ["${pattern}"]}]}`);
      assert.equal(decideAudit(policy, ask(more)).level, expected ? 'Metadata' : 'None');
    });
  }

  it('tell namespaces, names and the cluster scope apart', () => {
    const policy = policyOf(`
- {level: Metadata, namespaces: [""]}
- {level: Request, resources: [{group: "", resourceNames: [p]}], namespaces: [ns]}`);
    assert.equal(decideAudit(policy, ask({ namespace: '', resource: 'nodes' })).level, 'Metadata');
    assert.equal(decideAudit(policy, ask({})).level, 'Request');
    assert.equal(decideAudit(policy, ask({ name: 'q' })).level, 'None');
  });

  it('match paths that are no resources, with a star at the end', () => {
    const policy = policyOf(`
- {level: None, nonResourceURLs: ["/healthz*"]}
- {level: Metadata}`);
    assert.equal(decideAudit(policy, ask({ path: '/healthz/ping', resource: '' })).level, 'None');
    assert.equal(decideAudit(policy, ask({ path: '/version', resource: '' })).level, 'Metadata');
    assert.equal(decideAudit(policy, ask({})).level, 'Metadata');
  });

  it('add what a rule omits to what the policy omits', () => {
    const policy = policyOf('- {level: Metadata, omitStages: [ResponseStarted]}', 'omitStages: [RequestReceived]');
    assert.deepEqual([...decideAudit(policy, ask({})).omitStages], ['RequestReceived', 'ResponseStarted']);
  });

  it('are refused when they say something unknown or contradictory', () => {
    assert.throws(() => policyOf('- {level: Everything}'), /invalid audit policy: rules.0.level/);
    assert.throws(
      () => policyOf('- {level: Metadata, nonResourceURLs: [/a], namespaces: [b]}'),
      /cannot apply to both/,
    );
    assert.throws(() => parseAuditPolicy('kind: Policy'), /invalid audit policy/);
  });
});
