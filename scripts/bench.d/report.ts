/** Results as a JSON line (one per run) and as the tables of docs/benchmarks.md. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, loadavg, totalmem } from 'node:os';
import { join } from 'node:path';
import { ROOT } from '../../test/e2e/harness/lab.js';
import { goalMet, ratioOf, round, type Figure } from './bench.js';

export interface Outcome {
  readonly bench: string;
  readonly figures: readonly Figure[];
  /** Why the benchmark ended early. */
  readonly failure?: string;
  /** The machine's 1-minute load before it began: how busy others kept it. */
  readonly loadBefore: number;
}

export interface Report {
  readonly date: string;
  readonly commit: string;
  readonly machine: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly outcomes: readonly Outcome[];
}

function output(program: string, ...args: string[]): string {
  try {
    return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], cwd: ROOT }).trim();
  } catch {
    return '';
  }
}

function commit(): string {
  // An exported tree has no repository: whoever exports it may leave the commit's name.
  const known = process.env['SKEIN_BENCH_COMMIT'];
  if (known) return known;
  const head = output('git', 'rev-parse', '--short', 'HEAD');
  return head === '' ? 'unknown' : head + (output('git', 'status', '--porcelain', 'src') === '' ? '' : ' with changes');
}

/** What the figures depend on. */
export function describeRun(outcomes: readonly Outcome[]): Report {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
  const processors = cpus();
  const model = (processors[0]?.model ?? 'unknown').trim();
  const engine = /version ([^,\s]+)/.exec(output('dockerd', '--version'))?.[1];
  const etcd = /etcd Version: (\S+)/.exec(output('etcd', '--version'))?.[1];
  return {
    date: new Date().toISOString().slice(0, 16).replace('T', ' '),
    commit: commit(),
    machine: `${processors.length} × ${model}, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${output('uname', '-r')}`,
    versions: {
      skein: version,
      node: process.versions.node,
      ...(engine ? { docker: engine } : {}),
      ...(etcd ? { etcd } : {}),
    },
    outcomes,
  };
}

export const currentLoad = (): number => round(loadavg()[0] ?? 0, 1);

const number = (value: number | undefined, unit: string): string => {
  if (value === undefined) return '–';
  const digits = Math.abs(value) >= 100 || Number.isInteger(value) ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  const text = value.toFixed(digits).replace(/\B(?=(\d{3})+(?!\d))/g, digits === 0 ? ',' : '$&');
  return unit.startsWith('/') || unit === '%' ? `${text}${unit}` : `${text} ${unit}`.trim();
};

const cell = (text: string) => text.replaceAll('|', '\\|');

function row(figure: Figure): string {
  const { what, unit, skein, peer, goal, note } = figure;
  const ratio = ratioOf(figure);
  const met = goalMet(figure);
  const cells = [
    what,
    number(skein, unit),
    peer ? `${peer.name} ${number(peer.value, unit)}` : '',
    ratio === undefined ? '' : `${ratio.toFixed(2)} ×`,
    goal ? `${goal.text}${met === undefined ? '' : met ? ' ✓' : ' ✗'}` : '',
    note ?? '',
  ];
  return `| ${cells.map(cell).join(' | ')} |`;
}

/** The tables of one run, as Markdown. */
export function render({ date, commit: at, machine, versions, outcomes }: Report): string {
  const software = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  const lines = [`${date} UTC, commit ${at}; ${machine}; ${software.join(', ')}`, ''];
  for (const { bench, figures, failure, loadBefore } of outcomes) {
    lines.push(`**${bench}** (load before: ${loadBefore})`, '');
    if (figures.length > 0) {
      lines.push('| what | skein | peer | ratio | goal | note |', '|---|---|---|---|---|---|', ...figures.map(row), '');
    }
    if (failure !== undefined) lines.push(`Ended early: ${failure}`, '');
  }
  return lines.join('\n');
}
