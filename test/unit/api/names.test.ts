import assert from 'node:assert/strict';
import * as names from '../../../src/api/names.js';

describe('names', () => {
  it('are held to the rules of their kind', () => {
    assert.deepEqual(names.dns1123Subdomain('a.b-c.d1'), []);
    assert.deepEqual(names.dns1123Label('a.b'), ['must not contain dots']);
    assert.equal(names.dns1123Label('A').length, 1);
    assert.deepEqual(names.dns1123Label('a'.repeat(64)), ['must be no more than 63 characters']);
    assert.equal(names.dns1035Label('1a').length, 1);
    assert.deepEqual(names.qualifiedName('example.com/My_Name'), []);
    assert.deepEqual(names.qualifiedName('/x'), ['prefix part must be non-empty']);
    assert.match(
      names.qualifiedName('a/b/c')[0] ?? '',
      /^a qualified name must consist .* with an optional DNS subdomain prefix/,
    );
    assert.equal(names.qualifiedName('').length, 2);
    assert.deepEqual(names.labelValue(''), []);
    assert.equal(names.labelValue('-a').length, 1);
    assert.deepEqual(names.configMapKey('..data'), ["must not start with '..'"]);
    assert.deepEqual(names.portName('http-2'), []);
    assert.deepEqual(names.portName('80'), ['must contain at least one letter (a-z)']);
    assert.deepEqual(names.pathSegmentName('a/b%'), ["may not contain '/'", "may not contain '%'"]);
    assert.deepEqual(names.pathSegmentName('system:node'), []);
    assert.deepEqual(names.envVarName('a.b-c'), []);
    assert.equal(names.envVarName('a=b').length, 1);
    assert.equal(names.maskTrailingDash('web-'), 'wea');
  });
});
