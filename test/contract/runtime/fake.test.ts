import { PassThrough } from 'node:stream';
import { systemClock } from '../../../src/base/clock.js';
import { seededRandom } from '../../../src/base/random.js';
import { FakeRuntime } from '../../../src/node/runtime/fake/fake-runtime.js';
import type { FakeExecResult, FakeProgram } from '../../../src/node/runtime/fake/program.js';
import { PROGRAMS, runtimeContract } from './runtime-contract.js';

const SERVER = ['serve'];

const exec = (command: readonly string[], stdin: string): FakeExecResult => {
  if (command[0] === 'cat') return { exitCode: 0, stdout: stdin };
  if (command[0] === 'sh') return { exitCode: 3, stdout: 'hello world\n', stderr: 'bad\n' };
  return { exitCode: 127 };
};

const programs: ReadonlyMap<readonly string[], FakeProgram> = new Map<readonly string[], FakeProgram>([
  [PROGRAMS.rest, { exec, stopExitCode: 0 }],
  [PROGRAMS.deaf, { stopAfterMs: 'never' }],
  [PROGRAMS.succeed, { stdout: ['one', 'two', 'three'], stderr: ['oops'], exitAfterMs: 5 }],
  [PROGRAMS.fail, { exitAfterMs: 5, exitCode: 7 }],
  [PROGRAMS.missing, { startError: 'no such program' }],
  [SERVER, { connect: (port) => (port === 8080 ? answering('pong\n') : undefined) }],
]);

function answering(text: string): PassThrough {
  const stream = new PassThrough();
  stream.write(text);
  return stream;
}

runtimeContract('fake', () => {
  const runtime = new FakeRuntime(
    { clock: systemClock, random: seededRandom(1) },
    { images: ['busybox:skein'], programs: (config) => programs.get(config.command ?? []) ?? {} },
  );
  const again = () => Promise.resolve(runtime);
  return Promise.resolve({ runtime, again, image: 'busybox:skein', server: SERVER, stop: () => Promise.resolve() });
});
