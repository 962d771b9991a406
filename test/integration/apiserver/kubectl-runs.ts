/** How suites run the real kubectl on a cluster of theirs. */
import assert from 'node:assert/strict';
import { isPresent, type Result, type TestCluster } from './cluster.js';

/** Skips the suite, and says so, where that kubectl is not installed. */
export function skipWithout(suite: Mocha.Context, path: string): void {
  if (isPresent(path)) return;
  process.stderr.write(`      SKIPPED: ${path} is not installed\n`);
  suite.skip();
}

export interface KubectlRuns {
  readonly run: (args: readonly string[], input?: string) => Promise<Result>;
  /** What it prints; it has to succeed. */
  readonly ok: (args: readonly string[], input?: string) => Promise<string>;
  /** It has to fail, with such an error. */
  readonly refused: (pattern: RegExp, args: readonly string[], input?: string) => Promise<void>;
}

/** @param flags before all arguments of each run. */
export function kubectlRuns(
  cluster: () => TestCluster,
  path: string,
  flags: () => readonly string[] = () => [],
): KubectlRuns {
  const run = (args: readonly string[], input?: string) => cluster().kubectl(path, [...flags(), ...args], input);
  return {
    run,
    async ok(args, input) {
      const { code, stdout, stderr } = await run(args, input);
      assert.equal(code, 0, `${args.join(' ')}: ${stderr}`);
      return stdout;
    },
    async refused(pattern, args, input) {
      const { code, stdout, stderr } = await run(args, input);
      assert.notEqual(code, 0, stdout);
      assert.match(stderr, pattern);
    },
  };
}
