/** Starting, watching and signalling supervised processes. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { abortReason, type Clock } from '../../../base/clock.js';
import { RuntimeError } from '../runtime.js';
import { SUPERVISOR_SOURCE, type SupervisedState, type SupervisorOrder } from './supervisor.js';

/** Longest wait for a supervisor to say that its program runs, in milliseconds. */
const START_TIMEOUT_MS = 20_000;

/** Starts a supervisor and resolves when it has written its first state. */
export async function startSupervisor(clock: Clock, order: SupervisorOrder): Promise<void> {
  // A small heap: the supervisor only moves lines, and there is one per container.
  const argv = ['--max-old-space-size=32', '-e', SUPERVISOR_SOURCE, JSON.stringify(order)];
  const child = spawn(process.execPath, argv, { detached: true, stdio: ['ignore', 'pipe', 'ignore'] });
  const overdue = new AbortController();
  const cancel = clock.timer(START_TIMEOUT_MS, () => overdue.abort(new Error('its supervisor did not start in time')));
  try {
    const ready = once(child.stdout, 'data', { signal: overdue.signal });
    const ended = once(child, 'exit', { signal: overdue.signal });
    await Promise.race([ready, ended]);
    void Promise.allSettled([ready, ended]);
  } catch (error) {
    child.kill('SIGKILL');
    const cause = overdue.signal.aborted ? abortReason(overdue.signal) : error;
    throw new RuntimeError('ERR_RUN_CONTAINER', 'the supervisor could not be started', { cause });
  } finally {
    cancel();
    overdue.abort();
    child.stdout.destroy();
    child.unref();
  }
}

/** Whether the program of a state is still the process of that number. */
export async function isAlive(state: SupervisedState): Promise<boolean> {
  return state.pid > 0 && (await startTimeOf(state.pid)) === state.pidStart;
}

/** Sends a signal to the program alone. */
export function signalProgram(state: SupervisedState, signal: NodeJS.Signals): void {
  send(state.pid, signal);
}

/** Kills the program and everything that it started in its session's process group. */
export function killGroup(state: SupervisedState): void {
  send(-state.pid, 'SIGKILL');
  send(state.pid, 'SIGKILL');
}

function send(pid: number, signal: NodeJS.Signals): void {
  if (pid === 0) return;
  try {
    process.kill(pid, signal);
  } catch {
    // Gone already.
  }
}

/** Start time in clock ticks since boot; undefined for no such process or a zombie (proc(5)). */
async function startTimeOf(pid: number): Promise<string | undefined> {
  const fields = await statFields(pid);
  return fields === undefined || fields[0] === 'Z' ? undefined : fields[19];
}

/** The fields of /proc/pid/stat after the name, which may hold blanks. */
async function statFields(pid: number): Promise<string[] | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  return text?.slice(text.lastIndexOf(')') + 2).split(' ');
}

const NANOSECONDS_PER_TICK = 10_000_000;
const PAGE_BYTES = 4096;

/** CPU time and resident memory of the program itself, with the CPU time of its ended children. */
export async function useOf(pid: number): Promise<{ cpuNanoseconds: number; memoryBytes: number } | undefined> {
  const fields = await statFields(pid);
  if (!fields) return undefined;
  const field = (index: number) => Number(fields[index] ?? 0);
  const ticks = field(11) + field(12) + field(13) + field(14);
  return { cpuNanoseconds: ticks * NANOSECONDS_PER_TICK, memoryBytes: field(21) * PAGE_BYTES };
}

/** Names this boot of the machine. */
export async function bootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
}

/** Whether its supervisor lives. */
export function isSupervised(state: SupervisedState): boolean {
  try {
    return state.supervisorPid > 0 && process.kill(state.supervisorPid, 0);
  } catch {
    return false;
  }
}

/** `uid` or `uid:gid` in numbers; names belong to an image's /etc/passwd, which there is none of. */
export function idsOf(user: string | undefined): [number?, number?] {
  const parts = /^(\d+)(?::(\d+))?$/.exec(user ?? '');
  if (!parts) return [];
  return parts[2] === undefined ? [Number(parts[1])] : [Number(parts[1]), Number(parts[2])];
}
