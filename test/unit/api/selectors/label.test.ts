import assert from 'node:assert/strict';
import { ApiError } from '../../../../src/api/errors.js';
import { labelMatcher, parseLabelSelector } from '../../../../src/api/selectors/label.js';

const matches = (text: string, labels?: Record<string, string>) => parseLabelSelector(text).matches(labels);

describe('label selectors', () => {
  it('match by equality and by set', () => {
    assert.ok(matches('a=b', { a: 'b' }));
    assert.ok(matches('a == b , c!=d', { a: 'b' }));
    assert.ok(!matches('a!=b', { a: 'b' }));
    assert.ok(matches('a in (x, y)', { a: 'y' }));
    assert.ok(!matches('a in (x, y)', {}));
    assert.ok(matches('a notin (x,y)', {}));
    assert.ok(matches('a', { a: '' }));
    assert.ok(matches('!a', undefined));
    assert.ok(!matches('!a', { a: '1' }));
    assert.ok(matches('a=', { a: '' }));
    assert.ok(matches('a in (,x)', { a: '' }));
    assert.ok(matches('n>5', { n: '10' }));
    assert.ok(!matches('n<5', { n: 'many' }));
    assert.ok(matches('app.kubernetes.io/name=web,tier in (a)', { 'app.kubernetes.io/name': 'web', tier: 'a' }));
  });

  it('the empty text matches everything', () => {
    assert.ok(parseLabelSelector('').empty);
    assert.ok(matches(' ', undefined));
  });

  it('do not take inherited properties for labels', () => {
    assert.ok(!matches('constructor', {}));
    assert.ok(!matches('toString', {}));
  });

  it('refuse bad texts as a bad request', () => {
    for (const text of [
      'a b',
      'a in',
      'a in (b',
      '=b',
      'a,',
      ',a',
      'a=b c',
      'a/b/c=d',
      'a=b!',
      'x>y',
      '!',
      'a=b=c',
      'a in x',
    ]) {
      assert.throws(
        () => parseLabelSelector(text),
        (error) => error instanceof ApiError && error.code === 400,
        text,
      );
    }
    assert.throws(
      () => parseLabelSelector('a b'),
      /unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt/,
    );
  });

  it('as objects: absent matches nothing, empty matches everything', () => {
    assert.ok(!labelMatcher(undefined).matches({}));
    assert.ok(!labelMatcher(undefined).empty);
    assert.ok(labelMatcher({}).matches(undefined));
    const both = labelMatcher({
      matchLabels: { a: '1' },
      matchExpressions: [
        { key: 'b', operator: 'Exists' },
        { key: 'c', operator: 'NotIn', values: ['x'] },
      ],
    });
    assert.ok(both.matches({ a: '1', b: '', c: 'y' }));
    assert.ok(!both.matches({ a: '1', c: 'y' }));
  });
});
