/**
 * The moments of a schedule. Pure. Fields are read on the clock of a time zone: a time that its clock skips in spring does not
 * come that day, and one that it shows twice in autumn comes twice.
 */
import { parseCron, type CronSchedule } from '../../../api/cron.js';

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;
/** A schedule that names no day for so long (the 30th of February) names none. */
const SEARCH_YEARS = 5;

export interface Schedule {
  /** The first moment after `ms`, in milliseconds since the epoch; undefined when there is none. */
  next(ms: number): number | undefined;
}

/** Throws `CronError` for a text that is no schedule, `RangeError` for a time zone that this machine does not know. */
export function scheduleOf(text: string, timeZone = 'UTC'): Schedule {
  const cron = parseCron(text);
  if (cron.kind === 'every') {
    const step = cron.seconds * 1000;
    return { next: (ms) => Math.floor(ms / 1000) * 1000 + step };
  }
  const wallOf = wallClock(timeZone);
  return { next: (ms) => nextOf(cron, wallOf, ms) };
}

/** What a time zone's clock shows, as the milliseconds of a UTC clock that shows the same. */
type WallClock = (ms: number) => number;

function wallClock(timeZone: string): WallClock {
  if (timeZone === 'UTC' || timeZone === 'Etc/UTC') return (ms) => ms;
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  });
  return (ms) => {
    const parts = new Map(format.formatToParts(ms).map(({ type, value }) => [type, Number(value)]));
    const part = (name: Intl.DateTimeFormatPartTypes) => parts.get(name) ?? 0;
    return Date.UTC(part('year'), part('month') - 1, part('day'), part('hour'), part('minute'), part('second'));
  };
}

type Fields = Extract<CronSchedule, { kind: 'fields' }>;

function nextOf(cron: Fields, wallOf: WallClock, afterMs: number): number | undefined {
  const endMs = afterMs + SEARCH_YEARS * 366 * DAY_MS;
  let at = Math.floor(afterMs / MINUTE_MS) * MINUTE_MS + MINUTE_MS;
  while (at < endMs) {
    const wall = wallOf(at);
    const date = new Date(wall);
    if (!cron.months.has(date.getUTCMonth() + 1) || !isDay(cron, date)) {
      at = skip(at, wall, DAY_MS, wallOf);
    } else if (!cron.hours.has(date.getUTCHours())) {
      at = skip(at, wall, HOUR_MS, wallOf);
    } else if (cron.minutes.has(date.getUTCMinutes())) {
      return at;
    } else {
      at += MINUTE_MS;
    }
  }
  return undefined;
}

/** When both days are restricted, either will do. */
function isDay({ days, weekdays, anyDay, anyWeekday }: Fields, date: Date): boolean {
  const day = days.has(date.getUTCDate());
  const weekday = weekdays.has(date.getUTCDay());
  return anyDay || anyWeekday ? day && weekday : day || weekday;
}

/** The moment at which the clock enters the next unit; earlier when the clock is changed on the way. */
function skip(at: number, wall: number, unitMs: number, wallOf: WallClock): number {
  const left = unitMs - (wall % unitMs);
  const next = at + left;
  const drift = wallOf(next) - (wall + left);
  // Set forward: the unit began that much earlier.
  return drift > 0 ? Math.max(at + MINUTE_MS, next - drift) : next;
}
