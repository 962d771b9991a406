import assert from 'node:assert/strict';
import fc from 'fast-check';
import { IndexSet } from '../../../../../src/control/controllers/job/index-set.js';

describe('IndexSet', () => {
  it('is written as Kubernetes writes it', () => {
    const cases: [number[], string][] = [
      [[], ''],
      [[3], '3'],
      [[1, 0], '0,1'],
      [[1, 2, 3, 5, 7, 8], '1-3,5,7,8'],
    ];
    for (const [indexes, text] of cases) assert.equal(IndexSet.of(indexes).toString(), text);
  });

  it('leaves out what cannot be read and what is beyond the completions', () => {
    assert.equal(IndexSet.parse('0,2-9,x,12,-', 5).toString(), '0,2-4');
    assert.equal(IndexSet.parse(undefined, 5).toString(), '');
  });

  it('is the set of its numbers', () => {
    const numbers = fc.array(fc.nat(40));
    fc.assert(
      fc.property(numbers, numbers, (a, b) => {
        const both = IndexSet.of(a).with(IndexSet.of(b));
        const model = new Set([...a, ...b]);
        assert.equal(both.size, model.size);
        assert.equal(IndexSet.parse(both.toString(), 41).toString(), both.toString());
        for (let i = 0; i <= 41; i++) assert.equal(both.has(i), model.has(i));
        assert.equal(IndexSet.of(a).sharedWith(IndexSet.of(b)), [...new Set(a)].filter((i) => b.includes(i)).length);
        const missing = Array.from({ length: 41 }, (_, i) => i).filter((i) => !model.has(i));
        assert.deepEqual(both.firstMissing(5, 41), missing.slice(0, 5));
      }),
    );
  });
});
