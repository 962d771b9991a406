/**
 * What `skein chaos` asks of a peer: to be killed, to stand still or to be cut off from the others for a time, so that people see
 * their own cluster go on. Off unless the agent was started with `--chaos`; only who may POST to `/skein/v1/chaos` (cluster
 * administrators) can ask, every request is in the audit log, and the last living peer refuses unless told that it is meant.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { ApiError, badRequest } from '../api/errors.js';
import type { Clock } from '../base/clock.js';
import type { Logger } from '../base/log.js';

export const CHAOS_ACTIONS = ['kill', 'cut', 'pause'] as const;
export type ChaosAction = (typeof CHAOS_ACTIONS)[number];

/** A peer is out of action for so long at most, in seconds. */
const MAX_SECONDS = 600;
/** The answer and the audit record leave before the peer goes, in milliseconds. */
const DELAY_MS = 300;

/** What is done to this process. */
export interface Harm {
  /** Ends it as `kill -9` does. Who started it may start it again. */
  kill(): void;
  /** SIGSTOP, and SIGCONT after that time. Rejects when nothing can be had that would continue it. */
  pause(seconds: number): Promise<void>;
  /** No connection to other peers for that time. */
  cut(seconds: number): void;
}

export interface ChaosDeps {
  readonly enabled: boolean;
  /** Living peers, this one included. */
  readonly living: () => number;
  readonly harm: Harm;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface ChaosAnswer {
  readonly enabled: boolean;
  readonly living: number;
}

export const describeChaos = ({ enabled, living }: ChaosDeps): ChaosAnswer => ({ enabled, living: living() });

/** Starts what the request's body asks for, a moment after this resolves. Throws what the API answers. */
export function startChaos(deps: ChaosDeps, body: Uint8Array): ChaosAnswer & { readonly action: ChaosAction } {
  const { enabled, living, harm, clock, log } = deps;
  if (!enabled) {
    throw new ApiError(
      403,
      'Forbidden',
      'this peer takes no part in chaos: start its agent with --chaos (SKEIN_CHAOS)',
    );
  }
  const { action, seconds, evenLast } = decode(body);
  if (living() < 2 && !evenLast) {
    throw new ApiError(409, 'Conflict', 'no other peer is alive: say that the last one is meant with --even-last');
  }
  clock.timer(DELAY_MS, () => {
    log.warn('skein chaos', { action, ...(action === 'kill' ? {} : { seconds }) });
    switch (action) {
      case 'kill':
        harm.kill();
        return;
      case 'cut':
        harm.cut(seconds);
        return;
      case 'pause':
        harm.pause(seconds).catch((error: unknown) => log.error('cannot pause', { error: String(error) }));
        return;
      default:
        action satisfies never;
    }
  });
  return { ...describeChaos(deps), action };
}

function decode(body: Uint8Array): { action: ChaosAction; seconds: number; evenLast: boolean } {
  let fields: Readonly<Record<string, unknown>> | null;
  try {
    fields = JSON.parse(Buffer.from(body).toString()) as typeof fields;
  } catch {
    throw badRequest('the body must be JSON with an action');
  }
  const action = CHAOS_ACTIONS.find((one) => one === fields?.['action']);
  if (!action) throw badRequest(`action must be one of ${CHAOS_ACTIONS.join(', ')}`);
  const seconds = fields?.['seconds'] ?? 10;
  if (typeof seconds !== 'number' || !(seconds > 0 && seconds <= MAX_SECONDS)) {
    throw badRequest(`seconds must be a number up to ${MAX_SECONDS}`);
  }
  return { action, seconds, evenLast: fields?.['evenLast'] === true };
}

/** Harm to the process this runs in. */
export function processHarm(cut: (seconds: number) => void): Harm {
  const { pid } = process;
  return {
    kill: () => void process.kill(pid, 'SIGKILL'),
    cut,
    async pause(seconds) {
      // A stopped process cannot continue itself.
      const waker = spawn('sh', ['-c', `sleep ${seconds}; kill -CONT ${pid}`], { detached: true, stdio: 'ignore' });
      await once(waker, 'spawn');
      waker.unref();
      process.kill(pid, 'SIGSTOP');
    },
  };
}
