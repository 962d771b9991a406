/** What a command gets from the process it runs in; tests pass their own. */
import type { Readable } from 'node:stream';
import type { Clock } from '../base/clock.js';

export interface TextSink {
  write(text: string): unknown;
}

export interface CliContext {
  readonly stdin: Readable;
  readonly stdout: TextSink;
  readonly stderr: TextSink;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly homeDir: string;
  readonly clock: Clock;
}
