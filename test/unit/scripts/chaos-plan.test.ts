import assert from 'node:assert/strict';
import {
  aimedAt,
  describeFault,
  FAULT_KINDS,
  planFaults,
  type Fault,
  type PlanOptions,
} from '../../../scripts/chaos.d/plan.js';

function first(count: number, options: PlanOptions): Fault[] {
  const plan = planFaults(options);
  return Array.from({ length: count }, () => plan.next().value);
}

describe('the plan of faults', () => {
  it('is the same for the same seed, and another for another', () => {
    const [a, b, c] = [7, 7, 8].map((seed) => first(50, { seed, hosts: 3 }));
    assert.deepEqual(a, b);
    assert.notDeepEqual(a, c);
  });

  it('brings every kind before any comes again', () => {
    const faults = first(60, { seed: 1, hosts: 3 });
    for (let round = 0; round < 10; round++) {
      const kinds = faults.slice(round * 6, round * 6 + 6).map(({ kind }) => kind);
      assert.deepEqual(kinds.toSorted(), [...FAULT_KINDS].toSorted());
    }
    assert.deepEqual(
      new Set(first(20, { seed: 1, hosts: 3, kinds: ['cut'] }).map(({ kind }) => kind)),
      new Set(['cut']),
    );
  });

  it('hits hosts that are there, splits them without loss, and lasts as long as told', () => {
    for (const hosts of [2, 3, 5]) {
      const all = Array.from({ length: hosts }, (_, i) => i + 1);
      for (const fault of first(600, { seed: hosts, hosts, lastsMs: { least: 100, most: 200 } })) {
        assert.ok(fault.lastsMs >= 100 && fault.lastsMs <= 200);
        assert.ok(fault.hosts.length >= 1 && fault.hosts.every((host) => all.includes(host)));
        assert.equal(new Set(fault.hosts).size, fault.hosts.length);
        assert.equal(fault.clockOffsetMs !== 0, fault.kind === 'clock');
        if (fault.kind !== 'split') continue;
        assert.ok(fault.groups.length >= 2 && fault.groups.every((group) => group.length > 0));
        assert.deepEqual(
          fault.groups.flat().toSorted((a, b) => a - b),
          all,
        );
      }
    }
  });

  it('freezes and cuts never all, and kills all now and then', () => {
    const faults = first(600, { seed: 3, hosts: 3 });
    const counts = (kind: string) =>
      new Set(faults.filter((one) => one.kind === kind).map(({ hosts }) => hosts.length));
    assert.deepEqual(counts('kill'), new Set([1, 2, 3]));
    assert.deepEqual(
      [...counts('freeze')].toSorted((a, b) => a - b),
      [1, 2],
    );
    assert.deepEqual(counts('cut'), new Set([1]));
  });

  it('is aimed at the holder of the api role where it says so', () => {
    const fault = { ...(first(1, { seed: 1, hosts: 3, kinds: ['cut'] })[0] as Fault), hosts: [1], hitsSequencer: true };
    assert.deepEqual(aimedAt(fault, 3).hosts, [3]);
    assert.deepEqual(aimedAt({ ...fault, hosts: [1, 2] }, 2).hosts, [1, 2]);
    assert.deepEqual(aimedAt({ ...fault, hitsSequencer: false }, 3).hosts, [1]);
    assert.equal(describeFault({ ...fault, kind: 'clock', clockOffsetMs: 30_000 }), 'clock h1 +30 s');
    assert.equal(describeFault({ ...fault, kind: 'split', groups: [[1, 2], [3]] }), 'split h1 h2 | h3');
  });
});
