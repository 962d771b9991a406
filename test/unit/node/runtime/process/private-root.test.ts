import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { inPrivateRoot } from '../../../../../src/node/runtime/process/private-root.js';

const run = promisify(execFile);

/** Unprivileged, and in most sandboxes, nothing can be mounted. */
const canMount = async () =>
  process.getuid?.() === 0 &&
  (await run('unshare', ['--mount', 'mount', '-t', 'tmpfs', 'none', '/mnt']).then(
    () => true,
    () => false,
  ));

describe('the private root of a process container', () => {
  let directory: string;

  before(async function () {
    if (!(await canMount())) this.skip();
    directory = await mkdtemp(join(tmpdir(), 'private-root-'));
    await mkdir(join(directory, 'work'));
    await mkdir(join(directory, 'files'));
    await writeFile(join(directory, 'files', 'token'), 'secret');
  });
  after(async () => {
    if (directory) await rm(directory, { recursive: true, force: true });
  });

  it('mounts below links of the root inside it, not on the machine', async function () {
    const lower = join(directory, 'lower');
    const outside = join(directory, 'outside');
    await mkdir(join(lower, 'var'), { recursive: true });
    await symlink(outside, join(lower, 'var', 'run'));
    for (const name of ['bin', 'lib', 'lib64', 'usr']) {
      if (existsSync(`/${name}`)) await mkdir(join(lower, name));
    }
    const bound = ['bin', 'lib', 'lib64', 'usr'].filter((name) => existsSync(`/${name}`));
    const argv = inPrivateRoot(
      {
        lower,
        work: join(directory, 'work'),
        mounts: [
          ...bound.map((name) => ({
            hostPath: `/${name}`,
            containerPath: `/${name}`,
            readOnly: true,
            propagation: 'private' as const,
          })),
          {
            hostPath: join(directory, 'files'),
            containerPath: '/var/run/secrets/kubernetes.io/serviceaccount',
            readOnly: true,
            propagation: 'private',
          },
        ],
        workingDir: '/',
        uid: undefined,
        gid: undefined,
      },
      ['cat', '/var/run/secrets/kubernetes.io/serviceaccount/token'],
    );
    const [command = '', ...rest] = argv;
    const { stdout } = await run(command, rest).catch((error: Error & { stderr?: string }) => {
      // An overlay on an overlay cannot be made everywhere.
      if (/overlay/.test(error.stderr ?? '')) this.skip();
      throw error;
    });
    assert.equal(stdout, 'secret');
    assert.equal(existsSync(outside), false);
  });
});
