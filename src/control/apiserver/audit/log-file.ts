/** The audit log as a file of JSON lines that is rotated by size and whose old parts are removed by number. */
import { basename, dirname } from 'node:path';
import { createStream, type RotatingFileStream } from 'rotating-file-stream';
import type { Service } from '../../../base/lifecycle.js';
import { errorText, type Logger } from '../../../base/log.js';
import type { Counter, Metrics } from '../../../base/metrics.js';
import type { AuditSink } from './audit-log.js';
import type { AuditEvent } from './event.js';

export interface AuditFileOptions {
  /** `-` writes to standard output. */
  readonly path: string;
  /** Size at which the file is put aside, in MiB. */
  readonly maxSizeMegabytes: number;
  /** Files put aside that are kept. */
  readonly maxBackups: number;
  /** Bytes that may wait for the disk; events beyond are dropped and counted. */
  readonly bufferBytes: number;
}

export class AuditFile implements AuditSink, Service {
  readonly name = 'audit-log';
  private stream: RotatingFileStream | undefined;
  private readonly dropped: Counter;

  constructor(
    private readonly options: AuditFileOptions,
    private readonly log: Logger,
    metrics: Metrics,
  ) {
    this.dropped = metrics.counter('apiserver_audit_error_total', 'Audit events that could not be written');
  }

  start(): Promise<void> {
    const { path, maxSizeMegabytes, maxBackups } = this.options;
    if (path === '-') return Promise.resolve();
    const stream = createStream(basename(path), {
      path: dirname(path),
      size: `${maxSizeMegabytes}M`,
      maxFiles: maxBackups,
      mode: 0o600,
    });
    this.stream = stream;
    return new Promise((resolve, reject) => {
      stream.once('open', () => resolve());
      stream.once('error', reject);
      stream.on('error', (error) => {
        this.dropped.inc();
        this.log.error('the audit log cannot be written', { error: errorText(error) });
      });
    });
  }

  stop(): Promise<void> {
    const { stream } = this;
    this.stream = undefined;
    if (!stream) return Promise.resolve();
    return new Promise((resolve) => stream.end(() => resolve()));
  }

  write(event: AuditEvent): void {
    const line = `${JSON.stringify(event)}\n`;
    if (this.options.path === '-') {
      process.stdout.write(line);
      return;
    }
    if (!this.stream || this.stream.writableLength > this.options.bufferBytes) this.dropped.inc();
    else this.stream.write(line);
  }
}
