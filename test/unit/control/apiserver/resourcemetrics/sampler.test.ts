import assert from 'node:assert/strict';
import { UsageSampler, DEFAULT_SAMPLER } from '../../../../../src/control/apiserver/resourcemetrics/sampler.js';
import { ManualClock } from '../../../../../src/testing/manual-clock.js';

describe('usage of containers', () => {
  const summary = (cpu: number, startTime = '2024-01-01T00:00:00Z') => ({
    pods: [
      {
        podRef: { name: 'p', namespace: 'd', uid: 'u' },
        containers: [{ name: 'c', startTime, cpu: { usageCoreNanoSeconds: cpu }, memory: { workingSetBytes: 2048 } }],
      },
    ],
  });

  /** Asks, letting the sampler's own wait pass. */
  async function ask(sampler: UsageSampler, clock: ManualClock, nodes: readonly string[]) {
    const asked = sampler.usages(nodes);
    await clock.advance(DEFAULT_SAMPLER.windowMs);
    return asked;
  }

  function fixture(answers: (call: number, node: string) => unknown) {
    const clock = new ManualClock();
    let calls = 0;
    const kubelets = {
      json: async (node: string, path: string) => {
        assert.equal(path, '/stats/summary');
        return answers(calls++, node);
      },
    };
    return { clock, sampler: new UsageSampler({ clock, kubelets }), calls: () => calls };
  }

  it('is the difference of two samples, and shared by all who ask', async () => {
    const { clock, sampler, calls } = fixture((call) => summary(1e9 + call * 5e8));
    const [one, two] = await Promise.all([ask(sampler, clock, ['a']), sampler.usages(['a'])]);
    assert.deepEqual(one.get('a')?.pods.get('d/p'), [{ name: 'c', nanocores: 5e8, memoryBytes: 2048 }]);
    assert.equal(one, two);
    assert.equal(calls(), 2);
    await sampler.usages(['a']);
    assert.equal(calls(), 2, 'young figures are shown again');
    await clock.advance(DEFAULT_SAMPLER.maxAgeMs);
    const later = await sampler.usages(['a']);
    assert.equal(calls(), 3, 'one sample is enough where there is an earlier one');
    assert.equal(later.get('a')?.windowMs, DEFAULT_SAMPLER.maxAgeMs);
  });

  it('leaves out containers that began anew and kubelets that do not answer', async () => {
    const { clock, sampler } = fixture((call, node) => {
      if (node === 'b') throw new Error('gone');
      return summary(1e9, `2024-01-01T00:00:0${call}Z`);
    });
    const usages = await ask(sampler, clock, ['a', 'b']);
    assert.deepEqual([...usages.keys()], ['a']);
    assert.equal(usages.get('a')?.pods.size, 0);
  });
});
