/** What a container of the fake runtime does: data and small functions instead of processes. */
import type { Duplex } from 'node:stream';
import type { ContainerConfig } from '../runtime.js';

export interface FakeProgram {
  /** Ends by itself this long after its start, in milliseconds; runs until stopped unless told. */
  readonly exitAfterMs?: number;
  /** Exit code when it ends by itself; 0 unless told. */
  readonly exitCode?: number;
  /** `OOMKilled` and the like; `Completed` or `Error` by the exit code unless told. */
  readonly exitReason?: string;
  /** Written when it starts, without line ends. */
  readonly stdout?: readonly string[];
  readonly stderr?: readonly string[];
  /** How long it takes to end after SIGTERM, in milliseconds; `never` waits for SIGKILL. 0 unless told. */
  readonly stopAfterMs?: number | 'never';
  /** Exit code after SIGTERM; 143 unless told (a process that does not handle the signal). */
  readonly stopExitCode?: number;
  /** Its start fails with this text. */
  readonly startError?: string;
  /** Answers exec; "command not found" (127) unless told. `stdin` is all of the input. */
  readonly exec?: (command: readonly string[], stdin: string) => FakeExecResult;
  /** Answers connections to its ports; refused unless told. */
  readonly connect?: (port: number) => Duplex | undefined;
  readonly cpuNanosecondsPerSecond?: number;
  readonly memoryBytes?: number;
}

export interface FakeExecResult {
  readonly exitCode: number;
  readonly stdout?: string;
  readonly stderr?: string;
}

/** Chooses the program of a container, from whatever of its configuration a test cares about. */
export type FakePrograms = (config: ContainerConfig) => FakeProgram;

/** Runs until it is stopped. */
export const restingProgram: FakePrograms = () => ({});
