import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../../src/base/clock.js';
import { silentLogger } from '../../../src/base/log.js';
import { DockerRuntime } from '../../../src/node/runtime/docker/docker-runtime.js';
import { BUSYBOX_IMAGE, ensureBusybox, findOrStartDocker } from '../../../src/testing/docker-host.js';
import { runtimeContract } from './runtime-contract.js';

runtimeContract('docker', async () => {
  const host = await findOrStartDocker();
  if ('unavailable' in host) return host;
  await ensureBusybox(host.dockerHost);
  const stateDirectory = await mkdtemp(join(tmpdir(), 'skein-runtime-'));
  const options = { dockerHost: host.dockerHost, stateDirectory, scope: `test-${process.pid}` };
  const make = () => new DockerRuntime({ clock: systemClock, log: silentLogger }, options);
  return {
    runtime: make(),
    again: () => Promise.resolve(make()),
    image: BUSYBOX_IMAGE,
    server: ['nc', '-ll', '-p', '8080', '-e', 'echo', 'pong'],
    stop: async () => {
      await rm(stateDirectory, { recursive: true, force: true });
      await host.stop();
    },
  };
});
