import assert from 'node:assert/strict';
import { scheduleOf } from '../../../../../src/control/controllers/cronjob/times.js';

/** The first `count` moments after `from`, in UTC. */
function moments(text: string, from: string, count: number, zone?: string): string[] {
  const schedule = scheduleOf(text, zone);
  const found: string[] = [];
  for (let at: number | undefined = Date.parse(from); found.length < count;) {
    at = schedule.next(at);
    if (at === undefined) break;
    found.push(new Date(at).toISOString().slice(0, 16));
  }
  return found;
}

describe('moments of a schedule', () => {
  const cases: [what: string, text: string, from: string, expected: string[], zone?: string][] = [
    ['steps', '*/20 * * * *', '2026-01-01T00:00:00Z', ['2026-01-01T00:20', '2026-01-01T00:40', '2026-01-01T01:00']],
    ['seconds do not count', '* * * * *', '2026-01-01T00:00:59Z', ['2026-01-01T00:01']],
    [
      'either of two days',
      '0 0 13 * 5',
      '2026-02-01T00:00:00Z',
      ['2026-02-06T00:00', '2026-02-13T00:00', '2026-02-20T00:00'],
    ],
    ['a leap day', '0 0 29 2 *', '2026-01-01T00:00:00Z', ['2028-02-29T00:00']],
    ['a day that never comes', '0 0 30 2 *', '2026-01-01T00:00:00Z', []],
    ['a fixed distance', '@every 90m', '2026-01-01T00:10:00Z', ['2026-01-01T01:40', '2026-01-01T03:10']],
    ['a time zone', '30 9 * * *', '2026-01-10T00:00:00Z', ['2026-01-10T08:30'], 'Europe/Berlin'],
    [
      'a zone off the hour',
      '0 0 * * *',
      '2026-01-10T00:00:00Z',
      ['2026-01-10T18:30', '2026-01-11T18:30'],
      'Asia/Kolkata',
    ],
    ['summer time', '0 12 * * *', '2026-03-28T00:00:00Z', ['2026-03-28T11:00', '2026-03-29T10:00'], 'Europe/Berlin'],
    ['a time the clock skips', '30 2 * * *', '2026-03-28T12:00:00Z', ['2026-03-30T00:30'], 'Europe/Berlin'],
    [
      'hours around the skipped one',
      '0 1-4 * * *',
      '2026-03-28T23:30:00Z',
      ['2026-03-29T00:00', '2026-03-29T01:00', '2026-03-29T02:00'],
      'Europe/Berlin',
    ],
    [
      'a time that comes twice',
      '30 2 * * *',
      '2026-10-24T12:00:00Z',
      ['2026-10-25T00:30', '2026-10-25T01:30', '2026-10-26T01:30'],
      'Europe/Berlin',
    ],
    [
      'midnight that is skipped',
      '0 * * * *',
      '2026-09-06T03:30:00Z',
      ['2026-09-06T04:00', '2026-09-06T05:00'],
      'America/Santiago',
    ],
  ];
  for (const [what, text, from, expected, zone] of cases) {
    it(what, () => assert.deepEqual(moments(text, from, Math.max(1, expected.length), zone), expected));
  }
});
