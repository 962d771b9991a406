/** What `skein chaos` found, as text. Pure. */
import { columns } from '../printers/columns.js';
import type { Action } from './targets.js';

export interface Blow {
  readonly peer: string;
  readonly action: Action;
  /** RFC 3339. */
  readonly time: string;
  /** Longest time without an acknowledged write through another peer, in milliseconds. */
  readonly gapMs: number;
  /** Writes through other peers that failed. */
  readonly failed: number;
  /** From the blow (of a cut or a pause: from its end) until all peers answered as one again; null: never. */
  readonly wholeMs: number | null;
}

export interface ChaosReport {
  readonly blows: readonly Blow[];
  readonly writes: { readonly acknowledged: number; readonly failed: number };
  /** In words. */
  readonly lost: readonly string[];
  /** Why the peers are not whole at the end; null when they are. */
  readonly notWhole: string | null;
}

/** A run has passed when nothing acknowledged was lost and all peers are back. */
export const hasPassed = ({ lost, notWhole }: ChaosReport): boolean => lost.length === 0 && notWhole === null;

const seconds = (ms: number | null) => (ms === null ? 'never' : `${(ms / 1000).toFixed(2)} s`);
const many = (count: number, what: string) => `${count} ${what}${count === 1 ? '' : 's'}`;

export function reportText(report: ChaosReport): string {
  const { blows, writes, lost, notWhole } = report;
  const rows = blows.map(({ peer, action, time, gapMs, failed, wholeMs }) => [
    time,
    action,
    peer,
    seconds(gapMs),
    String(failed),
    seconds(wholeMs),
  ]);
  const header = ['TIME', 'ACTION', 'PEER', 'WRITE GAP', 'FAILED', 'WHOLE AGAIN'];
  const longest = Math.max(0, ...blows.map(({ gapMs }) => gapMs));
  const lines = [
    `${many(writes.acknowledged, 'write')} acknowledged, ${writes.failed} failed, ${lost.length} lost; ` +
      `longest time without one through the other peers: ${seconds(longest)}`,
    ...lost.map((text) => `Lost: ${text}`),
    ...(notWhole === null ? [] : [`The peers are not whole: ${notWhole}`]),
  ];
  return `${columns([header, ...rows])}\n${lines.join('\n')}\n`;
}
