/** An agent as it is started on a machine: backed up while it runs, ruined, and restored in its place. */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, copyFile, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { REVISION_GAP } from '../../../src/store/backup/restored-store.js';
import { run } from '../../e2e/harness/command.js';
import { eventually } from '../../e2e/harness/wait.js';
import { skein } from '../../unit/cli/terminal.js';

const SOURCES = new URL('../../sources.mjs', import.meta.url).href;
const MAIN = fileURLToPath(new URL('../../../src/cli/main.ts', import.meta.url));
const KUBECTL = '/usr/lib/google-cloud-sdk/bin/kubectl.1.33';

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  return port;
}

describe('a cluster of one machine', function () {
  this.timeout(180_000);
  let dir: string;
  let dataDir: string;
  let child: ChildProcess | undefined;
  let ports: string[];

  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'skein-restore-'));
    dataDir = join(dir, 'data');
    ports = [];
    for (const name of ['api', 'p2p', 'kubelet']) ports.push(`--${name}-port`, String(await freePort()));
  });
  afterEach(() => stop('SIGTERM'));
  after(() => rm(dir, { recursive: true, force: true }));

  async function start(): Promise<void> {
    const place = ['--name', 'one', '--data-dir', dataDir, '--address', '127.0.0.1', '--read-only-port', '0'];
    const args = ['--import', SOURCES, MAIN, 'agent', ...place, ...ports, '--runtime', 'fake', '--proxy-mode', 'none'];
    child = spawn(process.execPath, args, { stdio: 'ignore' });
    await eventually('the agent', 90_000, async () => {
      assert.equal(child?.exitCode, null, 'the agent ended');
      // A controller makes the namespace a moment after the API answers.
      return (await skein(['get', 'ns', 'default', '--data-dir', dataDir])).code === 0;
    });
  }

  async function stop(signal: NodeJS.Signals): Promise<void> {
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill(signal);
    await gone;
  }

  const ok = async (...args: string[]) => {
    const { code, out, err } = await skein([...args, '--data-dir', dataDir]);
    assert.equal(code, 0, err);
    return out;
  };
  const apply = async (name: string, text: string) => {
    const file = join(dir, `${name}.yaml`);
    await writeFile(file, `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ${name}}\ndata: {text: ${text}}\n`);
    await ok('apply', '-f', file);
  };
  const get = async (name: string) =>
    JSON.parse(await ok('get', 'cm', name, '-o', 'json')) as {
      data: { text: string };
      metadata: { resourceVersion: string; uid: string };
    };

  async function asNobodySpecial(): Promise<string> {
    const asBob = ['--kubeconfig', join(dataDir, 'admin.kubeconfig'), '--as', 'bob'];
    return (await run(KUBECTL, [...asBob, 'create', '--raw', '/skein/v1/backup', '-f', '/dev/null'])).stderr;
  }

  it('is saved while it runs and comes back as it was, for its users too', async () => {
    const backup = join(dir, 'backup');
    await start();
    await apply('kept', 'before');
    const kept = await get('kept');
    assert.match(await ok('backup', '--with-ca', '-o', backup), /^\d+ objects as of revision \d+ saved to /);
    assert.equal((await stat(backup)).mode & 0o777, 0o600);
    const again = await skein(['backup', '-o', backup, '--data-dir', dataDir]);
    assert.match(again.err, /^error: .* exists already: it is not overwritten\n$/);
    await copyFile(join(dataDir, 'admin.kubeconfig'), join(dir, 'old.kubeconfig'));
    if (existsSync(KUBECTL)) assert.match(await asNobodySpecial(), /Forbidden/);
    await apply('kept', 'after');
    await apply('late', 'gone');
    const running = await run(process.execPath, ['--import', 'tsx', MAIN, 'store', 'verify', '--data-dir', dataDir]);
    assert.match(running.stderr, /is in use by another process: stop its agent first/);
    await stop('SIGKILL');

    assert.match(await ok('store', 'verify'), /\nProblems: +0\n$/);
    assert.match(await ok('store', 'dump', 'cm/kept'), /text: after/);
    const refused = await skein(['restore', backup, '--data-dir', dataDir]);
    assert.deepEqual([refused.code, refused.out], [1, '']);
    assert.match(refused.err, /holds a cluster already/);
    await ok('restore', backup, '--replace');

    await start();
    const restored = await get('kept');
    assert.equal(restored.data.text, 'before');
    assert.equal(restored.metadata.uid, kept.metadata.uid);
    assert.equal((await skein(['get', 'cm', 'late', '--data-dir', dataDir])).code, 1);
    await apply('new', 'text');
    assert.ok(Number((await get('new')).metadata.resourceVersion) > REVISION_GAP);
    const asBefore = await skein(['get', 'cm', 'kept', '--kubeconfig', join(dir, 'old.kubeconfig')]);
    assert.equal(asBefore.code, 0, asBefore.err);
    await stop('SIGTERM');

    // The next damage is found, too.
    const current = join(dataDir, 'store', 'CURRENT');
    await chmod(current, 0o600);
    await writeFile(current, 'MANIFEST-999999\n');
    const verified = await skein(['store', 'verify', '--data-dir', dataDir]);
    assert.equal(verified.code, 1);
    assert.match(verified.out, /^MANIFEST-999999: is missing$/m);
    assert.equal(await readFile(current, 'utf8'), 'MANIFEST-999999\n', 'nothing is repaired in place');
  });
});
