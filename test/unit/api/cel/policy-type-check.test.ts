import assert from 'node:assert/strict';
import { typeCheckPolicy } from '../../../../src/api/cel/policy-type-check.js';
import { KindRegistry } from '../../../../src/api/schema/registry.js';

describe('type checks of admission policies', () => {
  const registry = KindRegistry.load();
  const check = (expression: string, resources = ['deployments'], apiGroups = ['apps']) =>
    typeCheckPolicy(
      {
        metadata: { name: 'p' },
        spec: {
          matchConstraints: { resourceRules: [{ apiGroups, apiVersions: ['v1'], operations: ['*'], resources }] },
          variables: [{ name: 'spec', expression: 'object.spec' }],
          validations: [{ expression }],
        },
      },
      (group, version, resource) => registry.find(group, version, resource),
    );

  it('finds nothing wrong with expressions that fit', () => {
    assert.deepEqual(
      check('object.spec.replicas > 1 && variables.spec.template.spec.containers.all(c, c.name != "")'),
      [],
    );
    assert.deepEqual(
      check(
        "object.metadata.labels['a'] == 'b' && has(object.metadata.__namespace__) && has(object.metadata.namespace)",
      ),
      [],
    );
    assert.deepEqual(check('object.anything.goes == 1', ['*']), []);
  });

  it('names the kind and the place of what does not fit', () => {
    const [warning, ...more] = check('object.spec.replicas > "1"');
    assert.deepEqual(more, []);
    assert.equal(warning?.fieldRef, 'spec.validations[0].expression');
    assert.match(
      warning.warning,
      /^apps\/v1, Kind=Deployment: ERROR: <input>:1:22: found no matching overload for '_>_'/,
    );
    assert.match(check('variables.spec.replica == 1')[0]?.warning ?? '', /undefined field 'replica'/);
  });

  it('copes with schemas that contain themselves', () => {
    const expression = 'object.spec.versions.all(v, v.schema.openAPIV3Schema.properties.all(k, k != ""))';
    assert.deepEqual(check(expression, ['customresourcedefinitions'], ['apiextensions.k8s.io']), []);
  });
});
