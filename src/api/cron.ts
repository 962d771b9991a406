/**
 * Cron schedules as CronJobs write them: five fields (`minute hour day-of-month month day-of-week`), names of months and
 * days, steps, and the descriptors `@hourly`, `@every 90s` and so on. Error texts are those users of Kubernetes know.
 */

/** Why a text is no schedule. */
export class CronError extends Error {
  readonly code = 'ERR_CRON';
}

/** The moments of a schedule: sets of numbers for each field, or a fixed distance in seconds. */
export type CronSchedule =
  | {
      readonly kind: 'fields';
      readonly minutes: ReadonlySet<number>;
      readonly hours: ReadonlySet<number>;
      readonly days: ReadonlySet<number>;
      readonly months: ReadonlySet<number>;
      readonly weekdays: ReadonlySet<number>;
      /** A star (or `?`) in the field: a day is chosen by the other of the two fields alone. */
      readonly anyDay: boolean;
      readonly anyWeekday: boolean;
    }
  | { readonly kind: 'every'; readonly seconds: number };

interface Bounds {
  readonly min: number;
  readonly max: number;
  readonly names?: Readonly<Record<string, number>>;
}

const named = (text: string, first: number) =>
  Object.fromEntries(text.split(' ').map((name, index) => [name, index + first]));
const MINUTES: Bounds = { min: 0, max: 59 };
const HOURS: Bounds = { min: 0, max: 23 };
const DAYS: Bounds = { min: 1, max: 31 };
const MONTHS: Bounds = { min: 1, max: 12, names: named('jan feb mar apr may jun jul aug sep oct nov dec', 1) };
const WEEKDAYS: Bounds = { min: 0, max: 6, names: named('sun mon tue wed thu fri sat', 0) };

const DESCRIPTORS: Readonly<Record<string, string>> = {
  '@yearly': '0 0 1 1 *',
  '@annually': '0 0 1 1 *',
  '@monthly': '0 0 1 * *',
  '@weekly': '0 0 * * 0',
  '@daily': '0 0 * * *',
  '@midnight': '0 0 * * *',
  '@hourly': '0 * * * *',
};

function numberOf(text: string, { names }: Bounds): number {
  const name = names?.[text.toLowerCase()];
  if (name !== undefined) return name;
  if (/^-[0-9]+$/.test(text)) throw new CronError(`negative number (${text}) not allowed: ${text}`);
  if (!/^\+?[0-9]+$/.test(text)) {
    throw new CronError(
      `failed to parse int from ${text}: strconv.Atoi: parsing ${JSON.stringify(text)}: invalid syntax`,
    );
  }
  return Number(text);
}

/** One of a field's comma-separated parts: `*`, `5`, `1-5`, `*` with a step, `10/5`. */
function rangeOf(part: string, bounds: Bounds): { values: number[]; star: boolean } {
  const [range = '', stepText, ...more] = part.split('/');
  const [low = '', high, ...rest] = range.split('-');
  let star = false;
  let start: number;
  let end: number;
  if (low === '*' || low === '?') {
    [start, end, star] = [bounds.min, bounds.max, true];
  } else {
    start = numberOf(low, bounds);
    if (rest.length > 0) throw new CronError(`too many hyphens: ${part}`);
    end = high === undefined ? start : numberOf(high, bounds);
  }
  let step = 1;
  if (more.length > 0) throw new CronError(`too many slashes: ${part}`);
  if (stepText !== undefined) {
    step = numberOf(stepText, { min: 0, max: 0 });
    if (high === undefined) end = bounds.max;
    if (step > 1) star = false;
  }
  if (start < bounds.min) throw new CronError(`beginning of range (${start}) below minimum (${bounds.min}): ${part}`);
  if (end > bounds.max) throw new CronError(`end of range (${end}) above maximum (${bounds.max}): ${part}`);
  if (start > end) throw new CronError(`beginning of range (${start}) beyond end of range (${end}): ${part}`);
  if (step === 0) throw new CronError(`step of range should be a positive number: ${part}`);
  const values: number[] = [];
  for (let value = start; value <= end; value += step) values.push(value);
  return { values, star };
}

function fieldOf(text: string, bounds: Bounds): { values: ReadonlySet<number>; star: boolean } {
  const values = new Set<number>();
  let star = false;
  for (const part of text.split(',').filter((entry) => entry !== '')) {
    const range = rangeOf(part, bounds);
    for (const value of range.values) values.add(value);
    star ||= range.star;
  }
  return { values, star };
}

const UNITS: Readonly<Record<string, number>> = { ns: 1e-9, us: 1e-6, µs: 1e-6, ms: 1e-3, s: 1, m: 60, h: 3600 };

/** Seconds of a Go duration; undefined for what is none. */
function durationSeconds(text: string): number | undefined {
  if (!/^[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:ns|us|µs|ms|s|m|h))+$/.test(text)) return undefined;
  let total = 0;
  for (const [, amount = '', unit = ''] of text.matchAll(/([0-9]*\.?[0-9]*)(ns|us|µs|ms|s|m|h)/g)) {
    total += Number(amount) * (UNITS[unit] ?? 0);
  }
  return text.startsWith('-') ? -total : total;
}

function described(text: string): CronSchedule {
  const fields = DESCRIPTORS[text];
  if (fields !== undefined) return parseCron(fields);
  if (text.startsWith('@every ')) {
    const duration = text.slice('@every '.length);
    const seconds = durationSeconds(duration);
    if (seconds === undefined) {
      throw new CronError(`failed to parse duration ${text}: time: invalid duration ${JSON.stringify(duration)}`);
    }
    return { kind: 'every', seconds: Math.max(1, Math.trunc(seconds)) };
  }
  throw new CronError(`unrecognized descriptor: ${text}`);
}

/** Parses a schedule. Throws {@link CronError}. A leading `TZ=…` is refused: CronJobs have a field for it. */
export function parseCron(text: string): CronSchedule {
  if (text === '') throw new CronError('empty spec string');
  if (text.startsWith('@')) return described(text);
  const fields = text.split(/\s+/).filter((field) => field !== '');
  if (fields.length !== 5) {
    throw new CronError(`expected exactly 5 fields, found ${fields.length}: [${fields.join(' ')}]`);
  }
  const [minute = '', hour = '', day = '', month = '', weekday = ''] = fields;
  const days = fieldOf(day, DAYS);
  const weekdays = fieldOf(weekday, WEEKDAYS);
  return {
    kind: 'fields',
    minutes: fieldOf(minute, MINUTES).values,
    hours: fieldOf(hour, HOURS).values,
    days: days.values,
    months: fieldOf(month, MONTHS).values,
    weekdays: weekdays.values,
    anyDay: days.star,
    anyWeekday: weekdays.star,
  };
}

/** Whether the machine knows a time zone of the IANA database. */
export function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}
