/** What a run found: counts, a line per fault, and the promises that were broken. Pure. */
import { columns } from '../../src/cli/printers/columns.js';

export interface FaultReport {
  readonly fault: string;
  readonly lastedMs: number;
  /** Longest time without an acknowledged write of a client whose peer was not hit; undefined when all were. */
  readonly gapMs: number | undefined;
  /** From the fault's end until all peers showed one state; undefined: not in time. */
  readonly identicalMs: number | undefined;
  /** From the fault's end until the wished number of replicas ran; undefined: not in time. */
  readonly replicasMs: number | undefined;
  /** Calls of the Service from hosts that were not hit, and from those that were. */
  readonly calls: { readonly others: CallCounts; readonly hit: CallCounts };
  /** Broken promises found right after it. */
  readonly broken: readonly string[];
}

export interface CallCounts {
  readonly made: number;
  readonly failed: number;
  /** Longest time without a successful one. */
  readonly outageMs: number;
}

export interface Verdict {
  readonly seed: number;
  readonly hosts: number;
  readonly tookMs: number;
  readonly faults: readonly FaultReport[];
  readonly writes: {
    readonly operations: number;
    readonly acknowledged: number;
    readonly refused: number;
    readonly unknown: number;
  };
  readonly reads: number;
  readonly lost: number;
  readonly resurrected: number;
  readonly majorityViolations: number;
  readonly staleReads: number;
  readonly watch: {
    readonly events: number;
    readonly gaps: number;
    readonly duplicates: number;
    readonly connections: number;
    readonly relisted: number;
  };
  readonly replicas: { readonly extraSeconds: number; readonly missingSeconds: number };
  /** In words; a run without any has passed. */
  readonly broken: readonly string[];
}

export interface Limits {
  /** A client whose peer was not hit goes no longer without an acknowledged write, in milliseconds. */
  readonly gapMs: number;
  /** All peers show one state again within this, in milliseconds. */
  readonly identicalMs: number;
  /** The wished number of replicas runs again within this, in milliseconds. */
  readonly replicasMs: number;
  /** The Service answers on a host that was not hit at least this often, in milliseconds. */
  readonly outageMs: number;
}

/** Generous: a machine that many share must not fail a run. What was measured is in the report. */
export const DEFAULT_LIMITS: Limits = { gapMs: 15_000, identicalMs: 90_000, replicasMs: 120_000, outageMs: 30_000 };

/** The default limits, all of them multiplied. */
export const patientLimits = (factor: number): Limits => ({
  gapMs: DEFAULT_LIMITS.gapMs * factor,
  identicalMs: DEFAULT_LIMITS.identicalMs * factor,
  replicasMs: DEFAULT_LIMITS.replicasMs * factor,
  outageMs: DEFAULT_LIMITS.outageMs * factor,
});

/** The bounds that a fault's figures exceed, in words. */
export function exceeded(report: Omit<FaultReport, 'broken'>, limits: Limits): string[] {
  const { fault, gapMs, identicalMs, replicasMs, calls } = report;
  return [
    ...(gapMs !== undefined && gapMs > limits.gapMs ? [`${fault}: ${time(gapMs)} without an acknowledged write`] : []),
    ...(identicalMs === undefined
      ? [`${fault}: the peers did not show one state within ${time(limits.identicalMs)}`]
      : []),
    ...(replicasMs === undefined ? [`${fault}: replicas were not as wished within ${time(limits.replicasMs)}`] : []),
    ...(calls.others.outageMs > limits.outageMs
      ? [`${fault}: the Service did not answer for ${time(calls.others.outageMs)} on a host that was not hit`]
      : []),
  ];
}

const time = (ms: number | undefined) => (ms === undefined ? '-' : `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 0)} s`);
const share = ({ made, failed }: CallCounts) => `${failed}/${made}`;

export function verdictText(verdict: Verdict): string {
  const { seed, hosts, tookMs, faults, writes, reads, watch, replicas, broken } = verdict;
  const rows = faults.map(({ fault, lastedMs, gapMs, identicalMs, replicasMs, calls }, i) => [
    String(i + 1),
    fault,
    time(lastedMs),
    time(gapMs),
    time(identicalMs),
    time(replicasMs),
    share(calls.others),
    time(calls.others.outageMs),
    share(calls.hit),
  ]);
  const header = ['#', 'FAULT', 'FOR', 'WRITE GAP', 'IDENTICAL', 'REPLICAS', 'CALLS FAILED', 'OUTAGE', 'ON HIT HOSTS'];
  const counts = [
    [
      'Writes',
      `${writes.operations}: ${writes.acknowledged} acknowledged, ${writes.refused} refused, ${writes.unknown} unknown`,
    ],
    ['Lost', String(verdict.lost)],
    ['Resurrected', String(verdict.resurrected)],
    ['Majority-only', `${verdict.majorityViolations} violations`],
    ['Reads of own writes', `${reads}: ${verdict.staleReads} stale`],
    [
      'Watch events',
      `${watch.events}: ${watch.gaps} gaps, ${watch.duplicates} duplicates; ${watch.connections} connections, ${watch.relisted} listed again`,
    ],
    [
      'Replicas',
      `${replicas.extraSeconds.toFixed(0)} extra seconds, ${replicas.missingSeconds.toFixed(0)} missing seconds`,
    ],
  ];
  const verdictLine =
    broken.length === 0
      ? 'Every promise was kept.'
      : `${broken.length} promises were broken:\n${broken.map((text) => `  ${text}`).join('\n')}`;
  return [
    columns([header, ...rows]),
    columns(counts),
    `Seed ${seed}, ${hosts} hosts, ${faults.length} faults in ${Math.round(tookMs / 1000)} s. ${verdictLine}\n`,
  ].join('\n');
}
