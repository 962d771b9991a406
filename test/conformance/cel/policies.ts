/** Admission policies and match conditions written in CEL. */
import assert from 'node:assert/strict';
import { podTemplate, webhooks } from '../api/fixtures.js';
import type { Context, Rows, RowTest } from '../framework/context.js';
import { eventually, refused } from '../framework/expect.js';
import type { Json } from '../framework/http.js';

const GROUP = 'admissionregistration.k8s.io/v1';

const badMatchCondition =
  (plural: 'mutatingwebhookconfigurations' | 'validatingwebhookconfigurations'): RowTest =>
  async (t) => {
    const { kind, body } = webhooks(plural);
    const name = t.unique('bad-condition');
    const object = { apiVersion: GROUP, kind, metadata: { name }, ...body?.(0, name) };
    object.webhooks[0].matchConditions = [{ name: 'bad', expression: '... [] bad expression' }];
    const resource = t.resource(GROUP, plural);
    t.cleanup(() => resource.delete(name));
    const message = /compilation failed/;
    const { details } = await refused(resource.create(object), { status: 422, reason: 'Invalid', message });
    assert.equal(details.causes[0].field, 'webhooks[0].matchConditions[0].expression');
  };

const deployment = (name: string, replicas: number): Json => ({
  metadata: { name },
  spec: { replicas, selector: { matchLabels: { app: 'a' } }, template: podTemplate('a') },
});

/** A policy on Deployments of one new namespace, bound. */
async function policed(t: Context, kind: 'Validating' | 'Mutating', spec: Json, binding: Json): Promise<string> {
  const label = { 'conformance.example.com/policy': t.unique('policy') };
  const namespace = await t.namespace('policy', label);
  const policies = t.resource(GROUP, `${kind.toLowerCase()}admissionpolicies`);
  const bindings = t.resource(GROUP, `${kind.toLowerCase()}admissionpolicybindings`);
  const name = t.unique('policy.conformance.example.com').replaceAll('.', '-');
  const rule = { apiGroups: ['apps'], apiVersions: ['v1'], operations: ['CREATE'], resources: ['deployments'] };
  const matchConstraints = { namespaceSelector: { matchLabels: label }, resourceRules: [rule] };
  await policies.create({ metadata: { name }, spec: { failurePolicy: 'Fail', matchConstraints, ...spec } });
  t.cleanup(() => policies.delete(name));
  await bindings.create({ metadata: { name }, spec: { policyName: name, ...binding } });
  t.cleanup(() => bindings.delete(name));
  return namespace;
}

/** Many replicas are refused in these words, few are not; policies need a moment to take effect. */
async function refusesMany(t: Context, validations: Json): Promise<void> {
  const namespace = await policed(t, 'Validating', validations, { validationActions: ['Deny'] });
  const deployments = t.resource('apps/v1', 'deployments', namespace);
  await eventually('the policy to refuse', async () => {
    const many = deployment(t.unique('many'), 2);
    const answer = await t.api.send('POST', deployments.path(), { body: many });
    return answer.status === 422;
  });
  const message = /ValidatingAdmissionPolicy '.+' with binding '.+' denied request: wants 2 replicas/;
  await refused(deployments.create(deployment('many', 2)), { status: 422, reason: 'Invalid', message });
  await deployments.create(deployment('few', 1));
}

const messageExpression = "'wants ' + string(object.spec.replicas) + ' replicas'";

/** What a mutating policy makes of a Deployment, once it is in effect. */
async function mutates(t: Context, expression: string, check: (object: Json) => boolean): Promise<void> {
  const mutations = [{ patchType: 'ApplyConfiguration', applyConfiguration: { expression } }];
  const namespace = await policed(t, 'Mutating', { reinvocationPolicy: 'Never', mutations }, {});
  const deployments = t.resource('apps/v1', 'deployments', namespace);
  await eventually('the policy to mutate', async () => check(await deployments.create(deployment(t.unique('d'), 1))));
}

export const rows: Rows = {
  'webhook-mutating-bad-matchconditions': badMatchCondition('mutatingwebhookconfigurations'),
  'webhook-validating-bad-matchconditions': badMatchCondition('validatingwebhookconfigurations'),
  'vap-deployment': (t) =>
    refusesMany(t, { validations: [{ expression: 'object.spec.replicas <= 1', messageExpression }] }),
  'vap-variables': (t) =>
    refusesMany(t, {
      variables: [
        { name: 'replicas', expression: 'object.spec.replicas' },
        { name: 'oddReplicas', expression: 'variables.replicas % 2 == 1' },
      ],
      validations: [
        { expression: 'variables.replicas > 0' },
        {
          expression: 'variables.oddReplicas',
          messageExpression: "'wants ' + string(variables.replicas) + ' replicas'",
        },
      ],
    }),
  'map-mutate-deployment': (t) =>
    mutates(t, 'Object{spec: Object.spec{replicas: 3}}', ({ spec }) => spec.replicas === 3),
  'map-mutate-annotations': (t) =>
    mutates(
      t,
      'Object{metadata: Object.metadata{annotations: {"my-annotation": "my-value"}}}',
      ({ metadata }) => metadata.annotations?.['my-annotation'] === 'my-value',
    ),
};
