/** From what was noted during a run to its verdict. */
import { longestGapMs } from '../../src/cli/chaos/gaps.js';
import type { GetNote } from '../../test/e2e/harness/http-load.js';
import { callCounts, summed } from './calls.js';
import type { Judgement, Ledger } from './ledger.js';
import { describeFault, type Fault } from './plan.js';
import type { Replicas } from './replicas.js';
import { exceeded, type FaultReport, type Limits, type Verdict } from './verdict.js';
import type { Watcher } from './watcher.js';
import type { Writer } from './writer.js';

/** One fault, from its begin until all was well again. */
export interface Episode {
  readonly fault: Fault;
  /** Monotonic. */
  readonly fromMs: number;
  readonly toMs: number;
  /** Since the epoch, as the notes of calls are. */
  readonly fromEpochMs: number;
  readonly toEpochMs: number;
  readonly lastedMs: number;
  readonly identicalMs: number | undefined;
  readonly replicasMs: number | undefined;
  readonly judgement: Judgement;
}

export interface RunNotes {
  readonly seed: number;
  readonly hosts: number;
  readonly tookMs: number;
  readonly limits: Limits;
  readonly episodes: readonly Episode[];
  readonly judgements: readonly Judgement[];
  /** One a host, in their order, as the calls are. */
  readonly writers: readonly Writer[];
  readonly watchers: readonly Watcher[];
  readonly replicas: Replicas;
  readonly ledger: Ledger;
  readonly calls: readonly (readonly GetNote[])[];
  /** Promises found broken by other means. */
  readonly broken: readonly string[];
}

export function summarize(notes: RunNotes): Verdict {
  const { seed, hosts, tookMs, writers, watchers, replicas, ledger, judgements } = notes;
  const faults = notes.episodes.map((episode) => faultReport(episode, notes));
  const distinct = (pick: (one: Judgement) => readonly string[]) => [...new Set(judgements.flatMap(pick))];
  const lost = distinct((one) => one.lost);
  const resurrected = distinct((one) => one.resurrected);
  const majority = distinct((one) => one.majority);
  const gaps = watchers.flatMap((watcher) => watcher.ledger.gaps);
  const duplicates = watchers.flatMap((watcher) => watcher.ledger.duplicates);
  const { staleReads } = ledger;
  const watched = (pick: (watcher: Watcher) => number) => watchers.reduce((sum, one) => sum + pick(one), 0);
  const written = (key: keyof Writer['counts']) => writers.reduce((sum, { counts }) => sum + counts[key], 0);
  return {
    seed,
    hosts,
    tookMs,
    faults,
    writes: {
      operations: written('operations'),
      acknowledged: written('acknowledged'),
      refused: written('refused'),
      unknown: written('unknown'),
    },
    reads: ledger.reads,
    lost: lost.length,
    resurrected: resurrected.length,
    majorityViolations: majority.length,
    staleReads: ledger.staleCount,
    watch: {
      events: watched((one) => one.ledger.events),
      gaps: gaps.length,
      duplicates: duplicates.length,
      connections: watched((one) => one.counts.connections),
      relisted: watched((one) => one.counts.relisted),
    },
    replicas: { extraSeconds: replicas.extraSeconds, missingSeconds: replicas.missingSeconds },
    broken: [
      ...faults.flatMap(({ broken }) => broken),
      ...[lost, resurrected, majority, staleReads, gaps, duplicates, notes.broken].flat(),
    ],
  };
}

function faultReport(episode: Episode, { writers, calls, limits }: RunNotes): FaultReport {
  const { fault, fromMs, toMs, fromEpochMs, toEpochMs, lastedMs, identicalMs, replicasMs } = episode;
  // Of a split nobody is hit: every part goes on. A wrong clock is no excuse either.
  const isHit = (host: number) => fault.kind !== 'split' && fault.kind !== 'clock' && fault.hosts.includes(host);
  const others = writers.filter((_writer, i) => !isHit(i + 1));
  const gaps = others.map(({ acknowledgedAtMs }) => longestGapMs(acknowledgedAtMs, fromMs, toMs));
  const counts = calls.map((list) => callCounts(list, fromEpochMs, toEpochMs));
  const report = {
    fault: describeFault(fault),
    lastedMs,
    gapMs: gaps.length === 0 ? undefined : Math.round(Math.max(...gaps)),
    identicalMs,
    replicasMs,
    calls: {
      others: summed(counts.filter((_count, i) => !isHit(i + 1))),
      hit: summed(counts.filter((_count, i) => isHit(i + 1))),
    },
  };
  return { ...report, broken: exceeded(report, limits) };
}
