import assert from 'node:assert/strict';
import { sampleOf, usageBetween } from '../../../../../src/control/apiserver/resourcemetrics/usage.js';

describe('the use of a node', () => {
  const at = (ms: number, cpu: number) =>
    sampleOf('n', ms, { node: { cpu: { usageCoreNanoSeconds: cpu }, memory: { workingSetBytes: 4096 } } });

  it('is that of the machine, in billionths of a core', () => {
    assert.deepEqual(usageBetween(at(0, 5e9), at(1_000, 5.25e9)).machine, {
      nanocores: 250_000_000,
      memoryBytes: 4096,
    });
  });

  it('is not known across a start of the machine, nor of a node that does not tell', () => {
    assert.equal(usageBetween(at(0, 5e9), at(1_000, 1e9)).machine, undefined);
    assert.equal(usageBetween(sampleOf('n', 0, {}), sampleOf('n', 1_000, {})).machine, undefined);
  });
});
