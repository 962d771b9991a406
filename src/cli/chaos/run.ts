/**
 * One run of `skein chaos`: a canary is written steadily through all peers; every so often one of them is struck. A second one is not
 * struck before the first is back: this is to show how a cluster takes the loss of a machine, not to take it apart.
 */
import { rfc3339, type Clock } from '../../base/clock.js';
import type { Random } from '../../base/random.js';
import { longestGapMs } from './gaps.js';
import type { Canary, SessionReport } from './canary.js';
import type { Blow, ChaosReport } from './report.js';
import { isServing, missingToWhole, pick, strike, type Action, type Target } from './targets.js';

export interface ChaosOptions {
  readonly actions: readonly Action[];
  readonly everyMs: number;
  readonly forMs: number;
  /** How long a cut or a pause lasts. */
  readonly downSeconds: number;
  /** Only this one is struck. */
  readonly only?: string | undefined;
  readonly evenLast: boolean;
  /** How long all peers may take to be back, in milliseconds. */
  readonly wholeWithinMs: number;
  /** Told what happens, a line at a time. */
  readonly say: (text: string) => void;
}

interface Deps {
  readonly clock: Clock;
  readonly random: Random;
}

const POLL_MS = 200;
/** A killed peer that answers still after this has been started again already, in milliseconds. */
const GONE_MS = 5_000;

interface Struck {
  readonly peer: string;
  readonly action: Action;
  readonly time: string;
  readonly fromMs: number;
  readonly toMs: number;
  readonly wholeMs: number | null;
}

/** Runs until the time is over or the signal aborts; then says what was found. The canary must have been started. */
export async function runChaos(
  deps: Deps,
  targets: readonly Target[],
  canary: Canary,
  options: ChaosOptions,
  signal: AbortSignal,
): Promise<Pick<ChaosReport, 'blows' | 'notWhole'>> {
  const { clock, random } = deps;
  const eligible = targets.filter(({ name }) => options.only === undefined || name === options.only);
  const untilMs = clock.monotonicMs() + options.forMs;
  const struck: Struck[] = [];
  let notWhole: string | null = null;
  for (let nextMs = clock.monotonicMs() + Math.min(options.everyMs, 2_000); ; nextMs += options.everyMs) {
    const waitMs = Math.max(0, nextMs - clock.monotonicMs());
    if (clock.monotonicMs() + waitMs >= untilMs) break;
    await clock.sleep(waitMs, signal).catch(() => undefined);
    const victim = pick(eligible, random);
    const action = pick(options.actions, random);
    if (signal.aborted || !victim || !action) break;
    const one = await blow(deps, targets, victim, action, options, signal);
    struck.push(one);
    if (one.wholeMs === null) {
      notWhole = (await missingToWhole(targets)) ?? null;
      break;
    }
  }
  await clock.sleep(Math.max(0, Math.min(2_000, untilMs - clock.monotonicMs())), signal).catch(() => undefined);
  return { blows: struck.map((one) => blowReport(one, canary.reports)), notWhole };
}

async function blow(
  { clock }: Deps,
  targets: readonly Target[],
  victim: Target,
  action: Action,
  options: ChaosOptions,
  signal: AbortSignal,
): Promise<Struck> {
  const { say, downSeconds, evenLast, wholeWithinMs } = options;
  const time = rfc3339(clock.nowMs());
  const fromMs = clock.monotonicMs();
  say(`${time} ${action} ${victim.name}${action === 'kill' ? '' : ` for ${downSeconds} s`}`);
  await strike(victim, action, { seconds: downSeconds, evenLast });
  // What is over before it was noticed would look whole at once.
  if (action === 'kill') await gone(clock, victim);
  else await clock.sleep(downSeconds * 1000, signal).catch(() => undefined);
  const healedMs = action === 'kill' ? fromMs : clock.monotonicMs();
  let wholeMs: number | null = null;
  while (wholeMs === null && clock.monotonicMs() - healedMs < wholeWithinMs && !signal.aborted) {
    if ((await missingToWhole(targets)) === undefined) wholeMs = Math.round(clock.monotonicMs() - healedMs);
    else await clock.sleep(POLL_MS, signal).catch(() => undefined);
  }
  say(wholeMs === null ? '  not whole again' : `  whole again after ${(wholeMs / 1000).toFixed(2)} s`);
  return { peer: victim.name, action, time, fromMs, toMs: clock.monotonicMs(), wholeMs };
}

async function gone(clock: Clock, victim: Target): Promise<void> {
  const untilMs = clock.monotonicMs() + GONE_MS;
  while (clock.monotonicMs() < untilMs && (await isServing(victim))) await clock.sleep(POLL_MS / 4);
}

/** The blow's figures, from the writes through those that were not struck. With one peer: through that one. */
export function blowReport(
  { peer, action, time, fromMs, toMs, wholeMs }: Struck,
  sessions: readonly SessionReport[],
): Blow {
  const others = sessions.length === 1 ? sessions : sessions.filter((session) => session.peer !== peer);
  const gaps = others.map(({ acknowledgedAtMs }) => longestGapMs(acknowledgedAtMs, fromMs, toMs));
  const failures = others.flatMap(({ failedAtMs }) => failedAtMs.filter((atMs) => atMs >= fromMs && atMs <= toMs));
  return { peer, action, time, gapMs: Math.round(Math.max(0, ...gaps)), failed: failures.length, wholeMs };
}
