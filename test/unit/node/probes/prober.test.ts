import assert from 'node:assert/strict';
import type { Container, Pod } from '../../../../src/api/types/core-v1.js';
import { Prober } from '../../../../src/node/probes/prober.js';
import type { ProbeAnswer } from '../../../../src/node/probes/checks.js';
import { ManualClock } from '../../../../src/testing/manual-clock.js';

const POD: Pod = { metadata: { name: 'p', uid: 'u' } };
const exec = { exec: { command: ['check'] } };

describe('prober', () => {
  let clock: ManualClock;
  let answer: ProbeAnswer;
  let events: string[];
  let checks: number;
  let prober: Prober;

  beforeEach(() => {
    clock = new ManualClock();
    answer = { outcome: 'success', output: '' };
    events = [];
    checks = 0;
    prober = new Prober({
      clock,
      exec: () => {
        checks += 1;
        return Promise.resolve(answer);
      },
      event: (_pod, _container, _type, reason, message) => events.push(`${reason}: ${message}`),
      onChange: () => undefined,
    });
  });
  afterEach(() => prober.stop());

  const watch = (spec: Partial<Container>) =>
    prober.watch(POD, '192.0.2.9', [
      { id: 'c', startedAtMs: clock.nowMs(), spec: { name: 'web', ...spec }, before: undefined },
    ]);

  it('takes a container without probes as started and ready', () => {
    watch({});
    assert.deepEqual([prober.started('c'), prober.ready('c')], [true, true]);
    assert.equal(prober.ready('other'), false);
  });

  it('waits for the initial delay and the success threshold of readiness', async () => {
    watch({ readinessProbe: { ...exec, initialDelaySeconds: 5, periodSeconds: 2, successThreshold: 2 } });
    await clock.advance(4_999);
    assert.equal(checks, 0);
    await clock.advance(1);
    assert.equal(prober.ready('c'), false);
    await clock.advance(2_000);
    assert.equal(prober.ready('c'), true);
  });

  it('condemns a container after its failure threshold and says so', async () => {
    answer = { outcome: 'failure', output: 'boom' };
    watch({ livenessProbe: { ...exec, periodSeconds: 10, failureThreshold: 3, terminationGracePeriodSeconds: 7 } });
    await clock.advance(19_999);
    assert.equal(prober.failed('c'), undefined);
    await clock.advance(1);
    assert.deepEqual(prober.failed('c'), { probe: 'liveness', graceSeconds: 7 });
    assert.deepEqual(events, Array(3).fill('Unhealthy: Liveness probe failed: boom'));
    await clock.advance(60_000);
    assert.equal(checks, 3);
  });

  it('lets nothing else run before the startup probe has succeeded', async () => {
    answer = { outcome: 'failure', output: '' };
    watch({ startupProbe: { ...exec, periodSeconds: 1, failureThreshold: 100 }, readinessProbe: { ...exec } });
    await clock.advance(3_500);
    assert.equal(checks, 4);
    assert.equal(prober.started('c'), false);
    answer = { outcome: 'success', output: '' };
    await clock.advance(1_000);
    assert.deepEqual([prober.started('c'), prober.ready('c')], [true, true]);
  });
});
