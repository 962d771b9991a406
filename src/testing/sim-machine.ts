/** A simulated machine around a simulated peer: its containers, their addresses and files outlive the agent's process. */
import type { Clock } from '../base/clock.js';
import { seededRandom, uuid, type Random } from '../base/random.js';
import type { MachineFacts } from '../node/kubelet/node-registration.js';
import { FakeRuntime } from '../node/runtime/fake/fake-runtime.js';
import { shellProgram } from '../node/runtime/fake/shell-program.js';
import type { PodIdentity, PodNetwork } from '../node/runtime/runtime.js';
import type { FileTable } from './sim-runtime.js';

/** Milliseconds that an engine takes, about as Docker does. */
const LATENCY = {
  runSandbox: [40, 120],
  createContainer: [10, 40],
  startContainer: [20, 80],
  stopContainer: [5, 20],
  removeContainer: [5, 20],
  stopSandbox: [10, 40],
  removeSandbox: [5, 20],
  pullImage: [100, 800],
} as const;

const MEMORY_BYTES = 8 * 2 ** 30;
const DISK_BYTES = 100 * 2 ** 30;

export class SimMachine {
  readonly runtime: FakeRuntime;
  readonly files: FileTable = new Map();
  readonly address: string;
  private readonly random: Random;
  private bootId: string;

  /** @param number tells machines apart, from 0 to 200; their pods' addresses too. */
  constructor(clock: Clock, number: number, seed: number) {
    this.random = seededRandom(seed);
    this.address = `192.168.0.${number + 10}`;
    this.bootId = uuid(this.random);
    const network = podNetwork(number);
    this.runtime = new FakeRuntime(
      { clock, random: this.random, network },
      { programs: shellProgram, latencyMs: LATENCY, images: ['app:1', 'app:2'] },
    );
  }

  get facts(): MachineFacts {
    return {
      architecture: 'amd64',
      bootId: this.bootId,
      machineId: this.address,
      systemUuid: this.address,
      kernelVersion: '6.1.0',
      osImage: 'Simulated',
      cpus: 4,
      memoryBytes: MEMORY_BYTES,
      ephemeralStorageBytes: DISK_BYTES,
      pressure: () => Promise.resolve({ memory: false, disk: false, pids: false }),
    };
  }

  /** Pods of which at least one container runs now. */
  async running(): Promise<readonly PodIdentity[]> {
    const { containers } = await this.runtime.list();
    const pods = new Map(containers.filter(({ state }) => state === 'running').map(({ pod }) => [pod.uid, pod]));
    return [...pods.values()];
  }

  /** The power was gone: nothing runs any more. */
  async reboot(): Promise<void> {
    this.bootId = uuid(this.random);
    for (const { id, state } of (await this.runtime.list()).sandboxes)
      if (state === 'ready') this.runtime.crashSandbox(id);
  }
}

/** The lowest free address of the machine's own network. */
function podNetwork(number: number): PodNetwork {
  const taken = new Map<string, number>();
  return {
    attach(sandboxId) {
      const used = new Set(taken.values());
      let host = taken.get(sandboxId) ?? 2;
      if (!taken.has(sandboxId)) while (used.has(host)) host++;
      taken.set(sandboxId, host);
      return Promise.resolve([`10.244.${number}.${host}`]);
    },
    detach(sandboxId) {
      taken.delete(sandboxId);
      return Promise.resolve();
    },
  };
}
