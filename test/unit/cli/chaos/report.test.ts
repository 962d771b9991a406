import assert from 'node:assert/strict';
import { hasPassed, reportText, type ChaosReport } from '../../../../src/cli/chaos/report.js';
import { blowReport } from '../../../../src/cli/chaos/run.js';

const struck = {
  peer: 'h1',
  action: 'kill',
  time: '2026-01-31T12:00:00Z',
  fromMs: 100,
  toMs: 900,
  wholeMs: 700,
} as const;

describe('the report of skein chaos', () => {
  it('takes gaps and failures from the peers that were not struck', () => {
    const sessions = [
      { peer: 'h1', acknowledgedAtMs: [0, 50], failedAtMs: [300, 500] },
      { peer: 'h2', acknowledgedAtMs: [0, 90, 190, 600, 700, 1000], failedAtMs: [50, 400] },
      { peer: 'h3', acknowledgedAtMs: [0, 90, 190, 290, 390, 490, 590, 690, 790, 890, 990], failedAtMs: [] },
    ];
    const { gapMs, failed, wholeMs } = blowReport(struck, sessions);
    assert.deepEqual({ gapMs, failed, wholeMs }, { gapMs: 410, failed: 1, wholeMs: 700 });
    assert.equal(blowReport(struck, sessions.slice(0, 1)).gapMs, 850, 'with one peer there is no other');
  });

  it('is a line per blow, the totals, and what went wrong', () => {
    const report: ChaosReport = {
      blows: [
        { peer: 'h1', action: 'kill', time: '2026-01-31T12:00:00Z', gapMs: 310, failed: 0, wholeMs: 4_200 },
        { peer: 'h2', action: 'cut', time: '2026-01-31T12:00:30Z', gapMs: 1_250, failed: 2, wholeMs: null },
      ],
      writes: { acknowledged: 300, failed: 2 },
      lost: ['at h1, field h2: nothing is there; acknowledged were h2:7'],
      notWhole: 'h2 did not answer',
    };
    assert.equal(
      reportText(report),
      `TIME                   ACTION   PEER   WRITE GAP   FAILED   WHOLE AGAIN
2026-01-31T12:00:00Z   kill     h1     0.31 s      0        4.20 s
2026-01-31T12:00:30Z   cut      h2     1.25 s      2        never

300 writes acknowledged, 2 failed, 1 lost; longest time without one through the other peers: 1.25 s
Lost: at h1, field h2: nothing is there; acknowledged were h2:7
The peers are not whole: h2 did not answer
`,
    );
    assert.equal(hasPassed(report), false);
    assert.equal(hasPassed({ ...report, lost: [] }), false);
    assert.equal(hasPassed({ ...report, lost: [], notWhole: null }), true);
  });
});
