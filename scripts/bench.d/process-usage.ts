/** What processes take of the machine, from /proc. */
import { readFile } from 'node:fs/promises';

/** Linux' USER_HZ, the unit of times in /proc. */
const TICKS_PER_SECOND = 100;

export interface Usage {
  readonly rssMiB: number;
  /** Processor time since the process began, in milliseconds. */
  readonly cpuMs: number;
}

export async function usageOf(pid: number): Promise<Usage> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  // Fields after the command's name, which may hold spaces; utime and stime are fields 14 and 15.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const rss = /^VmRSS:\s+(\d+) kB/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1];
  return {
    rssMiB: Number(rss) / 1024,
    cpuMs: ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS_PER_SECOND,
  };
}

/** Processor time of all of them together, in milliseconds. */
export async function cpuMsOf(pids: readonly number[]): Promise<number> {
  const usages = await Promise.all(pids.map(usageOf));
  return usages.reduce((sum, { cpuMs }) => sum + cpuMs, 0);
}
