/** Log sinks: JSON lines (pino) for machines, or one readable line each for people. Written to stderr unless told. */
import { pino, type Logger as Pino } from 'pino';
import { errorText, type LogFields, type Logger } from '../base/log.js';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export interface LogSink {
  write(line: string): void;
}
export interface LogOptions {
  readonly level: LogLevel;
  readonly format: 'json' | 'text';
  /** Wall-clock milliseconds, for the time stamp. */
  readonly nowMs: () => number;
  /** stderr unless told. */
  readonly sink?: LogSink;
}

const LEVELS = ['debug', 'info', 'warn', 'error'] as const;

export function createLogger(options: LogOptions): Logger {
  const sink: LogSink = options.sink ?? { write: (line) => void process.stderr.write(line) };
  return options.format === 'json' ? jsonLogger(options, sink) : textLogger(options, sink, {});
}

function jsonLogger({ level, nowMs }: LogOptions, sink: LogSink): Logger {
  const timestamp = () => `,"time":"${new Date(nowMs()).toISOString()}"`;
  const formatters = { level: (label: string) => ({ level: label }) };
  return wrap(pino({ level, base: null, messageKey: 'message', timestamp, formatters }, sink));
}

function wrap(logger: Pino): Logger {
  return {
    debug: (message, fields = {}) => logger.debug(readable(fields), message),
    info: (message, fields = {}) => logger.info(readable(fields), message),
    warn: (message, fields = {}) => logger.warn(readable(fields), message),
    error: (message, fields = {}) => logger.error(readable(fields), message),
    child: (fields) => wrap(logger.child(readable(fields))),
  };
}

/** The line's own keys, which a field must not repeat. */
const OWN_KEYS = new Set(['level', 'time', 'message']);

/** JSON knows nothing of errors, and a key that comes twice is read differently by every reader. */
function readable(fields: LogFields): LogFields {
  return Object.fromEntries(
    Object.entries(fields).map(([key, value]) => [
      OWN_KEYS.has(key) ? `${key}_` : key,
      value instanceof Error ? errorText(value) : value,
    ]),
  );
}

function textLogger(options: LogOptions, sink: LogSink, bound: LogFields): Logger {
  const least = LEVELS.indexOf(options.level);
  const line =
    (level: LogLevel) =>
    (message: string, fields: LogFields = {}) => {
      if (LEVELS.indexOf(level) < least) return;
      const pairs = Object.entries({ ...bound, ...fields }).map(([key, value]) => ` ${key}=${text(value)}`);
      const time = new Date(options.nowMs()).toISOString();
      sink.write(`${time} ${level.toUpperCase().padEnd(5)} ${oneLine(message)}${pairs.join('')}\n`);
    };
  return {
    debug: line('debug'),
    info: line('info'),
    warn: line('warn'),
    error: line('error'),
    child: (fields) => textLogger(options, sink, { ...bound, ...fields }),
  };
}

const oneLine = (value: string) => value.replaceAll(/[\r\n]+/g, '\\n');

function text(value: unknown): string {
  if (typeof value === 'string') return /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value);
  if (value instanceof Error) return JSON.stringify(errorText(value));
  try {
    return JSON.stringify(value) ?? 'undefined';
  } catch {
    return '"(not printable)"';
  }
}
