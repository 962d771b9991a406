import assert from 'node:assert/strict';
import type { KubeObject } from '../../../../../src/api/object.js';
import type { APIServiceSpec } from '../../../../../src/api/types/apiregistration-v1.js';
import {
  frontProxyHeaders,
  withoutClaims,
} from '../../../../../src/control/apiserver/aggregation/front-proxy-headers.js';
import { RemoteApis } from '../../../../../src/control/apiserver/aggregation/remote-apis.js';
import { asAggregated } from '../../../../../src/control/apiserver/discovery/aggregated-form.js';
import type { StoreEvent } from '../../../../../src/store/object-store.js';

const service = { namespace: 'ns', name: 'svc' };
const apiService = (version: string, group: string, spec: Partial<APIServiceSpec> = {}): KubeObject =>
  ({
    metadata: { name: `${version}.${group}` },
    spec: { group, version, groupPriorityMinimum: 1000, versionPriority: 100, ...spec },
  }) as KubeObject;
const event = (type: StoreEvent['type'], object: KubeObject): StoreEvent => ({
  type,
  key: { group: 'apiregistration.k8s.io', resource: 'apiservices', namespace: '', name: object.metadata.name ?? '' },
  object,
  previous: undefined,
  revision: 1 as StoreEvent['revision'],
});

describe('the index of APIServices', () => {
  let told: string[];
  let apis: RemoteApis;
  beforeEach(() => {
    told = [];
    apis = new RemoteApis(
      (group) => group === 'apps',
      (name) => told.push(name),
    );
  });

  it('knows whose a path is', () => {
    apis.reset([apiService('v1', 'a.io', { service }), apiService('v1', 'b.io')]);
    for (const path of ['/apis/a.io/v1', '/apis/a.io/v1/', '/apis/a.io/v1/things/x', '/openapi/v3/apis/a.io/v1']) {
      assert.equal(apis.at(path)?.name, 'v1.a.io', path);
    }
    for (const path of ['/apis/a.io', '/apis/a.io/v2/things', '/apis/b.io/v1', '/api/v1', '/', '/xapis/a.io/v1']) {
      assert.equal(apis.at(path), undefined, path);
    }
    assert.deepEqual(apis.at('/apis/a.io/v1')?.service, { ...service, port: 443 });
  });

  it('leaves what the cluster serves itself alone', () => {
    apis.reset([apiService('v1', 'apps', { service })]);
    assert.equal(apis.at('/apis/apps/v1/deployments'), undefined);
    assert.deepEqual(told, []);
  });

  it('follows changes, and tells of those that concern other servers', () => {
    apis.changed(event('ADDED', apiService('v1', 'a.io', { service })));
    apis.changed(event('MODIFIED', apiService('v1', 'a.io')));
    assert.equal(apis.at('/apis/a.io/v1'), undefined);
    apis.changed(event('MODIFIED', apiService('v1', 'a.io')));
    assert.deepEqual(told, ['v1.a.io', 'v1.a.io']);
    apis.changed(event('MODIFIED', apiService('v1', 'a.io', { service })));
    apis.changed(event('DELETED', apiService('v1', 'a.io', { service })));
    assert.equal(apis.find('a.io', 'v1'), undefined);
    assert.equal(told.length, 4);
    apis.changed(event('ADDED', apiService('v1', 'a.io', { service })));
    apis.reset([]);
    assert.equal(apis.find('a.io', 'v1'), undefined);
    assert.equal(told.length, 6);
  });

  it('orders groups and versions by priority, then by name and maturity', () => {
    apis.reset([
      apiService('v1', 'low.io', { groupPriorityMinimum: 10 }),
      apiService('v1alpha1', 'high.io', { groupPriorityMinimum: 10, versionPriority: 5 }),
      apiService('v1', 'high.io', { groupPriorityMinimum: 5000, versionPriority: 1 }),
    ]);
    const ordered = apis.ordered([
      { group: 'low.io', versions: ['v1'] },
      { group: 'b.io', versions: ['v1beta1', 'v1'] },
      { group: 'a.io', versions: ['v1'] },
      { group: 'high.io', versions: ['v1', 'v1alpha1'] },
    ]);
    assert.deepEqual(ordered, [
      { group: 'high.io', versions: ['v1alpha1', 'v1'] },
      { group: 'a.io', versions: ['v1'] },
      { group: 'b.io', versions: ['v1', 'v1beta1'] },
      { group: 'low.io', versions: ['v1'] },
    ]);
  });
});

describe('what aggregated servers are told of a user', () => {
  it('is written so that headers can carry it', () => {
    const extra = { 'authentication.kubernetes.io/credential-id': ['X509SHA256=ab'], 'ä%': ['1', '2'] };
    assert.deepEqual(frontProxyHeaders({ name: 'zoë', groups: ['a', 'b'], extra }), {
      'X-Remote-User': 'zo\u00c3\u00ab',
      'X-Remote-Group': ['a', 'b'],
      'X-Remote-Extra-authentication.kubernetes.io%2Fcredential-id': ['X509SHA256=ab'],
      'X-Remote-Extra-%C3%A4%25': ['1', '2'],
    });
  });

  it('comes from nobody else', () => {
    const kept = { accept: '*/*', 'x-remote-address': 'a' };
    const claims = { 'x-remote-user': 'a', 'x-remote-group': 'b', 'x-remote-uid': 'c', 'x-remote-extra-x': 'd' };
    assert.deepEqual(withoutClaims({ ...kept, ...claims, 'impersonate-user': 'e' }), kept);
  });
});

describe('resources of another server in discovery', () => {
  it('have their subresources, and kinds of other groups', () => {
    const found = asAggregated(
      { group: 'a.io', version: 'v1' },
      {
        resources: [
          { name: 'things', singularName: 'thing', namespaced: true, kind: 'Thing', verbs: ['get'], shortNames: ['t'] },
          { name: 'things/scale', kind: 'Scale', group: 'autoscaling', version: 'v1', verbs: ['get'] },
          'rubbish',
          { kind: 'Nameless' },
        ],
      },
    );
    assert.deepEqual(found, [
      {
        resource: 'things',
        responseKind: { group: 'a.io', version: 'v1', kind: 'Thing' },
        scope: 'Namespaced',
        singularResource: 'thing',
        verbs: ['get'],
        shortNames: ['t'],
        subresources: [
          {
            subresource: 'scale',
            responseKind: { group: 'autoscaling', version: 'v1', kind: 'Scale' },
            verbs: ['get'],
          },
        ],
      },
    ]);
    assert.throws(() => asAggregated({ group: 'a.io', version: 'v1' }, { kind: 'Status' }));
  });
});
