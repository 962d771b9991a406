/** The table "How a merge decides" of docs/consistency.md: every rule in it is tested under its own words, and the other way round. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

const text = readFileSync(new URL('../../../docs/consistency.md', import.meta.url), 'utf8');
const [, section = ''] = text.split('\n## How a merge decides\n');
const lines = (section.split('\n## ')[0] ?? '').split('\n').filter((line) => line.startsWith('| '));

/** The rows: what both sides did, and what comes of it. */
export const documentedRules = lines
  .slice(1)
  .map((line) => line.split('|').map((cell) => cell.trim()))
  .map(([, what = '', outcome = '']) => `${what}: ${outcome}`);

export function assertDocumented(rule: string): void {
  assert.ok(documentedRules.includes(rule), `docs/consistency.md should have the row: ${rule}`);
}
