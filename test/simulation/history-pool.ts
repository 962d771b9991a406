/** Runs many histories, on all processors: each worker is a process of its own that keeps its code warm. */
import { fork, type ChildProcess } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';

export interface HistorySummary {
  readonly seed: number;
  readonly peers: number;
  readonly whole: boolean;
  readonly problems: readonly string[];
  readonly operations: number;
  readonly acknowledged: number;
  readonly convergedMs: number;
  readonly events: number;
  /** How many of each kind. */
  readonly faults: Readonly<Record<string, number>>;
}

/** Seeds `first` … `first + count - 1`. */
export interface Share {
  readonly first: number;
  readonly count: number;
}

interface Done {
  readonly done: true;
  /** Processor time of the worker so far, in milliseconds. */
  readonly cpuMs: number;
}

/** Seeds handed to a worker at once: few, so that all end at about the same time. */
const SHARE = 10;

export interface PoolOptions {
  readonly first: number;
  /** Undefined: until `isOver`. */
  readonly count?: number;
  /** Asked before each share. */
  readonly isOver?: () => boolean;
  readonly onSummary: (summary: HistorySummary) => void;
  /** Processes; one for each processor unless told. */
  readonly workers?: number;
}

export interface PoolResult {
  /** The first seed that was not begun. */
  readonly next: number;
  /** Processor time of all workers, in milliseconds, loading included. */
  readonly cpuMs: number;
  /** Processes that ran at once. */
  readonly workers: number;
}

/** Resolves when all are done. Rejects when a worker ends before its time. */
export async function runAll(options: PoolOptions): Promise<PoolResult> {
  const end = options.count === undefined ? Infinity : options.first + options.count;
  let next = options.first;
  const take = (): Share | undefined => {
    if (next >= end || options.isOver?.()) return undefined;
    const share = { first: next, count: Math.min(SHARE, end - next) };
    next += share.count;
    return share;
  };
  const workers = Math.min(options.workers ?? availableParallelism(), Math.ceil((end - next) / SHARE));
  const used = await Promise.all(Array.from({ length: workers }, () => work(take, options.onSummary)));
  return { next, workers, cpuMs: used.reduce((sum, ms) => sum + ms, 0) };
}

function work(take: () => Share | undefined, onSummary: (summary: HistorySummary) => void): Promise<number> {
  return new Promise((resolve, reject) => {
    const child: ChildProcess = fork(fileURLToPath(new URL('history-worker.ts', import.meta.url)), {
      // More room for what dies young: a simulation makes little else.
      execArgv: ['--import', 'tsx', '--max-semi-space-size=32'],
    });
    let cpuMs = 0;
    const give = () => {
      const share = take();
      if (share) child.send(share);
      else child.disconnect();
    };
    child.on('message', (message: HistorySummary | Done) => {
      if (!('done' in message)) {
        onSummary(message);
        return;
      }
      ({ cpuMs } = message);
      give();
    });
    child.on('error', reject);
    child.on('exit', (code, signal) => {
      if (code === 0) resolve(cpuMs);
      else reject(new Error(`a worker ended with ${code ?? signal}`));
    });
    give();
  });
}
