/** What the whole machine uses, as the node's own figures (kubectl top nodes): pods, system and all. From proc(5). */
import { readFile } from 'node:fs/promises';

export interface MachineUse {
  /** Time all CPUs were busy since the machine started. */
  readonly cpuNanoseconds: number;
  /** What could not be given to new programs without swapping. */
  readonly memoryBytes: number;
}

/** USER_HZ: 100 for programs on every architecture, whatever the kernel's own clock. */
const NANOSECONDS_PER_TICK = 10_000_000;

/** Undefined where the texts are not those of Linux. */
export function machineUseIn(stat: string, meminfo: string): MachineUse | undefined {
  const ticks = /^cpu +([\d ]+)$/m.exec(stat)?.[1]?.trim().split(' ').map(Number);
  const kibibytes = (name: string) => Number(new RegExp(`^${name}: +(\\d+) kB$`, 'm').exec(meminfo)?.[1] ?? Number.NaN);
  const used = kibibytes('MemTotal') - kibibytes('MemAvailable');
  if (ticks === undefined || Number.isNaN(used)) return undefined;
  // Guests are counted in user and nice already.
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = ticks;
  const busy = user + nice + system + irq + softirq + steal;
  return { cpuNanoseconds: busy * NANOSECONDS_PER_TICK, memoryBytes: used * 1024 };
}

export async function readMachineUse(): Promise<MachineUse | undefined> {
  try {
    return machineUseIn(await readFile('/proc/stat', 'utf8'), await readFile('/proc/meminfo', 'utf8'));
  } catch {
    return undefined;
  }
}
