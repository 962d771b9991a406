/**
 * Commands of kubectl with what it prints of Kubernetes: one line each, so that a table of them reads as a session.
 * A word may be quoted with `'`, in which blanks stay.
 */
import assert from 'node:assert/strict';
import type { Result, TestCluster } from './cluster.js';

export interface Step {
  readonly run: string;
  /** What standard output is, or matches. */
  readonly out?: string | RegExp;
  /** What standard error is, or matches. */
  readonly err?: string | RegExp;
  /** The exit code; 0 unless given. */
  readonly code?: number;
  readonly input?: string;
  /** Only for kubectl of this minor version or later. */
  readonly since?: number;
  readonly env?: Readonly<Record<string, string>>;
}

export function words(line: string): string[] {
  return (line.match(/(?:'[^']*'|[^\s'])+/g) ?? []).map((word) => word.replaceAll("'", ''));
}

function check(what: string, text: string, expected: string | RegExp | undefined): void {
  if (typeof expected === 'string') assert.equal(text, expected, what);
  else if (expected !== undefined) assert.match(text, expected, what);
}

/** Runs the steps in order; rejects at the first that prints or ends otherwise. */
export async function play(
  cluster: TestCluster,
  kubectl: { readonly path: string; readonly version: string },
  steps: readonly Step[],
): Promise<void> {
  const minor = Number(kubectl.version.split('.')[1]);
  for (const { run, out, err, code = 0, input, since = 0, env } of steps) {
    if (minor < since) continue;
    const result: Result = await cluster.kubectl(kubectl.path, words(run), input, env);
    const what = `kubectl ${run}\nended with ${result.code}\n${result.stdout}${result.stderr}`;
    assert.equal(result.code, code, what);
    check(what, result.stdout, out);
    check(what, result.stderr, err);
  }
}
