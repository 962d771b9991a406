// npm run check: formatting, types, lint, import rules, the clock and randomness seam. Prints what is wrong, exits non-zero.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, posix } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
process.chdir(root);
let failed = false;

function run(title, command, ...args) {
  const { status } = spawnSync(command, args, { stdio: 'inherit', env: { ...process.env, FORCE_COLOR: '0' } });
  console.log(`${status === 0 ? 'ok  ' : 'FAIL'} ${title}`);
  failed ||= status !== 0;
}

function report(title, problems) {
  for (const problem of problems) console.log(`  ${problem}`);
  console.log(`${problems.length === 0 ? 'ok  ' : 'FAIL'} ${title}`);
  failed ||= problems.length > 0;
}

const bin = (name) => `node_modules/.bin/${name}`;
run('format', bin('prettier'), '--check', '--log-level', 'warn', 'src', 'test', 'scripts', 'config');
run('types', bin('tsc'), '--noEmit');
run('lint', bin('oxlint'), '--type-aware', '--quiet', 'src', 'test', 'scripts');

const listed = spawnSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', 'src'], {
  encoding: 'utf8',
});
const sources = listed.stdout.split('\n').filter((file) => file.endsWith('.ts'));
const rules = JSON.parse(readFileSync('scripts/check/imports.json', 'utf8'));
// The longest rule first, so that `security/ca` is found before `security`.
const rooms = Object.keys(rules).sort((a, b) => b.length - a.length);
const roomOf = (path) => rooms.find((room) => path === room || path.startsWith(`${room}/`));

/** DESIGN's import table: a file may import its own room, `base`, and what its room's row names. */
function importProblems(file) {
  const path = file.slice('src/'.length);
  const room = roomOf(path);
  if (!room) return [`${file}: no row in scripts/check/imports.json for this folder`];
  const problems = [];
  for (const [, target] of readFileSync(file, 'utf8').matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g)) {
    const to = posix.join(posix.dirname(path), target);
    const allowed = ['base', room, ...rules[room]];
    // The CLI starts the agent, and looks at data directories; only these commands do.
    if (/^cli\/commands\/(agent|backup|restore|store)\.ts$/.test(path)) allowed.push('agent');
    if (!allowed.some((prefix) => to === prefix || to.startsWith(`${prefix}/`)))
      problems.push(`${file}: must not import ${target}`);
  }
  return problems;
}

/** Nothing outside `base/` reads the machine's clock or rolls dice. */
function seamProblems(file) {
  if (file.startsWith('src/base/')) return [];
  return readFileSync(file, 'utf8')
    .split('\n')
    .flatMap((line, i) =>
      /\b(Date\.now|setTimeout|setInterval|setImmediate|Math\.random|performance\.now)\(|new Date\(\)/.test(line) &&
      !/^\s*(\*|\/\/)/.test(line)
        ? [`${file}:${i + 1}: ${line.trim()}`]
        : [],
    );
}

report('imports', sources.flatMap(importProblems));
report('clock and randomness only through base/', sources.flatMap(seamProblems));
process.exit(failed ? 1 : 0);
