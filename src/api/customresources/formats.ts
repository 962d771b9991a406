/** The string formats that Kubernetes checks in custom resources (go-openapi/strfmt); all others are only documentation. */
import { isIP, isIPv4, isIPv6 } from 'node:net';

type Check = (text: string) => boolean;
const matching =
  (pattern: RegExp): Check =>
  (text) =>
    pattern.test(text);

const isoDate = (text: string) => {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text)) return false;
  const ms = Date.parse(`${text}T00:00:00Z`);
  return !Number.isNaN(ms) && new Date(ms).toISOString().startsWith(text);
};

function isDateTime(text: string): boolean {
  if (text.length < 4) return false;
  const match = /^(\d{4}-\d{2}-\d{2})[Tt](\d{2}):(\d{2}):(\d{2})(?:\.\d+)?(?:[Zz]|[+-](\d{2}):(\d{2}))$/.exec(text);
  if (match === null) return false;
  const [, date = '', hour, minute, second] = match;
  return isoDate(date) && Number(hour) < 24 && Number(minute) < 60 && Number(second) < 60;
}

const isCidr: Check = (text) => {
  const slash = text.indexOf('/');
  const address = text.slice(0, slash);
  const bits = text.slice(slash + 1);
  return slash > 0 && /^\d{1,3}$/.test(bits) && isIP(address) !== 0 && Number(bits) <= (isIPv4(address) ? 32 : 128);
};

const DURATION_UNITS =
  '(?:ns|us|µs|ms|s|m|h|d|w|nano|nanos|micro|micros|milli|millis|sec|secs|second|seconds|min|mins|minute|minutes|hr|hrs|hour|hours|day|days|week|weeks|nanosecond|nanoseconds|microsecond|microseconds|millisecond|milliseconds)';

function isUri(text: string): boolean {
  try {
    // Go accepts absolute paths as request URIs, too.
    return text.startsWith('/') || Boolean(new URL(text));
  } catch {
    return false;
  }
}

const uuid = (version: string) =>
  matching(new RegExp(`^[0-9a-f]{8}-?[0-9a-f]{4}-?${version}[0-9a-f]{3}-?[0-9a-f]{4}-?[0-9a-f]{12}$`, 'i'));

function luhn(text: string): boolean {
  const digits = text.replace(/[^0-9]/g, '');
  if (!/^[0-9 -]{13,19}$/.test(text)) return false;
  let sum = 0;
  Array.from(digits)
    .toReversed()
    .forEach((char, index) => {
      const digit = Number(char) * (index % 2 === 1 ? 2 : 1);
      sum += digit > 9 ? digit - 9 : digit;
    });
  return sum % 10 === 0;
}

const isbn10: Check = (text) => {
  const digits = text.replace(/[\s-]/g, '');
  if (!/^\d{9}[\dX]$/.test(digits)) return false;
  const sum = Array.from(digits).reduce((total, char, i) => total + (char === 'X' ? 10 : Number(char)) * (10 - i), 0);
  return sum % 11 === 0;
};
const isbn13: Check = (text) => {
  const digits = text.replace(/[\s-]/g, '');
  if (!/^\d{13}$/.test(digits)) return false;
  return Array.from(digits).reduce((total, char, i) => total + Number(char) * (i % 2 === 1 ? 3 : 1), 0) % 10 === 0;
};

/** By name without dashes. */
const FORMATS: Readonly<Record<string, Check>> = {
  bsonobjectid: matching(/^[0-9a-fA-F]{24}$/),
  uri: isUri,
  email: matching(/^(?:[^<>]*<)?[^\s@<>(),;:"[\]]+@[^\s@<>(),;:"[\]]+>?$/),
  hostname: matching(
    /^(?=.{1,255}$)[a-zA-Z0-9\u00a1-\uffff](?:[a-zA-Z0-9\u00a1-\uffff-]{0,62})(?:\.[a-zA-Z0-9\u00a1-\uffff-]{1,63})*\.?$/u,
  ),
  ipv4: isIPv4,
  ipv6: isIPv6,
  cidr: isCidr,
  mac: matching(/^(?:[0-9a-fA-F]{2}[:-]){5,19}[0-9a-fA-F]{2}$|^(?:[0-9a-fA-F]{4}\.){2,9}[0-9a-fA-F]{4}$/),
  uuid: uuid('[0-9a-f]'),
  uuid3: uuid('3'),
  uuid4: matching(/^[0-9a-f]{8}-?[0-9a-f]{4}-?4[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$/i),
  uuid5: matching(/^[0-9a-f]{8}-?[0-9a-f]{4}-?5[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$/i),
  isbn: (text) => isbn10(text) || isbn13(text),
  isbn10,
  isbn13,
  creditcard: luhn,
  ssn: matching(/^\d{3}[- ]?\d{2}[- ]?\d{4}$/),
  hexcolor: matching(/^#?(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6})$/),
  rgbcolor: (text) => {
    const match = /^rgb\(\s*(\d{1,3})\s*,\s*(\d{1,3})\s*,\s*(\d{1,3})\s*\)$/.exec(text);
    return match !== null && match.slice(1).every((part) => Number(part) <= 255);
  },
  byte: matching(/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/),
  password: () => true,
  date: isoDate,
  duration: matching(new RegExp(`^[+-]?(?:0|(?:(?:\\d+\\.?\\d*|\\.\\d+)\\s*${DURATION_UNITS}\\s*)+)$`)),
  datetime: isDateTime,
};

const plain = (format: string) => format.replaceAll('-', '');

/** Whether the format is known and the text is not of it. */
export function violatesFormat(text: string, format: string): boolean {
  const name = plain(format);
  const check = Object.hasOwn(FORMATS, name) ? FORMATS[name] : undefined;
  return check !== undefined && !check(text);
}
