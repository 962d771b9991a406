/** Calls of a Service from every host, and how they went while something was the matter. */
import type { GetNote } from '../../test/e2e/harness/http-load.js';
import { longestGapMs } from '../../src/cli/chaos/gaps.js';
import type { CallCounts } from './verdict.js';

/** Of one host's calls, those that began within a time (since the epoch, as the notes are). */
export function callCounts(notes: readonly GetNote[], fromMs: number, toMs: number): CallCounts {
  const during = notes.filter(({ atMs }) => atMs >= fromMs && atMs < toMs);
  const answeredAtMs = notes.filter(({ status }) => status === 200).map(({ atMs }) => atMs);
  return {
    made: during.length,
    failed: during.filter(({ status }) => status !== 200).length,
    outageMs: longestGapMs(answeredAtMs, fromMs, toMs),
  };
}

/** Of several hosts: all their calls, and the longest outage of any. */
export function summed(counts: readonly CallCounts[]): CallCounts {
  return {
    made: counts.reduce((sum, { made }) => sum + made, 0),
    failed: counts.reduce((sum, { failed }) => sum + failed, 0),
    outageMs: Math.max(0, ...counts.map(({ outageMs }) => outageMs)),
  };
}
