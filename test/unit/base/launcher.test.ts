import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { systemClock } from '../../../src/base/clock.js';

const LAUNCHER = fileURLToPath(new URL('../../../src/base/launcher.ts', import.meta.url));
/** Runs two commands one after the other, says what they said, and waits to be killed. */
const PROGRAM = `
  const { launchedCommand } = await import(${JSON.stringify(LAUNCHER)});
  for (const word of ['one', "t'wo"]) {
    const { stdout } = await launchedCommand.run('cat', ['-'], { input: word });
    process.stdout.write(stdout + '\\n');
  }
  setInterval(() => undefined, 1000);
`;

describe('programs run through a shell that stays', () => {
  it('leave nothing behind, also when who runs them is killed', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'skein-launcher-'));
    const args = ['--import', 'tsx', '--input-type=module', '-e', PROGRAM];
    const stdio = ['ignore', 'pipe', 'inherit'] as const;
    const child = spawn(process.execPath, args, { stdio: [...stdio], env: { ...process.env, TMPDIR: folder } });
    const ours = async () => (await readdir(folder)).filter((name) => name.startsWith('skein-run-'));
    try {
      let said = '';
      for await (const text of child.stdout!.setEncoding('utf8')) {
        said += text as string;
        if (said.split('\n').length > 2) break;
      }
      assert.equal(said, "one\nt'wo\n");
      assert.equal((await ours()).length, 1);
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
      while ((await ours()).length > 0) await systemClock.sleep(5);
    } finally {
      child.kill('SIGKILL');
      await rm(folder, { recursive: true, force: true });
    }
  }).timeout(60_000);
});
