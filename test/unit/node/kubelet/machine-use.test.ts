import assert from 'node:assert/strict';
import { machineUseIn, readMachineUse } from '../../../../src/node/kubelet/server/machine-use.js';

describe('the use of the machine', () => {
  it('counts busy time of all CPUs and memory that is not available', () => {
    const stat = 'cpu  100 20 30 4000 50 6 7 8 90 10\ncpu0 1 2 3 4 5 6 7 8 9 10\nintr 5\n';
    const meminfo = 'MemTotal:       1000 kB\nMemFree:         100 kB\nMemAvailable:    600 kB\n';
    assert.deepEqual(machineUseIn(stat, meminfo), { cpuNanoseconds: 171 * 10_000_000, memoryBytes: 400 * 1024 });
  });

  it('says nothing where there is nothing to read', () => {
    assert.equal(machineUseIn('', ''), undefined);
  });

  it('is read on Linux', async () => {
    const use = await readMachineUse();
    if (process.platform === 'linux')
      assert.ok(use && use.cpuNanoseconds > 0 && use.memoryBytes > 1e7, `${use?.memoryBytes}`);
  });
});
