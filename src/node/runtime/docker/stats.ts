/** One reading of a container's resource use. */
import { RuntimeError } from '../runtime.js';
import type { DockerEngine } from './engine.js';

/** What is used of `GET /containers/{id}/stats`; empty for what does not run. */
interface EngineStats {
  readonly cpu_stats?: { readonly cpu_usage?: { readonly total_usage?: number } };
  readonly memory_stats?: {
    readonly usage?: number;
    readonly stats?: { readonly total_inactive_file?: number; readonly inactive_file?: number };
  };
}

export interface ContainerUse {
  readonly cpuNanoseconds: number;
  readonly memoryBytes: number;
}

/** Undefined when the container does not run or does not exist. */
export async function readStats(engine: DockerEngine, id: string): Promise<ContainerUse | undefined> {
  // Without one-shot the engine takes a second to make a second reading.
  const query = { stream: false, 'one-shot': true };
  try {
    const stats = await engine.json<EngineStats>('GET', `/containers/${id}/stats`, { query });
    const memory = stats.memory_stats;
    if (memory?.usage === undefined) return undefined;
    // The working set as the kubelet counts it: without what the kernel can drop from the page cache at once.
    const inactive = memory.stats?.total_inactive_file ?? memory.stats?.inactive_file ?? 0;
    const cpuNanoseconds = stats.cpu_stats?.cpu_usage?.total_usage ?? 0;
    return { cpuNanoseconds, memoryBytes: Math.max(0, memory.usage - inactive) };
  } catch (error) {
    if (error instanceof RuntimeError && error.code === 'ERR_NOT_FOUND') return undefined;
    throw error;
  }
}
