/** From what kubelets count (`/stats/summary`) to what containers use: pure. */

/** The parts of `stats/v1alpha1 Summary` that are used. */
export interface StatsSummary {
  readonly node?: {
    readonly cpu?: { readonly usageCoreNanoSeconds?: number };
    readonly memory?: { readonly workingSetBytes?: number };
  };
  readonly pods?: readonly {
    readonly podRef?: { readonly name?: string; readonly namespace?: string; readonly uid?: string };
    readonly containers?: readonly {
      readonly name?: string;
      readonly startTime?: string;
      readonly cpu?: { readonly time?: string; readonly usageCoreNanoSeconds?: number };
      readonly memory?: { readonly workingSetBytes?: number };
    }[];
  }[];
}

interface Counted {
  readonly cpuNanoseconds: number;
  readonly memoryBytes: number;
}

/** What one node and its containers had used up at one moment. */
export interface NodeSample {
  readonly node: string;
  /** Monotonic milliseconds of the clock that took the sample. */
  readonly takenAtMs: number;
  /** The whole machine; absent where the node does not tell. */
  readonly machine?: Counted;
  /** By `namespace/pod`. */
  readonly pods: ReadonlyMap<string, readonly ContainerSample[]>;
}

interface ContainerSample {
  readonly name: string;
  /** Tells one life of a container from the next. */
  readonly life: string;
  readonly cpuNanoseconds: number;
  readonly memoryBytes: number;
}

export interface ContainerUsage {
  readonly name: string;
  /** Thousand-millionths of a core. */
  readonly nanocores: number;
  readonly memoryBytes: number;
}

export interface NodeUsage {
  readonly node: string;
  /** The time between the two samples that this is the difference of. */
  readonly windowMs: number;
  /** The whole machine; absent where it is not known. */
  readonly machine?: Omit<ContainerUsage, 'name'>;
  readonly pods: ReadonlyMap<string, readonly ContainerUsage[]>;
}

export function sampleOf(node: string, takenAtMs: number, summary: StatsSummary): NodeSample {
  const pods = new Map<string, readonly ContainerSample[]>();
  for (const { podRef, containers } of summary.pods ?? []) {
    const samples = (containers ?? []).flatMap(({ name, startTime = '', cpu, memory }): ContainerSample[] => {
      const cpuNanoseconds = cpu?.usageCoreNanoSeconds;
      const memoryBytes = memory?.workingSetBytes;
      if (!name || cpuNanoseconds === undefined || memoryBytes === undefined) return [];
      return [{ name, life: `${podRef?.uid ?? ''}/${startTime}`, cpuNanoseconds, memoryBytes }];
    });
    if (samples.length > 0) pods.set(`${podRef?.namespace ?? ''}/${podRef?.name ?? ''}`, samples);
  }
  const cpuNanoseconds = summary.node?.cpu?.usageCoreNanoSeconds;
  const memoryBytes = summary.node?.memory?.workingSetBytes;
  if (cpuNanoseconds === undefined || memoryBytes === undefined) return { node, takenAtMs, pods };
  return { node, takenAtMs, machine: { cpuNanoseconds, memoryBytes }, pods };
}

/**
 * What containers used between two samples of a node. A container that only the later one knows is left out until the next
 * sample, and so is the pod it belongs to: half a pod would look like an idle one.
 */
export function usageBetween(before: NodeSample, after: NodeSample): NodeUsage {
  const windowMs = after.takenAtMs - before.takenAtMs;
  const pods = new Map<string, readonly ContainerUsage[]>();
  for (const [key, containers] of windowMs > 0 ? after.pods : []) {
    const earlier = new Map(before.pods.get(key)?.map((sample) => [`${sample.name}/${sample.life}`, sample]));
    const usages = containers.flatMap(({ name, life, cpuNanoseconds, memoryBytes }): ContainerUsage[] => {
      const first = earlier.get(`${name}/${life}`);
      if (first === undefined || cpuNanoseconds < first.cpuNanoseconds) return [];
      const nanocores = Math.round(((cpuNanoseconds - first.cpuNanoseconds) * 1000) / windowMs);
      return [{ name, nanocores, memoryBytes }];
    });
    if (usages.length === containers.length) pods.set(key, usages);
  }
  const machine = windowMs > 0 ? machineBetween(before.machine, after.machine, windowMs) : undefined;
  return { node: after.node, windowMs, ...(machine ? { machine } : {}), pods };
}

/** Nothing when the counter went back: the machine was started anew. */
function machineBetween(
  before: Counted | undefined,
  after: Counted | undefined,
  windowMs: number,
): NodeUsage['machine'] {
  if (!before || !after || after.cpuNanoseconds < before.cpuNanoseconds) return undefined;
  const nanocores = Math.round(((after.cpuNanoseconds - before.cpuNanoseconds) * 1000) / windowMs);
  return { nanocores, memoryBytes: after.memoryBytes };
}
