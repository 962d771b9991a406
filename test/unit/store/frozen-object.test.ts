import assert from 'node:assert/strict';
import type { KubeObject } from '../../../src/api/object.js';
import { freezeObject } from '../../../src/store/frozen-object.js';

const object = (name: string): KubeObject => ({
  metadata: { name, managedFields: [{ manager: 'm', fieldsV1: { 'f:spec': { 'f:replicas': {} } } }] },
  spec: { replicas: 1 },
});

describe('frozen objects', () => {
  it('cannot be changed, and share equal sets of owned fields', () => {
    const one = freezeObject(object('one'));
    const two = freezeObject(object('two'));
    assert.ok(Object.isFrozen(one.spec) && Object.isFrozen(one.metadata.managedFields?.[0]?.fieldsV1?.['f:spec']));
    assert.equal(one.metadata.managedFields?.[0]?.fieldsV1, two.metadata.managedFields?.[0]?.fieldsV1);
    assert.notEqual(one.metadata.managedFields?.[0], two.metadata.managedFields?.[0]);
    assert.equal(freezeObject(one), one);
  });
});
