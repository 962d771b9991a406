/**
 * How far this machine lets out-of-memory scores be lowered. Inside of some containers and virtual machines even root
 * may not, and a container that asks for it then fails to start; such a wish is raised to what is allowed (as the
 * kubelet in a user namespace does), since protection from the kernel's killer is an extra, not a condition.
 */
import { readFile, writeFile } from 'node:fs/promises';

const FILE = '/proc/self/oom_score_adj';
const LOWEST = -1000;

/** The lowest permitted score: -1000, or this process' own where it cannot be lowered. Assumes the engine's host. */
export async function lowestOomScore(): Promise<number> {
  const own = Number.parseInt(await readFile(FILE, 'utf8').catch(() => '0'), 10) || 0;
  if (own <= LOWEST) return LOWEST;
  try {
    await writeFile(FILE, String(own - 1));
    await writeFile(FILE, String(own));
    return LOWEST;
  } catch {
    return own;
  }
}
