import assert from 'node:assert/strict';
import {
  validateDefinition,
  validateDefinitionUpdate,
} from '../../../../src/api/customresources/definition-validation.js';
import { withStatus } from '../../../../src/api/customresources/status.js';
import type { CustomResourceDefinition, JSONSchemaProps } from '../../../../src/api/types/apiextensions-v1.js';
import { FieldErrors } from '../../../../src/api/validation/field-errors.js';

type Spec = CustomResourceDefinition['spec'];

export function definition(schema: JSONSchemaProps, change: Partial<Spec> = {}): CustomResourceDefinition {
  return {
    metadata: { name: 'foos.example.com' },
    spec: {
      group: 'example.com',
      scope: 'Namespaced',
      names: { plural: 'foos', singular: 'foo', kind: 'Foo', listKind: 'FooList' },
      versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: schema } }],
      conversion: { strategy: 'None' },
      ...change,
    },
  };
}

const texts = (errors: FieldErrors) => errors.list.map(({ field, message }) => `${field}: ${message}`);
const check = (object: CustomResourceDefinition) => {
  const errors = new FieldErrors();
  validateDefinition(errors, object);
  return texts(errors);
};
const inSpec = (spec: JSONSchemaProps): JSONSchemaProps => ({ type: 'object', properties: { spec } });
const AT = 'spec.validation.openAPIV3Schema';

describe('validation of CustomResourceDefinitions', () => {
  it('takes a structural schema', () => {
    const spec: JSONSchemaProps = {
      type: 'object',
      required: ['size'],
      properties: {
        size: { type: 'integer', default: 3, minimum: 1 },
        port: { 'x-kubernetes-int-or-string': true, anyOf: [{ type: 'integer' }, { type: 'string' }] },
        any: { 'x-kubernetes-preserve-unknown-fields': true },
        list: {
          type: 'array',
          'x-kubernetes-list-type': 'map',
          'x-kubernetes-list-map-keys': ['name'],
          items: { type: 'object', required: ['name'], properties: { name: { type: 'string' } } },
        },
      },
      oneOf: [{ required: ['size'] }, { required: ['port'], properties: { port: { not: { enum: [1] } } } }],
      'x-kubernetes-validations': [{ rule: 'self.size < 5', message: 'too big' }],
    };
    assert.deepEqual(check(definition(inSpec(spec))), []);
  });

  const schemas: readonly [string, JSONSchemaProps, string][] = [
    [
      'a field without a type',
      inSpec({ properties: {} }),
      `${AT}.properties[spec].type: Required value: must not be empty for specified object fields`,
    ],
    [
      'an array without items',
      inSpec({ type: 'array' }),
      `${AT}.properties[spec].items: Required value: must be specified`,
    ],
    [
      'properties beside additionalProperties',
      inSpec({ type: 'object', properties: { a: { type: 'string' } }, additionalProperties: { type: 'string' } }),
      `${AT}.properties[spec].additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive`,
    ],
    [
      'unique items',
      inSpec({ type: 'array', items: { type: 'string' }, uniqueItems: true }),
      `${AT}.properties[spec].uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic`,
    ],
    [
      'a type in an alternative',
      inSpec({ type: 'object', anyOf: [{ type: 'object' }] }),
      `${AT}.properties[spec].anyOf[0].type: Forbidden: must be empty to be structural`,
    ],
    [
      'a field that only an alternative knows',
      inSpec({ type: 'object', allOf: [{ properties: { a: { minimum: 1 } } }] }),
      `${AT}.properties[spec].properties[a]: Required value: because it is defined in ${AT}.properties[spec].allOf[0].properties[a]`,
    ],
    [
      'restrictions of metadata',
      { type: 'object', properties: { metadata: { type: 'object', properties: { labels: { type: 'object' } } } } },
      `${AT}.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified`,
    ],
    [
      'a default of another type',
      inSpec({ type: 'integer', default: 'x' }),
      `${AT}.properties[spec].default: Invalid value: "string": ${AT}.properties[spec].default in body must be of type integer: "string"`,
    ],
    [
      'a default with unknown fields',
      inSpec({ type: 'object', default: { x: 1 } }),
      `${AT}.properties[spec].default: Invalid value: {"x":1}: must not have unknown fields`,
    ],
    [
      'a rule that does not compile',
      inSpec({
        type: 'object',
        properties: { a: { type: 'string' } },
        'x-kubernetes-validations': [{ rule: 'self.b == 1' }],
      }),
      'undefined field',
    ],
    [
      'list keys that need not be there',
      inSpec({
        type: 'array',
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['a'],
        items: { type: 'object', properties: { a: { type: 'string' } } },
      }),
      `${AT}.properties[spec].items.properties[a].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property`,
    ],
    [
      'a pattern that is none',
      inSpec({ type: 'string', pattern: '(' }),
      `${AT}.properties[spec].pattern: Invalid value: "(": must be a valid regular expression, but isn't: `,
    ],
  ];
  for (const [name, schema, expected] of schemas) {
    it(`refuses ${name}`, () => {
      const found = check(definition(schema));
      assert.ok(
        found.some((text) => text.startsWith(expected) || text.includes(expected)),
        found.join('\n') || 'no error',
      );
    });
  }

  it('refuses keywords that hold something else, wherever they are', () => {
    const items = { type: 'object', required: 5, properties: { a: 'x' }, enum: 'abc' } as unknown as JSONSchemaProps;
    const found = check(definition(inSpec({ type: 'array', items })));
    assert.ok(
      found.some((text) => text.startsWith(`${AT}.properties[spec].items.required: Invalid value: 5`)),
      found.join(),
    );
    assert.ok(found.some((text) => text.startsWith(`${AT}.properties[spec].items.properties: Invalid value`)));
  });

  it('refuses wrong names, versions and conversions', () => {
    const found = check(
      definition(
        { type: 'object' },
        {
          group: 'nodots',
          scope: 'World',
          names: { plural: 'Foos', singular: 'foo', kind: 'Foo', listKind: 'Foo' },
          versions: [{ name: 'v1', served: true, storage: false, schema: { openAPIV3Schema: { type: 'object' } } }],
          conversion: { strategy: 'Webhook' },
        },
      ),
    );
    for (const expected of [
      'metadata.name: Invalid value: "foos.example.com": must be spec.names.plural+"."+spec.group',
      'spec.group: Invalid value: "nodots": should be a domain with at least one dot',
      'spec.scope: Unsupported value: "World": supported values: "Cluster", "Namespaced"',
      'spec.names.listKind: Invalid value: "Foo": kind and listKind may not be the same',
      'spec.conversion.webhookClientConfig: Required value: required when strategy is set to Webhook',
    ]) {
      assert.ok(found.includes(expected), `${expected} not in\n${found.join('\n')}`);
    }
    assert.ok(found.some((text) => text.endsWith('must have exactly one version marked as storage version')));
  });

  it('wants an approval for protected groups', () => {
    const object = definition({ type: 'object' }, { group: 'x.k8s.io' });
    object.metadata.name = 'foos.x.k8s.io';
    assert.match(check(object).join(), /metadata.annotations\[api-approved.kubernetes.io\]: Required value/);
    object.metadata.annotations = { 'api-approved.kubernetes.io': 'unapproved, experimental' };
    assert.deepEqual(check(object), []);
  });

  describe('of rules that could cost too much', () => {
    const HINT =
      '(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)';
    const rules = (...texts: string[]) => ({ 'x-kubernetes-validations': texts.map((rule) => ({ rule })) });
    const names: JSONSchemaProps = { type: 'array', items: { type: 'string' } };
    const quadratic = 'self.all(a, self.all(b, a.contains(b)))';

    it('refuses one that nothing bounds, and takes it with bounds', () => {
      const at = `${AT}.properties[spec].x-kubernetes-validations[0].rule: Forbidden:`;
      assert.deepEqual(check(definition(inSpec({ ...names, ...rules(quadratic) }))), [
        `${at} estimated rule cost exceeds budget by factor of more than 100x ${HINT}`,
        `${at} contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema`,
        `${AT}: Forbidden: x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema exceeds budget ` +
          `by factor of more than 100x ${HINT}`,
      ]);
      const bounded = { ...names, maxItems: 20, items: { type: 'string', maxLength: 64 } };
      assert.deepEqual(check(definition(inSpec({ ...bounded, ...rules(quadratic) }))), []);
    });

    it('counts how often a value can be there', () => {
      const item = { type: 'string', maxLength: 1000, ...rules("self.contains('0123456789')") };
      const list = (maxItems?: number): JSONSchemaProps => ({
        type: 'array',
        items: item,
        ...(maxItems === undefined ? {} : { maxItems }),
      });
      const at = `${AT}.properties[spec].items.x-kubernetes-validations[0].rule: Forbidden: estimated rule cost`;
      assert.deepEqual(check(definition(inSpec(list(30_000)))), [
        `${at} exceeds budget by factor of 1.203000x ${HINT}`,
      ]);
      assert.deepEqual(check(definition(inSpec(list(100_000)))), [`${at} exceeds budget by factor of 4.0x ${HINT}`]);
      // As many as a request can hold.
      assert.equal(check(definition(inSpec(list())))[0], `${at} exceeds budget by factor of 42.0x ${HINT}`);
      assert.deepEqual(check(definition(inSpec(list(1000)))), []);
    });

    it('refuses a schema whose rules cost too much together, and names the dearest', () => {
      const text: JSONSchemaProps = { type: 'string', maxLength: 2_000_000, ...rules("self.contains('0123456789')") };
      const properties = Object.fromEntries(Array.from({ length: 130 }, (_, i) => [`p${i}`, text]));
      const found = check(definition(inSpec({ type: 'object', properties })));
      assert.equal(found.length, 5);
      const contributed = 'contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema';
      assert.equal(
        found[0],
        `${AT}.properties[spec].properties[p0].x-kubernetes-validations[0].rule: Forbidden: ${contributed}`,
      );
      assert.equal(
        found[4],
        `${AT}: Forbidden: x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema ` +
          `exceeds budget by factor of 1.040001x ${HINT}`,
      );
    });

    it('leaves the schema of a version alone that was accepted before', () => {
      const old = withStatus(definition(inSpec({ ...names, ...rules(quadratic) })), [], 0);
      const next = structuredClone(old);
      next.spec.names.shortNames = ['f'];
      const errors = new FieldErrors();
      validateDefinitionUpdate(errors, next, old);
      assert.deepEqual(texts(errors), []);
    });
  });

  it('keeps names, scope and stored versions', () => {
    const old = withStatus(definition({ type: 'object' }), [], 0);
    const next = structuredClone(old);
    next.spec.scope = 'Cluster';
    next.spec.names.kind = 'Bar';
    next.spec.versions = [{ name: 'v2', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object' } } }];
    const errors = new FieldErrors();
    validateDefinitionUpdate(errors, next, old);
    const found = texts(errors);
    assert.ok(found.includes('spec.scope: Invalid value: "Cluster": field is immutable'), found.join('\n'));
    assert.ok(found.includes('spec.names.kind: Invalid value: "Bar": field is immutable'));
    assert.ok(found.includes('status.storedVersions[0]: Invalid value: "v1": must appear in spec.versions'));
  });
});

describe('the status of CustomResourceDefinitions', () => {
  it('accepts names and is established at once', () => {
    const { status } = withStatus(definition({ type: 'object' }), [], 0);
    assert.deepEqual(
      status?.conditions?.map(({ type, status: is, reason }) => `${type}=${is} ${reason}`),
      ['NamesAccepted=True NoConflicts', 'Established=True InitialNamesAccepted'],
    );
    assert.deepEqual(status?.storedVersions, ['v1']);
    assert.equal(status?.acceptedNames?.plural, 'foos');
  });

  it('refuses names that others of the group hold', () => {
    const first = withStatus(definition({ type: 'object' }), [], 0);
    const second = definition(
      { type: 'object' },
      { names: { plural: 'bars', singular: 'bar', kind: 'Foo', listKind: 'BarList' } },
    );
    second.metadata.name = 'bars.example.com';
    const { status } = withStatus(second, [first], 0);
    assert.deepEqual(
      status?.conditions?.map(({ type, status: is, reason, message }) => `${type}=${is} ${reason}: ${message}`),
      [
        'NamesAccepted=False KindConflict: "Foo" is already in use',
        'Established=False NotAccepted: not all names are accepted',
      ],
    );
  });
});
