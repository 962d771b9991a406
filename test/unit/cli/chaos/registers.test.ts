import assert from 'node:assert/strict';
import { longestGapMs } from '../../../../src/cli/chaos/gaps.js';
import { Register } from '../../../../src/cli/chaos/registers.js';

describe('the model of what must be there', () => {
  it('calls a value lost when an older one of its session shows', () => {
    const register = new Register();
    register.note('h1', 1, 'acknowledged');
    register.note('h1', 2, 'acknowledged');
    const { violation } = register.expectation();
    assert.equal(violation('h1:2'), undefined);
    assert.match(violation('h1:1') ?? '', /shows h1:1 after h1:2 was acknowledged/);
    assert.match(violation(undefined) ?? '', /nothing is there/);
    assert.match(violation('h9:1') ?? '', /never written/);
  });

  it('lets a write of unknown outcome take effect late, and refused ones not at all', () => {
    const register = new Register();
    register.note('h1', 1, 'unknown');
    register.note('h1', 2, 'refused');
    register.note('h1', 3, 'acknowledged');
    const { violation } = register.expectation();
    assert.equal(violation('h1:1'), undefined);
    assert.match(violation('h1:2') ?? '', /shows h1:2/);
  });

  it('judges by what was acknowledged before the read, not after', () => {
    const register = new Register();
    register.note('h1', 1, 'acknowledged');
    const earlier = register.expectation();
    register.note('h1', 2, 'acknowledged');
    assert.equal(earlier.violation('h1:1'), undefined);
    assert.equal(earlier.violation('h1:2'), undefined);
    assert.match(register.expectation().violation('h1:1') ?? '', /shows h1:1/);
  });

  it('asks nothing between sessions: clocks differ on the sides of a split', () => {
    const register = new Register();
    register.note('h1', 5, 'acknowledged');
    register.note('h2', 1, 'acknowledged');
    const { violation } = register.expectation();
    assert.equal(violation('h1:5'), undefined);
    assert.equal(violation('h2:1'), undefined);
  });
});

describe('the longest gap', () => {
  it('is what overlaps the window, its ends included', () => {
    assert.equal(longestGapMs([0, 10, 20, 90, 100], 15, 95), 70);
    assert.equal(longestGapMs([0, 10, 20], 15, 60), 40);
    assert.equal(longestGapMs([], 15, 60), 45);
    assert.equal(longestGapMs([0, 100], 40, 60), 100);
    assert.equal(longestGapMs([0, 10, 20, 300], 5, 12), 10);
  });
});
