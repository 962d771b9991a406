import assert from 'node:assert/strict';
import { createLogger, type LogLevel } from '../../../src/observability/log.js';

describe('log lines', () => {
  function lines(format: 'json' | 'text', level: LogLevel = 'debug') {
    const written: string[] = [];
    const sink = { write: (line: string) => void written.push(line) };
    return { written, log: createLogger({ level, format, nowMs: () => 1_767_225_600_123, sink }) };
  }

  it('for people: time, level, message, then fields, on one line each', () => {
    const { log, written } = lines('text');
    log.info('pod started', { pod: 'default/web', ms: 12, reason: 'two words', empty: '' });
    log.warn('line\nbreak', { list: [1, 'a'], quote: 'a"b', nothing: undefined });
    log
      .child({ component: 'kubelet' })
      .child({ node: 'n1' })
      .error('failed', { error: new Error('no', { cause: new Error('why') }) });
    assert.deepEqual(written, [
      '2026-01-01T00:00:00.123Z INFO  pod started pod=default/web ms=12 reason="two words" empty=""\n',
      '2026-01-01T00:00:00.123Z WARN  line\\nbreak list=[1,"a"] quote="a\\"b" nothing=undefined\n',
      '2026-01-01T00:00:00.123Z ERROR failed component=kubelet node=n1 error="no: why"\n',
    ]);
  });

  it('for machines: one JSON object each', () => {
    const { log, written } = lines('json');
    log.info('pod started', { pod: 'default/web', ms: 12 });
    log.child({ component: 'kubelet' }).error('failed', { error: new Error('no', { cause: new Error('why') }) });
    assert.deepEqual(written, [
      '{"level":"info","time":"2026-01-01T00:00:00.123Z","pod":"default/web","ms":12,"message":"pod started"}\n',
      '{"level":"error","time":"2026-01-01T00:00:00.123Z","component":"kubelet","error":"no: why","message":"failed"}\n',
    ]);
  });

  it('never have a key of their own twice', () => {
    const { log, written } = lines('json');
    log.info('real', { message: 'theirs', level: 7, time: 'noon' });
    assert.equal(
      written[0],
      '{"level":"info","time":"2026-01-01T00:00:00.123Z","message_":"theirs","level_":7,"time_":"noon","message":"real"}\n',
    );
  });

  it('below the level are not written', () => {
    for (const format of ['json', 'text'] as const) {
      const { log, written } = lines(format, 'warn');
      log.debug('a');
      log.info('b');
      log.child({ x: 1 }).info('c');
      log.warn('d');
      log.error('e');
      assert.equal(written.length, 2);
    }
  });

  it('take anything', () => {
    const circular: Record<string, unknown> = {};
    circular['self'] = circular;
    for (const format of ['json', 'text'] as const) {
      const { log, written } = lines(format);
      log.info('odd', { circular, big: 10n, fn: () => 1, symbol: Symbol('s') });
      assert.equal(written.length, 1);
      assert.equal(written[0]?.match(/\n/g)?.length, 1);
    }
  });
});
