import assert from 'node:assert/strict';
import fc from 'fast-check';
import {
  difference,
  differenceBelow,
  EMPTY_SET,
  forEachPath,
  hasPath,
  intersection,
  intersectionBelow,
  sameSet,
  setOfPath,
  union,
  type FieldSet,
} from '../../../../src/api/apply/field-set.js';
import { FieldsV1Error, parseFieldsV1, pathText } from '../../../../src/api/apply/path-element.js';

const ELEMENTS = ['f:a', 'f:b', 'k:{"name":"x"}', 'k:{"port":80,"protocol":"TCP"}', 'v:"y"', 'v:1', 'i:2'];
const paths = fc.array(fc.constantFrom(...ELEMENTS), { minLength: 1, maxLength: 4 });
const sets = fc
  .array(paths, { maxLength: 8 })
  .map((many) => many.reduce<FieldSet>((set, path) => union(set, setOfPath(path)), EMPTY_SET));

const pathsOf = (set: FieldSet): string[] => {
  const found: string[] = [];
  forEachPath(set, (path) => found.push(pathText(path)));
  return found;
};
const model = (set: FieldSet) => new Set(pathsOf(set));
const sorted = (values: Iterable<string>) => [...values].toSorted();

describe('sets of fields', () => {
  it('print and parse to the same', () => {
    fc.assert(
      fc.property(sets, (set) => {
        assert.equal(JSON.stringify(parseFieldsV1(JSON.parse(JSON.stringify(set)))), JSON.stringify(set));
      }),
    );
  });

  it('behave as sets of paths', () => {
    fc.assert(
      fc.property(sets, sets, (a, b) => {
        const [left, right] = [model(a), model(b)];
        assert.deepEqual(sorted(model(union(a, b))), sorted(new Set([...left, ...right])));
        assert.deepEqual(sorted(model(difference(a, b))), sorted([...left].filter((path) => !right.has(path))));
        assert.deepEqual(sorted(model(intersection(a, b))), sorted([...left].filter((path) => right.has(path))));
        assert.ok(sameSet(union(difference(a, b), intersection(a, b)), a));
        assert.equal(JSON.stringify(union(a, b)), JSON.stringify(union(b, a)));
      }),
    );
  });

  it('are returned as they are when nothing changes', () => {
    fc.assert(
      fc.property(sets, sets, (a, b) => {
        assert.equal(union(a, intersection(a, b)), a);
        assert.equal(difference(a, difference(b, a)), a);
        assert.equal(difference(a, EMPTY_SET), a);
      }),
    );
  });

  it('are cut and kept below prefixes', () => {
    const set = parseFieldsV1({ 'f:spec': { '.': {}, 'f:a': {} }, 'f:status': { 'f:b': {} }, 'f:metadata': {} });
    assert.deepEqual(pathsOf(differenceBelow(set, setOfPath(['f:spec']))), ['.metadata', '.status.b']);
    assert.deepEqual(pathsOf(intersectionBelow(set, setOfPath(['f:spec']))), ['.spec', '.spec.a']);
  });

  it('tell a path from what lies on the way to it', () => {
    const set = parseFieldsV1({ 'f:spec': { 'f:a': {} } });
    assert.equal(hasPath(set, ['f:spec', 'f:a']), true);
    assert.equal(hasPath(set, ['f:spec']), false);
    assert.equal(hasPath(parseFieldsV1({ 'f:spec': { '.': {}, 'f:a': {} } }), ['f:spec']), true);
  });

  it('are made canonical: keys sorted, spaces gone, elements in order', () => {
    const set = parseFieldsV1({ 'k:{"protocol":"TCP", "port":80}': {}, 'f:z': {}, '.': {}, 'x:later': {}, 'v: 1': {} });
    assert.equal(JSON.stringify(set), '{"f:z":{},"k:{\\"port\\":80,\\"protocol\\":\\"TCP\\"}":{},"v:1":{}}');
  });

  it('show paths as upstream does', () => {
    const path = ['f:spec', 'f:containers', 'k:{"name":"c"}', 'f:ports', 'k:{"containerPort":80,"protocol":"TCP"}'];
    assert.equal(pathText(path), '.spec.containers[name="c"].ports[containerPort=80,protocol="TCP"]');
    assert.equal(pathText(['f:finalizers', 'v:"a/b"', 'i:3']), '.finalizers[="a/b"][3]');
  });

  for (const bad of [
    { f: {} },
    { nothing: {} },
    { 'k:[1]': {} },
    { 'k:{': {} },
    { 'v:x': {} },
    { 'i:x': {} },
    { 'f:a': 1 },
    [],
  ]) {
    it(`refuse ${JSON.stringify(bad)}`, () => {
      assert.throws(() => parseFieldsV1(bad), FieldsV1Error);
    });
  }
});
