/** Real hosts with a skein cluster on them that can be hurt: the executors of the plan's faults. */
import { existsSync } from 'node:fs';
import { open, rm, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Cluster } from '../../test/e2e/harness/cluster.js';
import type { Agent } from '../../test/e2e/harness/agent.js';
import { must, run } from '../../test/e2e/harness/command.js';
import type { Fault, FaultKind } from './plan.js';

/** The file system of an agent's data, in MiB: small, so that it can be filled; large enough for the store and its log. */
const DISK_MIB = 256;
/** How soon an agent that ended is started again, in milliseconds. */
const RESTART_MS = 1_000;
/** How long all agents may take to become ready, in milliseconds. */
const START_MS = 120_000;
const FILLER = 'filler';
const CLOCK_SHIFT = fileURLToPath(new URL('clock-shift.mjs', import.meta.url));

export class Stage {
  readonly cluster = new Cluster();
  /** Ends of agents that nobody asked for. */
  readonly crashes: string[] = [];
  private readonly held = new Set<Agent>();
  private readonly mounts: string[] = [];
  /** Agents whose end, should it come, is the doing of the last fault. */
  readonly excused = new Set<Agent>();

  constructor(readonly hosts: number) {}

  async open(): Promise<void> {
    await this.cluster.openHosts(this.hosts);
    for (const agent of this.cluster.agents) {
      await mkdir(agent.dataDir, { recursive: true });
      await must('mount', ['-t', 'tmpfs', '-o', `size=${DISK_MIB}m,mode=0700`, 'skein-chaos', agent.dataDir]);
      this.mounts.push(agent.dataDir);
      agent.env['NODE_OPTIONS'] = `--import=${CLOCK_SHIFT}`;
      agent.env['SKEIN_CHAOS_CLOCK'] = this.clockFile(agent);
      // For `skein chaos`, the user's form.
      agent.env['SKEIN_CHAOS'] = 'true';
    }
    await this.cluster.startAgents(START_MS);
  }

  async close(): Promise<void> {
    // A stopped process must not outlive the lab: kill -9 ends it all the same.
    await this.cluster.close();
    for (const mount of this.mounts) if (existsSync(mount)) await run('umount', ['-l', mount]);
  }

  private clockFile(agent: Agent): string {
    return join(this.cluster.logDir, `${agent.name}.clock`);
  }

  agents(hosts: readonly number[]): Agent[] {
    return hosts.map((host) => this.cluster.agent(host));
  }

  async begin(fault: Fault): Promise<void> {
    this.excused.clear();
    await FAULTS[fault.kind].begin(this, fault);
  }

  async end(fault: Fault): Promise<void> {
    await FAULTS[fault.kind].end(this, fault);
  }

  async kill(agent: Agent): Promise<void> {
    this.excused.add(agent);
    this.held.add(agent);
    await agent.kill();
  }

  release(agent: Agent): void {
    this.held.delete(agent);
  }

  async setClock(agent: Agent, offsetMs: number): Promise<void> {
    await writeFile(this.clockFile(agent), String(offsetMs));
  }

  async fillDisk(agent: Agent): Promise<void> {
    const file = await open(join(agent.dataDir, FILLER), 'w');
    try {
      // The last one is written in part.
      const chunk = Buffer.alloc(2 ** 20);
      while (await fits(() => file.write(chunk)));
    } finally {
      await file.close();
    }
  }

  async freeDisk(agent: Agent): Promise<void> {
    await rm(join(agent.dataDir, FILLER), { force: true });
  }

  /** Starts what is down and not held down, as a service manager does, until the signal aborts. */
  async keepUp(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      for (const agent of this.cluster.agents) {
        if (agent.running || this.held.has(agent)) continue;
        if (!this.excused.has(agent)) this.crashes.push(`${agent.name} ended by itself:\n${await agent.logTail(5)}`);
        await agent.start();
      }
      await sleep(RESTART_MS, undefined, { signal }).catch(() => undefined);
    }
  }
}

/** False when the file system is full. */
async function fits(write: () => Promise<{ bytesWritten: number }>): Promise<boolean> {
  try {
    return (await write()).bytesWritten > 0;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOSPC') return false;
    throw error;
  }
}

interface Executor {
  begin(stage: Stage, fault: Fault): Promise<unknown>;
  end(stage: Stage, fault: Fault): Promise<unknown>;
}

const each = (act: (stage: Stage, agent: Agent, fault: Fault) => unknown) => (stage: Stage, fault: Fault) =>
  Promise.all(stage.agents(fault.hosts).map((agent) => act(stage, agent, fault)));

const FAULTS: Readonly<Record<FaultKind, Executor>> = {
  kill: {
    begin: each((stage, agent) => stage.kill(agent)),
    end: each((stage, agent) => stage.release(agent)),
  },
  cut: {
    begin: each(({ cluster }, { host }) => cluster.lab.cut(host)),
    end: each(({ cluster }, { host }) => cluster.lab.heal(host)),
  },
  split: {
    begin: ({ cluster }, { groups }) => cluster.lab.split(...groups.map((group) => group.join(' '))),
    end: ({ cluster }) => cluster.lab.join(),
  },
  freeze: {
    begin: each((_stage, { pid }) => process.kill(pid, 'SIGSTOP')),
    end: each((_stage, { pid }) => process.kill(pid, 'SIGCONT')),
  },
  disk: {
    begin: each((stage, agent) => {
      stage.excused.add(agent);
      return stage.fillDisk(agent);
    }),
    end: each((stage, agent) => stage.freeDisk(agent)),
  },
  clock: {
    begin: each((stage, agent, { clockOffsetMs }) => stage.setClock(agent, clockOffsetMs)),
    end: each((stage, agent) => stage.setClock(agent, 0)),
  },
};
