/** What a command gets from the process it runs in; tests pass their own. */
import type { Readable } from 'node:stream';
import type { Clock } from '../base/clock.js';

export interface TextSink {
  /** False when the reader is behind: whoever writes much waits for `drain` then. */
  write(text: string): boolean;
  once(event: 'drain', listener: () => void): unknown;
}

export interface CliContext {
  readonly stdin: Readable;
  readonly stdout: TextSink;
  readonly stderr: TextSink;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly homeDir: string;
  readonly clock: Clock;
}
