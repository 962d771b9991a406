import assert from 'node:assert/strict';
import fc from 'fast-check';
import { Quantity, QuantityError, canonicalQuantity, parseQuantity } from '../../../src/api/quantity.js';

describe('quantity', () => {
  it('writes the canonical form that Kubernetes writes', () => {
    const cases: [string | number, string][] = [
      ['0', '0'],
      ['0Mi', '0'],
      ['1000m', '1'],
      ['0.5', '500m'],
      ['1500m', '1500m'],
      ['1024Mi', '1Gi'],
      ['1536Mi', '1536Mi'],
      ['1.5Gi', '1536Mi'],
      ['1000k', '1M'],
      ['100000', '100k'],
      ['1e3', '1e3'],
      ['1E', '1E'],
      ['12e6', '12e6'],
      ['1000e6', '1e9'],
      ['512Ki', '512Ki'],
      ['0.5Ki', '512'],
      ['-1', '-1'],
      ['.5', '500m'],
      ['5.', '5'],
      ['1.0001m', '1000100n'],
      ['0.1n', '1n'],
      ['9223372036854775808', '9223372036854775807'],
      [2, '2'],
      [0.25, '250m'],
    ];
    for (const [input, expected] of cases) assert.equal(canonicalQuantity(input), expected, String(input));
  });

  it('refuses what is not a quantity, with the text of upstream', () => {
    for (const input of ['', 'abc', '1.2.3', '--1', '1 Gi', 'Ki', '.']) {
      assert.throws(() => parseQuantity(input), QuantityError, input);
    }
    assert.throws(() => parseQuantity('x'), /^QuantityError: quantities must match|quantities must match/);
    assert.throws(() => parseQuantity('1KiB'), QuantityError);
  });

  it('rounds value and milliValue up', () => {
    assert.equal(parseQuantity('1500m').value, 2);
    assert.equal(parseQuantity('100u').milliValue, 1);
    assert.equal(parseQuantity('1Gi').value, 1073741824);
    assert.equal(parseQuantity('-1500m').value, -1);
  });

  it('is stable: the canonical form of a canonical form is itself and means the same', () => {
    const suffix = fc.constantFrom('', 'n', 'u', 'm', 'k', 'M', 'G', 'T', 'Ki', 'Mi', 'Gi', 'Ti', 'e3', 'e-3', 'E6');
    fc.assert(
      fc.property(fc.integer({ min: -99999, max: 99999 }), fc.nat(999), suffix, (whole, fraction, unit) => {
        const text = `${whole}.${fraction}${unit}`;
        const canonical = canonicalQuantity(text);
        // A binary quantity that is no multiple of 1024 reads back as a decimal one, as upstream's does: then it is stable.
        const again = canonicalQuantity(canonical);
        assert.equal(canonicalQuantity(again), again);
        assert.equal(parseQuantity(again).nano, parseQuantity(canonical).nano);
        if (!unit.endsWith('i')) assert.equal(again, canonical);
        if (!unit.endsWith('i')) assert.equal(parseQuantity(canonical).nano, parseQuantity(text).nano);
      }),
    );
  });

  it('adds and subtracts exactly and keeps the suffix family', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1e9 }), fc.integer({ min: 0, max: 1e9 }), (a, b) => {
        const sum = Quantity.ofMilli(a).add(Quantity.ofMilli(b));
        assert.equal(sum.milliValue, a + b);
        assert.ok(sum.sub(Quantity.ofMilli(b)).equals(Quantity.ofMilli(a)));
        assert.equal(Math.sign(Quantity.of(a).compare(Quantity.of(b))), Math.sign(a - b));
      }),
    );
    assert.equal(parseQuantity('1Gi').add(parseQuantity('1024Mi')).toString(), '2Gi');
    assert.equal(Quantity.ZERO.add(parseQuantity('1Gi')).toString(), '1Gi');
  });
});
