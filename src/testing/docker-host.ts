/**
 * A Docker Engine for tests: the one that answers at DOCKER_HOST or /var/run/docker.sock, otherwise a private one that
 * this process starts (root only) and stops. And a `busybox` image made from this machine's static busybox, because no
 * registry can be assumed.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { pack } from 'tar-stream';
import { systemClock } from '../base/clock.js';
import { DockerEngine } from '../node/runtime/docker/engine.js';
import { DockerImages } from '../node/runtime/docker/images.js';

export interface DockerHost {
  /** `unix://…`, as `--docker-host` takes it. */
  readonly dockerHost: string;
  /** Stops the engine when it was started here, and removes its directories. */
  stop(): Promise<void>;
}

export interface DockerdOptions {
  /** Everything of the engine lives here; removed by `stop`. A new temporary directory unless told. */
  readonly directory?: string;
  /** Network namespace (of iproute2) to run it in. */
  readonly networkNamespace?: string;
  /** Longest wait for it to answer, in milliseconds. */
  readonly startTimeoutMs?: number;
  readonly extraArguments?: readonly string[];
}

const POLL_MS = 50;

/** An engine to test against, or the reason why there is none. */
export async function findOrStartDocker(): Promise<DockerHost | { readonly unavailable: string }> {
  const given = process.env['DOCKER_HOST'] ?? 'unix:///var/run/docker.sock';
  if (await answers(given)) return { dockerHost: given, stop: () => Promise.resolve() };
  if (process.getuid?.() !== 0) return { unavailable: `no Docker answers at ${given} and only root can start one` };
  if (!existsSync('/usr/sbin/dockerd') && !existsSync('/usr/bin/dockerd')) {
    return { unavailable: `no Docker answers at ${given} and dockerd is not installed` };
  }
  return startDockerd({});
}

/** Starts a private dockerd without any network of its own, and resolves when it answers. */
export async function startDockerd(options: DockerdOptions): Promise<DockerHost> {
  const directory = options.directory ?? (await mkdtemp(join(tmpdir(), 'skein-docker-')));
  await mkdir(directory, { recursive: true });
  const dockerHost = `unix://${join(directory, 'docker.sock')}`;
  const log = await open(join(directory, 'dockerd.log'), 'a');
  // Its end follows ours even when this process is killed: no test run leaves an engine behind.
  const leash = existsSync('/usr/bin/setpriv') ? ['setpriv', '--pdeathsig', 'TERM'] : [];
  const inside = options.networkNamespace ? ['ip', 'netns', 'exec', options.networkNamespace] : [];
  const command = [...inside, ...leash, 'dockerd'];
  const argv = [
    ...command.slice(1),
    '--data-root',
    join(directory, 'data'),
    '--exec-root',
    join(directory, 'exec'),
    '--pidfile',
    join(directory, 'docker.pid'),
    '--host',
    dockerHost,
    '--bridge=none',
    '--iptables=false',
    '--ip6tables=false',
    ...(options.extraArguments ?? []),
  ];
  const child = spawn(command[0] ?? 'dockerd', argv, { stdio: ['ignore', log.fd, log.fd], detached: true });
  await log.close();
  const host = { dockerHost, stop: () => stopDockerd(child, directory) };
  const deadline = systemClock.monotonicMs() + (options.startTimeoutMs ?? 30_000);
  while (!(await answers(dockerHost))) {
    if (child.exitCode !== null || systemClock.monotonicMs() > deadline) {
      const text = await readFile(join(directory, 'dockerd.log'), 'utf8').catch(() => '');
      await host.stop();
      throw new Error(`dockerd did not start: ${text.trimEnd().split('\n').slice(-5).join('\n')}`);
    }
    await systemClock.sleep(POLL_MS);
  }
  return host;
}

async function stopDockerd(child: ChildProcess, directory: string): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) {
    child.kill('SIGTERM');
    const gone = once(child, 'exit');
    const cancel = systemClock.timer(20_000, () => child.kill('SIGKILL'));
    await gone;
    cancel();
  }
  // What a killed engine left mounted (the network namespaces of containers, overlays) would keep the directory alive.
  const mounts = (await readFile('/proc/self/mounts', 'utf8')).split('\n').map((line) => line.split(' ')[1] ?? '');
  for (const mount of mounts.filter((path) => path.startsWith(`${directory}/`)).toReversed()) {
    await promisify(execFile)('umount', ['-l', mount]).catch(() => undefined);
  }
  await rm(directory, { recursive: true, force: true });
}

async function answers(dockerHost: string): Promise<boolean> {
  try {
    await new DockerEngine(systemClock, { host: dockerHost, callTimeoutMs: 2_000 }).json('GET', '/version');
    return true;
  } catch {
    return false;
  }
}

/** The image every test uses. */
export const BUSYBOX_IMAGE = 'busybox:skein';

/** Makes {@link BUSYBOX_IMAGE} from /bin/busybox with a link for each of its applets, unless it is there. */
export async function ensureBusybox(dockerHost: string, image = BUSYBOX_IMAGE): Promise<void> {
  const images = new DockerImages(new DockerEngine(systemClock, { host: dockerHost }));
  if (await images.status(image)) return;
  const [repository = image, tag = 'latest'] = image.split(':');
  await images.import(await busyboxRoot(), repository, tag);
}

/** A root file system as a tar archive: busybox, /etc/passwd, and the directories programs expect. */
export async function busyboxRoot(): Promise<Readable> {
  const program = await readFile('/bin/busybox');
  const { stdout } = await promisify(execFile)('/bin/busybox', ['--list']);
  const archive = pack();
  const mtime = new Date(0);
  for (const name of ['bin', 'etc', 'proc', 'sys', 'dev', 'root', 'home', 'var']) {
    archive.entry({ name, type: 'directory', mode: 0o755, mtime });
  }
  archive.entry({ name: 'tmp', type: 'directory', mode: 0o1777, mtime });
  archive.entry({ name: 'bin/busybox', mode: 0o755, mtime }, program);
  for (const applet of stdout.split('\n').filter((name) => name !== '' && name !== 'busybox')) {
    archive.entry({ name: `bin/${applet}`, type: 'symlink', linkname: 'busybox', mtime });
  }
  archive.entry(
    { name: 'etc/passwd', mtime },
    'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n',
  );
  archive.entry({ name: 'etc/group', mtime }, 'root:x:0:\nnogroup:x:65534:\n');
  archive.finalize();
  return Readable.from(archive);
}
