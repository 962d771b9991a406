import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../../src/base/clock.js';
import { silentLogger } from '../../../src/base/log.js';
import { systemRandom } from '../../../src/base/random.js';
import { ProcessRuntime } from '../../../src/node/runtime/process/process-runtime.js';
import { runtimeContract } from './runtime-contract.js';

const SERVER_SOURCE = `require('net').createServer((s) => s.end('pong\\n')).listen(8080, process.env.POD_IP)`;

runtimeContract('process', async () => {
  const stateDirectory = await mkdtemp(join(tmpdir(), 'skein-process-'));
  const make = () =>
    new ProcessRuntime({ clock: systemClock, random: systemRandom, log: silentLogger }, { stateDirectory });
  return {
    runtime: make(),
    again: () => Promise.resolve(make()),
    image: 'anything',
    server: [process.execPath, '-e', SERVER_SOURCE],
    stop: () => rm(stateDirectory, { recursive: true, force: true }),
  };
});
