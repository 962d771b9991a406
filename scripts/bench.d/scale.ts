/**
 * How the store's costs grow with what it holds: the same measurements with 1,000, 10,000 and 150,000 objects (four Pods to one
 * ConfigMap, 3 KB each). See `scale-store.ts` for what is real in it.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Replica } from '../../src/store/replication/replica.js';
import { quantile, round, type Bench, type Context, type Figure } from './bench.js';
import { LoopBlocks } from './loop-blocks.js';
import { createReplica, keyOf, seed, Wire } from './scale-store.js';

const SIZES = (process.env['SCALE_SIZES'] ?? '1000,10000,150000').split(',').map(Number);
/** Writes one after the other, and as many at once as a busy cluster has. */
const SINGLE_WRITES = 300;
const CROWD_WRITES = 3_000;
const IN_FLIGHT = 64;
/** Of them one is written by the other side; without any, one log continues the other and there is nothing to compare. */
const DIFFERENCES = [0, 1, 10, 1_000];
const DIVERGED = 10_000;
/** For the slowest phase, with 150,000 objects on a busy machine. */
const WAIT_MS = 900_000;

interface Loaded {
  readonly loadMs: number;
  readonly cpuMs: number;
  readonly blockMs: number;
  readonly heapMiB: number;
  readonly rssMiB: number;
}

async function until(what: string, isSo: () => boolean): Promise<void> {
  for (const endMs = performance.now() + WAIT_MS; !isSo(); await sleep(5)) {
    if (performance.now() > endMs) throw new Error(`waited in vain: ${what}`);
  }
}

let requests = 0;

async function write(replica: Replica, number: number, note: string): Promise<void> {
  const { code } = await replica.write(`r-${requests++}`, { number, note });
  if (code !== 200) throw new Error(`answer ${code}`);
}

/** Writes notes to objects, so many at once. */
async function writeAll(replica: Replica, numbers: readonly number[], note: string): Promise<void> {
  const rest = [...numbers];
  const work = async () => {
    for (let number = rest.pop(); number !== undefined; number = rest.pop()) await write(replica, number, note);
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, work));
}

/** So many objects, spread over all of them. */
const spread = (count: number, size: number) =>
  Array.from({ length: Math.min(count, size) }, (_, i) => Math.floor((i * size) / Math.min(count, size)));

/** A pair of peers over one state, and what happens to them. */
class Pair {
  readonly wire = new Wire();
  readonly blocks = new LoopBlocks();
  private readonly a: Replica;
  private readonly b: Replica;

  constructor(
    directory: string,
    private readonly size: number,
  ) {
    this.wire.arrange(['a'], ['b']);
    this.a = createReplica('a', join(directory, 'a'), this.wire.network('a'), true);
    this.b = createReplica('b', join(directory, 'b'), this.wire.network('b'), false);
  }

  async start(): Promise<void> {
    await this.a.start();
    await until('a leads', () => this.a.leader === 'a');
    await writeAll(this.a, spread(200, this.size), 'warm');
  }

  async stop(): Promise<void> {
    this.blocks.stop();
    await this.b.stop();
    await this.a.stop();
  }

  async writeCost() {
    const times: number[] = [];
    this.blocks.take();
    for (const number of spread(SINGLE_WRITES, this.size)) {
      const beganMs = performance.now();
      await write(this.a, number, 'single');
      times.push(performance.now() - beganMs);
    }
    const numbers = Array.from({ length: CROWD_WRITES }, (_, i) => (i * 7_919) % this.size);
    const began = process.cpuUsage();
    await writeAll(this.a, numbers, 'crowd');
    const { user, system } = process.cpuUsage(began);
    return {
      p50: quantile(times, 0.5) ?? 0,
      p99: quantile(times, 0.99) ?? 0,
      cpuUs: (user + system) / CROWD_WRITES,
      blockMs: this.blocks.take(),
    };
  }

  async catchUp() {
    await this.b.start();
    return this.meet();
  }

  /** Each goes on alone; `diverge` writes on both sides. */
  async part(diverge: () => Promise<void>): Promise<void> {
    this.wire.arrange(['a'], ['b']);
    await until('both lead', () => this.a.leader === 'a' && this.b.leader === 'b');
    await diverge();
  }

  write(side: 'a' | 'b', count: number): Promise<void> {
    return writeAll(this[side], spread(count, this.size), `${side} ${count}`);
  }

  /** So many objects that are not the same on both sides. */
  async differ(count: number): Promise<void> {
    if (count > 0) await write(this.b, 0, `b ${count}`);
    await this.write('a', count);
  }

  /** One side goes on, and the other just enough not to be continued by its log. */
  async changeOnOneSide(): Promise<void> {
    await write(this.b, 0, 'b alone');
    await this.write('a', DIVERGED);
  }

  async changeOnBoth(): Promise<void> {
    await this.write('a', DIVERGED);
    await this.write('b', DIVERGED);
  }

  /** Both reach each other; until they hold the same. */
  async meet() {
    const { wire, a, b } = this;
    wire.forget();
    this.blocks.take();
    const beganMs = performance.now();
    const began = process.cpuUsage();
    wire.arrange(['a', 'b']);
    const inStep = () => {
      const [one, two] = [a.view, b.view];
      return one?.voters.length === 2 && two?.voters.length === 2 && a.revision === b.revision;
    };
    await until('both hold the same', inStep);
    const { user, system } = process.cpuUsage(began);
    const ms = performance.now() - beganMs;
    this.compare();
    const cpuMs = (user + system) / 1000;
    return { ms, cpuMs, bytes: wire.syncBytes, largest: wire.largest, blockMs: this.blocks.take() };
  }

  private compare(): void {
    for (const number of spread(500, this.size)) {
      const [one, two] = [this.a.get(keyOf(number)), this.b.get(keyOf(number))];
      if (JSON.stringify(one) !== JSON.stringify(two)) throw new Error(`object ${number} differs`);
    }
  }
}

const KIB = 2 ** 10;
const lower = { better: 'lower' } as const;

async function loadAlone(directory: string): Promise<Loaded> {
  const program = join(import.meta.dirname, 'scale-load.ts');
  const options = ['--expose-gc', '--max-old-space-size=8192', '--import', 'tsx', program, directory];
  const { stdout } = await promisify(execFile)(process.execPath, options, { timeout: WAIT_MS });
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Loaded;
}

async function figuresOf(size: number, context: Context): Promise<Figure[]> {
  const directory = await mkdtemp(join(tmpdir(), 'skein-scale-'));
  context.defer(() => rm(directory, { recursive: true, force: true }));
  const of = `${size.toLocaleString('en-US')} objects`;
  const say = (text: string) => context.log(`${of}: ${text}`);
  await seed(join(directory, 'a'), size);
  const loaded = await loadAlone(join(directory, 'a'));
  say(`loaded in ${round(loaded.loadMs)} ms, ${round(loaded.heapMiB)} MiB`);
  const pair = new Pair(directory, size);
  context.defer(() => pair.stop());
  await pair.start();
  const cost = await pair.writeCost();
  say(`a write costs ${round(cost.cpuUs)} µs of processor`);
  const caughtUp = await pair.catchUp();
  say(`caught up in ${round(caughtUp.ms)} ms, longest block ${round(caughtUp.blockMs)} ms`);
  const rounds: Figure[] = [];
  const blocks: [phase: string, ms: number][] = [
    ['loading', loaded.blockMs],
    ['writes', cost.blockMs],
    ['catching up', caughtUp.blockMs],
  ];
  for (const count of DIFFERENCES) {
    await pair.part(() => pair.differ(count));
    const { ms, bytes, blockMs, largest } = await pair.meet();
    say(`${count} differences: ${round(ms)} ms, ${bytes} bytes, longest block ${round(blockMs)} ms`);
    const note = `${round(ms)} ms from contact to one state; largest message ${round(largest / KIB)} KiB`;
    const what = `${of}: sync with ${count.toLocaleString('en-US')} differences`;
    blocks.push([`${count} differences`, blockMs]);
    rounds.push({ what, unit: 'KiB', ...lower, skein: round(bytes / KIB, 1), note });
  }
  const merges: Figure[] = [];
  const diverged = Math.min(DIVERGED, size).toLocaleString('en-US');
  for (const [how, diverge] of [
    ['on one side', () => pair.changeOnOneSide()],
    ['on both sides', () => pair.changeOnBoth()],
  ] as const) {
    await pair.part(diverge);
    const { ms, cpuMs, bytes, blockMs } = await pair.meet();
    say(`merged what changed ${how} in ${round(ms)} ms, longest block ${round(blockMs)} ms`);
    blocks.push([`merge of what changed ${how}`, blockMs]);
    merges.push({
      what: `${of}: merge of ${diverged} changed ${how}`,
      unit: 's',
      ...lower,
      skein: round(ms / 1000, 2),
      note: `${round(cpuMs / 1000, 2)} s of processor (both peers), ${round(bytes / KIB / KIB, 1)} MiB`,
    });
  }
  await pair.stop();
  return [
    {
      what: `${of}: memory of a peer (RSS)`,
      unit: 'MiB',
      ...lower,
      skein: round(loaded.rssMiB),
      goal: { text: '≤ 2 GiB', atMost: 2048, of: 'value' },
      note: `${round((loaded.heapMiB * KIB) / size, 1)} KiB an object after a collection`,
    },
    {
      what: `${of}: loading from disk`,
      unit: 's',
      ...lower,
      skein: round(loaded.loadMs / 1000, 2),
      note: `${round(loaded.cpuMs / 1000, 2)} s of processor`,
    },
    {
      what: `${of}: a write, one at a time, p50`,
      unit: 'ms',
      ...lower,
      skein: round(cost.p50, 2),
      note: `p99 ${round(cost.p99, 2)} ms, with fsync`,
    },
    {
      what: `${of}: processor time of a write`,
      unit: 'µs',
      ...lower,
      skein: round(cost.cpuUs),
      note: `${IN_FLIGHT} at once`,
    },
    {
      what: `${of}: an empty peer catches up`,
      unit: 's',
      ...lower,
      skein: round(caughtUp.ms / 1000, 2),
      note: `${round(caughtUp.bytes / KIB / KIB, 1)} MiB, largest message ${round(caughtUp.largest / KIB)} KiB`,
    },
    ...rounds,
    ...merges,
    {
      what: `${of}: longest block of the event loop`,
      unit: 'ms',
      ...lower,
      skein: round(Math.max(...blocks.map(([, ms]) => ms))),
      goal: { text: '≤ 50 ms', atMost: 50, of: 'value' },
      note: `both peers in one; ${blocks.map(([phase, ms]) => `${phase} ${round(ms)}`).join(', ')}`,
    },
  ];
}

async function run(context: Context): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const size of SIZES) figures.push(...(await figuresOf(size, context)));
  return figures;
}

export const scale: Bench = {
  name: 'scale',
  about: 'memory, loading, writes, catching up, synchronising and merging with 1,000 to 150,000 objects',
  hosts: false,
  limitSeconds: 1_800,
  run,
};
