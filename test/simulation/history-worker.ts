/** A process that runs histories for {@link runAll}: gets a first seed and a count, answers each history with a summary. */
import { runHistory } from './history.js';
import type { HistorySummary, Share } from './history-pool.js';

async function summaryOf(seed: number): Promise<HistorySummary> {
  const counts: Record<string, number> = {};
  try {
    const result = await runHistory(seed);
    for (const fault of result.faults) {
      const name = fault.split(' ', 1)[0] as string;
      counts[name] = (counts[name] ?? 0) + 1;
    }
    const { peers, whole, problems, operations, acknowledged, convergedMs, events } = result;
    return { seed, peers, whole, problems, operations, acknowledged, convergedMs, events, faults: counts };
  } catch (error) {
    const problem = error instanceof Error ? (error.stack ?? error.message) : String(error);
    const none = { peers: 0, whole: false, operations: 0, acknowledged: 0, convergedMs: 0, events: 0 };
    return { seed, ...none, problems: [problem], faults: counts };
  }
}

process.on('message', (share: Share) => {
  const run = async () => {
    for (let seed = share.first; seed < share.first + share.count; seed++) process.send?.(await summaryOf(seed));
    process.send?.({ done: true, cpuMs: cpuMs() });
  };
  run().catch((error: unknown) => {
    process.stderr.write(`${String(error)}\n`);
    process.exit(1);
  });
});
// Who started this one stops it, when what was begun is done.
process.on('SIGINT', () => undefined);
process.on('SIGTERM', () => undefined);
process.on('disconnect', () => process.exit(0));

function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
