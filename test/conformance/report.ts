/** The scoreboard, as text and as docs/conformance.md. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import type { Outcome } from './run.js';
import { BLOCKS, type Row } from './table.js';

export interface Results {
  readonly rows: readonly Row[];
  readonly outcomes: ReadonlyMap<string, Outcome>;
  readonly known: ReadonlyMap<string, string>;
  readonly implemented: (id: string) => boolean;
}

type State = 'passed' | 'failed' | 'not run' | 'not yet';

const stateOf = ({ outcomes, implemented }: Results, { id }: Row): State =>
  outcomes.get(id)?.kind ?? (implemented(id) ? 'not run' : 'not yet');

const count = (results: Results, rows: readonly Row[], state: State) =>
  rows.filter((row) => stateOf(results, row) === state).length;

const COLUMNS: readonly State[] = ['passed', 'failed', 'not run', 'not yet'];

function summary(results: Results): string[][] {
  const line = (name: string, rows: readonly Row[]) => [
    name,
    String(rows.length),
    ...COLUMNS.map((state) => String(count(results, rows, state))),
  ];
  const blocks = Object.keys(BLOCKS)
    .map((block) => [block, results.rows.filter((row) => row.block === block)] as const)
    .filter(([, rows]) => rows.length > 0);
  return [
    ['block', 'rows', ...COLUMNS],
    ...blocks.map(([block, rows]) => line(block, rows)),
    line('all', results.rows),
    line(
      'in 1.32',
      results.rows.filter(({ in132 }) => in132),
    ),
  ];
}

/** The summary and the failures, for a terminal. */
export function formatReport(results: Results): string {
  const table = summary(results).map(
    ([name = '', ...cells]) => name.padEnd(10) + cells.map((c) => c.padStart(9)).join(''),
  );
  const failed = results.rows.filter((row) => stateOf(results, row) === 'failed');
  return [...table, '', ...failed.map((row) => `${row.id}: ${errorLine(results, row)}`)].join('\n');
}

function errorLine({ outcomes }: Results, { id }: Row): string {
  const outcome = outcomes.get(id);
  if (outcome?.kind !== 'failed') return '';
  const text = outcome.error.message.split('\n')[0] ?? '';
  // Ports and random names would change the page at each run.
  return text
    .replaceAll(/ at (?:\[::1\]|[\d.]+):\d+/g, '')
    .replaceAll(/-[\da-f]{8}\b/g, '-…')
    .slice(0, 300);
}

const PASSED_HEADING = '## Passed';

/** Row ids that the file lists as passed. */
export function readPassed(file: string): ReadonlySet<string> {
  if (!existsSync(file)) return new Set();
  const section = readFileSync(file, 'utf8').split(`${PASSED_HEADING}\n`)[1]?.split('\n## ')[0] ?? '';
  return new Set([...section.matchAll(/`([^`]+)`/g)].map(([, id]) => id ?? ''));
}

const escapeCell = (text: string) => text.replaceAll('|', '\\|').replaceAll('<', '&lt;');

function byBlock(results: Results, state: State): string[] {
  return Object.keys(BLOCKS).flatMap((block) => {
    const ids = results.rows
      .filter((row) => row.block === block && stateOf(results, row) === state)
      .map(({ id }) => id);
    return ids.length === 0 ? [] : [`- **${block}** (${ids.length}): ${ids.map((id) => `\`${id}\``).join(' ')}`];
  });
}

export function writeReport(file: string, results: Results, cluster: string): void {
  const [head = [], ...body] = summary(results);
  const described = body.map(([name = '', ...cells]) => [name, ...cells, BLOCKS[name] ?? '']);
  const failed = results.rows.filter((row) => stateOf(results, row) === 'failed');
  const notRun = results.rows.filter((row) => stateOf(results, row) === 'not run');
  const whyNot = (row: Row) => {
    const outcome = results.outcomes.get(row.id);
    return outcome?.kind === 'not run' ? outcome.why : 'slow';
  };
  const lines = [
    '# Conformance',
    '',
    'How much of the Kubernetes conformance list skein passes. The list is that of Kubernetes 1.37, which also has what came',
    "after 1.32, the version whose API skein serves: `in 1.32` counts the rows that 1.32's own suite has. The tests are written",
    'for this project from what each row asks for ([test/conformance](../test/conformance)); they are not the upstream suite, and',
    'passing them is not certified conformance.',
    '',
    `Written by \`npm run conformance\`: ${cluster}; each request went to a peer picked at random.`,
    '',
    '- **not yet**: there is no test for the row so far, which says nothing about whether it would pass',
    '- **not run**: there is one, and something it needs was missing',
    '',
    `| ${head.join(' | ')} | |`,
    `|${'---|'.repeat(1)}${'--:|'.repeat(COLUMNS.length + 1)}---|`,
    ...described.map((cells) => `| ${cells.join(' | ')} |`),
    '',
    '## Failed',
    '',
    ...(failed.length === 0 ? ['None.'] : ['| row | | |', '|---|---|---|']),
    ...failed.map(
      (row) =>
        `| \`${row.id}\` | ${escapeCell(row.testname)} (${row.release}) | ` +
        `${escapeCell(results.known.get(row.id) ?? errorLine(results, row))} |`,
    ),
    '',
    ...(notRun.length === 0 ? [] : ['## Not run', '', ...notRun.map((row) => `- \`${row.id}\`: ${whyNot(row)}`), '']),
    PASSED_HEADING,
    '',
    ...byBlock(results, 'passed'),
    '',
    '## Not yet',
    '',
    ...byBlock(results, 'not yet'),
    '',
  ];
  writeFileSync(file, lines.join('\n'));
}
