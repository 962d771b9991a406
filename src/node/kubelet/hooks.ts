/** postStart and preStop hooks. */
import type { Clock } from '../../base/clock.js';
import { errorText } from '../../base/log.js';
import type { Container as ContainerSpec, LifecycleHandler, Pod } from '../../api/types/core-v1.js';
import { checkHttp, httpTarget, type ProbeAnswer } from '../probes/checks.js';
import type { Runtime } from '../runtime/runtime.js';

/** Output of a command kept for messages, in bytes. */
const MAX_OUTPUT = 10 * 1024;

export interface CommandResult {
  /** Undefined when it did not end in time. */
  readonly exitCode: number | undefined;
  readonly output: string;
}

/** Runs a command in a container and collects what it prints. Throws what the runtime throws. */
export async function runCommand(
  runtime: Pick<Runtime, 'exec'>,
  clock: Clock,
  containerId: string,
  command: readonly string[],
  timeoutMs: number | undefined,
): Promise<CommandResult> {
  const abort = new AbortController();
  const parts: Uint8Array[] = [];
  let size = 0;
  const collect = (data: Uint8Array) => {
    if (size < MAX_OUTPUT) parts.push(data);
    size += data.length;
  };
  const output = () => Buffer.concat(parts).subarray(0, MAX_OUTPUT).toString('utf8');
  let late = false;
  const cancel =
    timeoutMs === undefined
      ? () => undefined
      : clock.timer(timeoutMs, () => {
          late = true;
          abort.abort(new Error('timed out'));
        });
  try {
    const ended = runtime.exec(containerId, {
      command,
      tty: false,
      stdin: undefined,
      onStdout: collect,
      onStderr: collect,
      signal: abort.signal,
    });
    // A runtime that is slow to notice the abort must not hold up the caller.
    const expired = new Promise<undefined>((resolve) =>
      abort.signal.addEventListener('abort', () => resolve(undefined), { once: true }),
    );
    ended.catch(() => undefined);
    return { exitCode: await Promise.race([ended, expired]), output: output() };
  } catch (error) {
    if (late) return { exitCode: undefined, output: output() };
    throw error;
  } finally {
    cancel();
  }
}

/** The exec probe's answer from a command's result. */
export async function execAnswer(run: Promise<CommandResult>, timeoutMs: number): Promise<ProbeAnswer> {
  try {
    const { exitCode, output } = await run;
    if (exitCode === undefined) {
      return { outcome: 'failure', output: `command timed out: context deadline exceeded after ${timeoutMs / 1000}s` };
    }
    return exitCode === 0 ? { outcome: 'success', output } : { outcome: 'failure', output };
  } catch (error) {
    return { outcome: 'unknown', output: `rpc error: code = Unknown desc = ${errorText(error)}` };
  }
}

export interface HookContext {
  readonly runtime: Pick<Runtime, 'exec'>;
  readonly clock: Clock;
  readonly pod: Pod;
  readonly spec: ContainerSpec;
  readonly containerId: string;
  readonly podIp: string;
  /** Milliseconds; absent for as long as it takes. */
  readonly timeoutMs: number | undefined;
}

/** HTTP hooks without a limit of their own. */
const HTTP_HOOK_TIMEOUT_MS = 30_000;

/** Undefined when it worked, else why not. */
export async function runHook(handler: LifecycleHandler, context: HookContext): Promise<string | undefined> {
  const { runtime, clock, containerId, timeoutMs, spec, pod, podIp } = context;
  try {
    if (handler.exec) {
      const command = handler.exec.command ?? [];
      const { exitCode, output } = await runCommand(runtime, clock, containerId, command, timeoutMs);
      if (exitCode === 0) return undefined;
      const shown = command.join(' ');
      return exitCode === undefined
        ? `command '${shown}' timed out`
        : `command '${shown}' exited with ${exitCode}: ${output}`;
    }
    if (handler.httpGet) {
      const target = httpTarget(handler.httpGet, spec, pod, podIp);
      if (!target) return `unknown port ${handler.httpGet.port}`;
      const answer = await checkHttp(target, timeoutMs ?? HTTP_HOOK_TIMEOUT_MS, clock);
      return answer.outcome === 'success' ? undefined : answer.output;
    }
    if (handler.sleep) await clock.sleep(Math.min(handler.sleep.seconds * 1000, timeoutMs ?? Infinity));
    return undefined;
  } catch (error) {
    return errorText(error);
  }
}
