/** One container of the fake runtime: its state, its log, its end. */
import type { Cancel, Clock } from '../../../base/clock.js';
import { deferred } from '../../../base/deferred.js';
import type { Container, ContainerConfig, LogChunk, LogOptions } from '../runtime.js';
import type { FakeProgram } from './program.js';

interface LogLine {
  readonly stream: 'stdout' | 'stderr';
  readonly atMs: number;
  readonly text: string;
}

/** Lines kept per container; the oldest go first. */
const MAX_LOG_LINES = 1000;
const SIGKILLED = 137;

export class FakeContainer {
  private view: Container;
  private lines: LogLine[] = [];
  private written = deferred();
  private cancelExit: Cancel = () => undefined;
  private readonly ended = deferred();

  constructor(
    readonly config: ContainerConfig,
    readonly program: FakeProgram,
    id: string,
    private readonly clock: Clock,
    private readonly changed: () => void,
  ) {
    this.view = {
      id,
      pod: config.pod,
      sandboxId: config.sandboxId,
      name: config.name,
      attempt: config.attempt,
      state: 'created',
      image: config.image,
      imageId: config.imageId,
      createdAtMs: clock.nowMs(),
      startedAtMs: 0,
      finishedAtMs: 0,
      exitCode: 0,
      reason: '',
      message: '',
      pid: 0,
      annotations: config.annotations,
    };
  }

  get status(): Container {
    return this.view;
  }

  get running(): boolean {
    return this.view.state === 'running';
  }

  start(pid: number): void {
    this.view = { ...this.view, state: 'running', startedAtMs: this.clock.nowMs(), pid };
    for (const text of this.program.stdout ?? []) this.write('stdout', text);
    for (const text of this.program.stderr ?? []) this.write('stderr', text);
    const { exitAfterMs, exitCode = 0, exitReason } = this.program;
    if (exitAfterMs !== undefined) {
      this.cancelExit = this.clock.timer(exitAfterMs, () => this.end(exitCode, exitReason));
    }
    this.changed();
  }

  failStart(message: string): void {
    const now = this.clock.nowMs();
    this.view = { ...this.view, startedAtMs: now };
    this.end(128, 'ContainerCannotRun', message);
  }

  write(stream: 'stdout' | 'stderr', text: string): void {
    this.lines.push({ stream, atMs: this.clock.nowMs(), text });
    if (this.lines.length > MAX_LOG_LINES) this.lines = this.lines.slice(-MAX_LOG_LINES);
    this.wake();
  }

  /** Ends it now, whatever it was to do. */
  end(exitCode: number, reason?: string, message = ''): void {
    if (this.view.state === 'exited') return;
    this.cancelExit();
    const word = reason ?? (exitCode === 0 ? 'Completed' : 'Error');
    const finishedAtMs = this.clock.nowMs();
    this.view = { ...this.view, state: 'exited', exitCode, reason: word, message, finishedAtMs, pid: 0 };
    this.ended.resolve();
    this.wake();
    this.changed();
  }

  async stop(graceSeconds: number): Promise<void> {
    if (!this.running) return;
    const { stopAfterMs = 0, stopExitCode = 143 } = this.program;
    const graceMs = graceSeconds * 1000;
    const killed = stopAfterMs === 'never' || stopAfterMs > graceMs;
    const cancel = this.clock.timer(killed ? graceMs : stopAfterMs, () => this.end(killed ? SIGKILLED : stopExitCode));
    await this.ended.promise;
    cancel();
  }

  async *logs(options: LogOptions): AsyncGenerator<LogChunk> {
    const aborted = deferred();
    const onAbort = () => aborted.resolve();
    options.signal.addEventListener('abort', onAbort, { once: true });
    let pending = this.lines.filter((line) => line.atMs >= (options.sinceMs ?? 0));
    if (options.tailLines !== undefined) pending = options.tailLines === 0 ? [] : pending.slice(-options.tailLines);
    let seen = this.lines.at(-1);
    try {
      while (!options.signal.aborted) {
        for (const line of pending) yield { stream: line.stream, data: encode(line, options.timestamps) };
        const more = this.written.promise;
        const at = seen ? this.lines.indexOf(seen) : -1;
        pending = this.lines.slice(at + 1);
        seen = this.lines.at(-1);
        if (pending.length > 0) continue;
        if (!options.follow || !this.running) return;
        await Promise.race([more, aborted.promise]);
      }
    } finally {
      options.signal.removeEventListener('abort', onAbort);
    }
  }

  private wake(): void {
    const { written } = this;
    this.written = deferred();
    written.resolve();
  }
}

function encode(line: LogLine, timestamps: boolean): Uint8Array {
  const time = timestamps ? `${new Date(line.atMs).toISOString()} ` : '';
  return new TextEncoder().encode(`${time}${line.text}\n`);
}
