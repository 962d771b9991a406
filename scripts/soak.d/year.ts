/** A long simulated year; prints what a peer keeps at the end of each quarter, and ends with a verdict. See `--help`. */
import { parseArgs } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { runYear, type Quarter } from '../../test/simulation/year.js';

const HELP = `usage: npx tsx scripts/soak.d/year.ts [--steps N] [--nodes N] [--statuses N] [--events N] [--seed N]

Simulates a year of a cluster on three whole agents, and compares what they keep by the quarter.

  --steps N      jumps of the clock, a multiple of four (364: one a day)
  --nodes N      Node objects that get statuses (100)
  --statuses N   status updates a node and step (24)
  --events N     Events a step (1000)
  --seed N       (1)

The last line is the verdict; the exit status is 1 when something grew by more than a tenth from the second quarter to the last; the
process's heap from the third, as one of the three peers is away in the second.`;

const say = (line: string) => process.stdout.write(`${line}\n`);
const GROWTH = 1.1;
const BOUNDED = ['diskBytes', 'diskKeys', 'objects', 'tombstones', 'events', 'recordBytes'] as const;

const { values } = parseArgs({
  options: {
    steps: { type: 'string', default: '364' },
    nodes: { type: 'string', default: '100' },
    statuses: { type: 'string', default: '24' },
    events: { type: 'string', default: '1000' },
    seed: { type: 'string', default: '1' },
    help: { type: 'boolean', short: 'h', default: false },
  },
});

function count(name: 'steps' | 'nodes' | 'statuses' | 'events' | 'seed'): number {
  if (!/^[1-9]\d*$/.test(values[name])) throw new Error(`--${name} takes a number from 1 on`);
  return Number(values[name]);
}

async function year(): Promise<number> {
  const steps = count('steps');
  if (steps % 4 !== 0) throw new Error('--steps takes a multiple of four');
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const options = {
    steps,
    nodes: count('nodes'),
    statuses: count('statuses'),
    events: count('events'),
    seed: count('seed'),
  };
  const { quarters, problems } = await runYear(options, collect, (quarter) => say(JSON.stringify(quarter)));
  const [, before, whole, after] = quarters as [Quarter, Quarter, Quarter, Quarter];
  const grown = [...BOUNDED.map((field) => [field, before] as const), ['heapBytes', whole] as const]
    .filter(([field, then]) => after[field] > then[field] * GROWTH)
    .map(([field, then]) => `${field} grew from ${then[field]} to ${after[field]}`);
  for (const problem of [...problems, ...grown]) say(problem);
  say(problems.length + grown.length === 0 ? `flat after ${after.revisions} revisions` : 'NOT FLAT');
  return problems.length + grown.length === 0 ? 0 : 1;
}

if (values.help) say(HELP);
else process.exitCode = await year();
