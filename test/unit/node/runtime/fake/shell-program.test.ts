import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { shellProgram } from '../../../../../src/node/runtime/fake/shell-program.js';
import type { ContainerConfig } from '../../../../../src/node/runtime/runtime.js';

const config = (command: readonly string[] | undefined, more: Partial<ContainerConfig> = {}): ContainerConfig =>
  ({
    command,
    args: undefined,
    env: [['JOB_COMPLETION_INDEX', '3']],
    mounts: [],
    ...more,
  }) as unknown as ContainerConfig;
const sh = (script: string, more: Partial<ContainerConfig> = {}) =>
  shellProgram(config(['/bin/sh', '-c', script], more));

describe('shell of the fake runtime', () => {
  it('ends with the status of the script', () => {
    const cases: [string, number][] = [
      ['true', 0],
      ['exit 42', 42],
      ['false || exit 7; exit 8', 7],
      ['true && false', 1],
      ['exit $JOB_COMPLETION_INDEX', 3],
      ['exit $(( JOB_COMPLETION_INDEX % 2 ))', 1],
      ['test -e /none && exit 1\nexit 5', 5],
    ];
    for (const [script, exitCode] of cases) assert.equal(sh(script).exitCode, exitCode, script);
  });

  it('ends after its sleeps, and writes what it echoes', () => {
    const { exitAfterMs, stdout } = sh('echo "a b"; sleep 2; sleep 0.5');
    assert.equal(exitAfterMs, 2500);
    assert.deepEqual(stdout, ['a b']);
    assert.equal(shellProgram(config(['sleep', '3'])).exitAfterMs, 3000);
  });

  it('runs until it is stopped when there is no command, no end, or anything else in it', () => {
    for (const command of [
      undefined,
      ['/pause'],
      ['sleep', 'infinity'],
      ['sh', '-c', 'while true; do sleep 1; done'],
    ]) {
      assert.equal(shellProgram(config(command)).exitAfterMs, undefined, String(command));
    }
    assert.equal(sh('touch /x; wget http://x').exitAfterMs, undefined);
  });

  it('leaves marks in volumes that the next run finds', () => {
    const hostPath = mkdtempSync(join(tmpdir(), 'shell-program-'));
    const mounts = [{ hostPath, containerPath: '/data', readOnly: false, propagation: 'private' as const }];
    const script = 'test -e /data/done && exit 0; touch /data/done; exit 1';
    assert.equal(sh(script, { mounts }).exitCode, 1);
    assert.equal(sh(script, { mounts }).exitCode, 0);
    rmSync(hostPath, { recursive: true });
  });
});
