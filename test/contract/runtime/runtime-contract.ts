/** What every runtime promises the kubelet, whatever is behind it. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Readable } from 'node:stream';
import { systemClock } from '../../../src/base/clock.js';
import { RuntimeError } from '../../../src/node/runtime/runtime.js';
import type {
  Container,
  ContainerConfig,
  LogOptions,
  Runtime,
  Sandbox,
  SandboxConfig,
} from '../../../src/node/runtime/runtime.js';

export interface RuntimeUnderTest {
  readonly runtime: Runtime;
  /** A second one on the same engine, as an agent that was started again has. Undefined when there cannot be any. */
  again(): Promise<Runtime>;
  readonly image: string;
  /** Listens on the pod's port 8080 and answers `pong` to every connection. */
  readonly server: readonly string[];
  readonly stop: () => Promise<void>;
}

/** Set up, or the reason why this runtime cannot be tested on this machine. */
export type RuntimeSetup = () => Promise<RuntimeUnderTest | { readonly unavailable: string }>;

/** Programs every runtime must be able to run; the fake one recognises them by their text. */
export const PROGRAMS = {
  rest: ['sh', '-c', 'trap "exit 0" TERM; while :; do sleep 0.05; done'],
  deaf: ['sh', '-c', 'trap "" TERM; while :; do sleep 0.05; done'],
  succeed: ['sh', '-c', 'echo one; echo two; echo oops >&2; echo three'],
  fail: ['sh', '-c', 'exit 7'],
  missing: ['/no/such/program'],
} as const;

let pods = 0;

export function runtimeContract(name: string, setup: RuntimeSetup): void {
  describe(`runtime contract: ${name}`, function () {
    this.timeout(60_000);
    let under: RuntimeUnderTest;
    let runtime: Runtime;

    before(async function () {
      const result = await setup();
      if ('unavailable' in result) {
        process.stderr.write(`SKIPPED runtime contract of ${name}: ${result.unavailable}\n`);
        this.skip();
      }
      under = result;
      runtime = under.runtime;
      await runtime.start();
    });

    afterEach(async () => {
      const { sandboxes, containers } = await runtime.list();
      await Promise.all(containers.map((container) => runtime.removeContainer(container.id)));
      await Promise.all(sandboxes.map((sandbox) => runtime.removeSandbox(sandbox.id)));
    });

    after(async () => {
      if (!under) return;
      await runtime.stop();
      await under.stop();
    });

    const sandboxConfig = (change: Partial<SandboxConfig> = {}): SandboxConfig => ({
      namespace: 'default',
      name: `pod-${++pods}`,
      uid: `uid-${process.pid}-${pods}`,
      attempt: 0,
      hostname: `pod-${pods}`,
      hostNetwork: false,
      hostPid: false,
      hostIpc: false,
      shareProcessNamespace: false,
      sysctls: {},
      dns: { servers: ['10.96.0.10'], searches: ['default.svc.cluster.local'], options: ['ndots:5'] },
      annotations: { 'skein.dev/spec': 'x "y" z' },
      ...change,
    });

    const containerConfig = (
      sandbox: Sandbox,
      command: readonly string[],
      change: Partial<ContainerConfig> = {},
    ): ContainerConfig => ({
      pod: { namespace: sandbox.namespace, name: sandbox.name, uid: sandbox.uid },
      sandboxId: sandbox.id,
      name: 'main',
      attempt: 0,
      imageId: '',
      image: under.image,
      command,
      args: undefined,
      workingDir: undefined,
      env: [['GREETING', 'hello world']],
      mounts: [],
      resources: { cpuShares: 2, cpuQuotaUs: 0, cpuPeriodUs: 100_000, memoryLimitBytes: 0, oomScoreAdj: 1000 },
      user: undefined,
      groups: [],
      privileged: false,
      readOnlyRootfs: false,
      addCapabilities: [],
      dropCapabilities: [],
      noNewPrivileges: false,
      stdin: false,
      stdinOnce: false,
      tty: false,
      labels: {},
      annotations: { hash: '42' },
      ...change,
    });

    const run = async (command: readonly string[], change: Partial<ContainerConfig> = {}) => {
      const sandbox = await runtime.runSandbox(sandboxConfig());
      const id = await runtime.createContainer(containerConfig(sandbox, command, change));
      await runtime.startContainer(id);
      return { sandbox, id };
    };

    const see = async (id: string): Promise<Container> => {
      const found = (await runtime.list()).containers.find((container) => container.id === id);
      assert.ok(found, `container ${id} is listed`);
      return found;
    };

    const until = async <T>(what: string, probe: () => Promise<T | undefined | false>): Promise<T> => {
      const deadline = systemClock.monotonicMs() + 15_000;
      for (;;) {
        const value = await probe();
        if (value) return value;
        assert.ok(systemClock.monotonicMs() < deadline, `never happened: ${what}`);
        await systemClock.sleep(10);
      }
    };

    const untilExited = (id: string) =>
      until('the container exits', async () => {
        const container = await see(id);
        return container.state === 'exited' && container;
      });

    const logOf = async (id: string, change: Partial<LogOptions> = {}) => {
      const signal = new AbortController().signal;
      const options = { follow: false, tailLines: undefined, sinceMs: undefined, timestamps: false, signal, ...change };
      const texts = { stdout: '', stderr: '' };
      for await (const chunk of runtime.logs(id, options)) texts[chunk.stream] += Buffer.from(chunk.data).toString();
      return texts;
    };

    const execIn = async (id: string, command: readonly string[], stdin?: string) => {
      let stdout = '';
      let stderr = '';
      const exitCode = await runtime.exec(id, {
        command,
        tty: false,
        stdin: stdin === undefined ? undefined : Readable.from([Buffer.from(stdin)]),
        onStdout: (data) => (stdout += Buffer.from(data).toString()),
        onStderr: (data) => (stderr += Buffer.from(data).toString()),
        signal: new AbortController().signal,
      });
      return { exitCode, stdout, stderr };
    };

    it('runs a sandbox and lists it as it was asked for', async () => {
      const config = sandboxConfig({ attempt: 3 });
      const made = await runtime.runSandbox(config);
      assert.equal(made.state, 'ready');
      const { sandboxes } = await runtime.listPod(config.uid);
      assert.deepEqual(sandboxes, [made]);
      assert.equal(made.attempt, 3);
      assert.equal(made.name, config.name);
      assert.deepEqual(made.annotations, config.annotations);
    });

    it('lists a stopped sandbox as not ready and a removed one not at all', async () => {
      const made = await runtime.runSandbox(sandboxConfig());
      await runtime.stopSandbox(made.id);
      const stopped = await until('the sandbox stops', async () => {
        const { sandboxes } = await runtime.listPod(made.uid);
        return sandboxes[0]?.state === 'notready' && sandboxes[0];
      });
      assert.equal(stopped.pid, 0);
      await runtime.removeSandbox(made.id);
      assert.deepEqual((await runtime.listPod(made.uid)).sandboxes, []);
      await runtime.stopSandbox(made.id);
      await runtime.removeSandbox(made.id);
    });

    it('takes a container from created over running to exited', async () => {
      const sandbox = await runtime.runSandbox(sandboxConfig());
      const id = await runtime.createContainer(containerConfig(sandbox, PROGRAMS.rest, { attempt: 2 }));
      const created = await see(id);
      assert.equal(created.state, 'created');
      assert.equal(created.startedAtMs, 0);
      assert.ok(created.createdAtMs > 0);
      await runtime.startContainer(id);
      const running = await see(id);
      assert.equal(running.state, 'running');
      assert.ok(running.startedAtMs >= created.createdAtMs && running.pid > 0);
      await runtime.stopContainer(id, 10);
      const exited = await see(id);
      assert.equal(exited.state, 'exited');
      assert.ok(exited.finishedAtMs >= running.startedAtMs);
      assert.equal(exited.exitCode, 0);
      assert.equal(exited.reason, 'Completed');
      assert.equal(exited.pid, 0);
      assert.deepEqual(exited.annotations, { hash: '42' });
      assert.equal(exited.attempt, 2);
      assert.equal(exited.sandboxId, sandbox.id);
      assert.equal(exited.image, under.image);
      await runtime.removeContainer(id);
      assert.deepEqual((await runtime.listPod(sandbox.uid)).containers, []);
      await runtime.removeContainer(id);
      await runtime.stopContainer(id, 0);
    });

    it('tells the exit code of a program that fails', async () => {
      const { id } = await run(PROGRAMS.fail);
      const exited = await untilExited(id);
      assert.equal(exited.exitCode, 7);
      assert.equal(exited.reason, 'Error');
    });

    it('kills a program that ignores the request to stop once its grace is over', async () => {
      const { id } = await run(PROGRAMS.deaf);
      const startMs = systemClock.monotonicMs();
      await runtime.stopContainer(id, 1);
      const tookMs = systemClock.monotonicMs() - startMs;
      assert.ok(tookMs >= 900 && tookMs < 8_000, `took ${tookMs} ms`);
      const exited = await see(id);
      assert.equal(exited.exitCode, 137);
      assert.equal(exited.reason, 'Error');
    });

    it('says why a program cannot be started, and lists it as exited', async () => {
      const sandbox = await runtime.runSandbox(sandboxConfig());
      const id = await runtime.createContainer(containerConfig(sandbox, PROGRAMS.missing));
      await assert.rejects(runtime.startContainer(id), (error) => {
        assert.ok(error instanceof RuntimeError);
        assert.equal(error.code, 'ERR_RUN_CONTAINER');
        assert.match(error.message, /no such (file|program)|not found|ENOENT/i);
        return true;
      });
      const seen = await see(id);
      assert.equal(seen.state, 'exited');
      assert.equal(seen.reason, 'ContainerCannotRun');
      assert.ok(seen.exitCode === 127 || seen.exitCode === 128);
      assert.notEqual(seen.message, '');
    });

    it('keeps the log of a program that ended, its streams apart', async () => {
      const { id } = await run(PROGRAMS.succeed);
      await untilExited(id);
      assert.deepEqual(await logOf(id), { stdout: 'one\ntwo\nthree\n', stderr: 'oops\n' });
    });

    it('gives the last lines, those since a time, and times before them', async () => {
      const { id } = await run(PROGRAMS.succeed);
      const exited = await untilExited(id);
      const last = await logOf(id, { tailLines: 1 });
      assert.equal(`${last.stdout}${last.stderr}`.split('\n').length, 2);
      assert.deepEqual(await logOf(id, { tailLines: 0 }), { stdout: '', stderr: '' });
      assert.deepEqual(await logOf(id, { sinceMs: exited.finishedAtMs + 60_000 }), { stdout: '', stderr: '' });
      assert.match((await logOf(id, { timestamps: true })).stdout, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z one\n/);
    });

    it('follows a log to the end of the program', async () => {
      const { id } = await run(PROGRAMS.succeed);
      assert.equal((await logOf(id, { follow: true })).stdout, 'one\ntwo\nthree\n');
    });

    it('ends a followed log when the reader goes away', async () => {
      const { id } = await run(PROGRAMS.rest);
      const abort = new AbortController();
      const reading = logOf(id, { follow: true, signal: abort.signal });
      abort.abort();
      await reading;
    });

    it('runs a command in a container and tells its output and exit code', async () => {
      const { id } = await run(PROGRAMS.rest);
      const result = await execIn(id, ['sh', '-c', 'echo "$GREETING"; echo bad >&2; exit 3']);
      assert.deepEqual(result, { exitCode: 3, stdout: 'hello world\n', stderr: 'bad\n' });
    });

    it('gives a command its input', async () => {
      const { id } = await run(PROGRAMS.rest);
      assert.deepEqual(await execIn(id, ['cat'], 'from outside'), { exitCode: 0, stdout: 'from outside', stderr: '' });
    });

    it('tells of a command that is not there by an exit code', async () => {
      const { id } = await run(PROGRAMS.rest);
      const { exitCode } = await execIn(id, ['/no/such/command']);
      assert.ok(exitCode === 126 || exitCode === 127, `exit code ${exitCode}`);
    });

    it('says when a pod changed', async () => {
      const seen = new Set<string>();
      const off = runtime.onEvent((event) => seen.add(event.podUid));
      const { id, sandbox } = await run(PROGRAMS.rest);
      await until('an event after the start', () => Promise.resolve(seen.has(sandbox.uid)));
      await systemClock.sleep(200);
      seen.clear();
      await runtime.stopContainer(id, 5);
      await until('an event after the end', () => Promise.resolve(seen.has(sandbox.uid)));
      off();
    });

    it('connects to a port of the pod', async () => {
      const { sandbox } = await run(under.server);
      const answer = await until('the server answers', async () => {
        try {
          const connection = await runtime.portForward(sandbox.id, 8080);
          const [data] = (await once(connection, 'data', { signal: AbortSignal.timeout(5_000) })) as [Buffer];
          connection.destroy();
          return data.toString();
        } catch {
          return undefined;
        }
      });
      assert.match(answer, /^pong/);
    });

    it('refuses a port nobody listens on', async () => {
      const { sandbox } = await run(PROGRAMS.rest);
      await assert.rejects(runtime.portForward(sandbox.id, 9), /failed to connect/);
    });

    it('measures what runs, and nothing else', async () => {
      const { id } = await run(PROGRAMS.rest);
      const stats = await until('figures', () => runtime.stats(id));
      assert.ok(stats.cpuNanoseconds >= 0 && stats.memoryBytes >= 0);
      await runtime.stopContainer(id, 5);
      assert.equal(await runtime.stats(id), undefined);
    });

    it('knows its images', async () => {
      const image = await runtime.imageStatus(under.image);
      assert.ok(image);
      assert.match(image.id, /^sha256:/);
    });

    it('adopts everything after a restart of the agent', async () => {
      const { id, sandbox } = await run(PROGRAMS.rest);
      const before = await runtime.listPod(sandbox.uid);
      const later = await under.again();
      await later.start();
      assert.deepEqual(await later.listPod(sandbox.uid), before);
      await later.stopContainer(id, 5);
      assert.equal((await see(id)).state, 'exited');
      await later.stop();
    });

    it('answers "not found" for what it does not have', async () => {
      const isNotFound = (error: unknown) => error instanceof RuntimeError && error.code === 'ERR_NOT_FOUND';
      await assert.rejects(runtime.startContainer('nothing'), isNotFound);
      await assert.rejects(execIn('nothing', ['true']), isNotFound);
      await assert.rejects(runtime.portForward('nothing', 1), isNotFound);
    });

    it('runs many pods at once', async () => {
      const started = await Promise.all(Array.from({ length: 5 }, () => run(PROGRAMS.rest)));
      const { containers } = await runtime.list();
      for (const { id } of started) assert.equal(containers.find((one) => one.id === id)?.state, 'running');
    });
  });
}
