/** Loads the store in the directory given, in a process of its own, and says what that took as one line of JSON. */
import { LoopBlocks } from './loop-blocks.js';
import { createReplica, Wire } from './scale-store.js';

const usedMiB = () => {
  globalThis.gc?.();
  const { heapUsed, external, rss } = process.memoryUsage();
  return { heapMiB: (heapUsed + external) / 2 ** 20, rssMiB: rss / 2 ** 20 };
};

const [directory = ''] = process.argv.slice(2);
const before = usedMiB();
const blocks = new LoopBlocks();
const wire = new Wire();
wire.arrange(['a']);
const replica = createReplica('a', directory, wire.network('a'), true);
const beganMs = performance.now();
const beganCpu = process.cpuUsage();
await replica.start();
const cpu = process.cpuUsage(beganCpu);
const loadMs = performance.now() - beganMs;
const blockMs = blocks.take();
blocks.stop();
const after = usedMiB();
console.log(
  JSON.stringify({
    loadMs,
    cpuMs: (cpu.user + cpu.system) / 1000,
    blockMs,
    heapMiB: after.heapMiB - before.heapMiB,
    rssMiB: after.rssMiB,
  }),
);
await replica.stop();
process.exit(0);
