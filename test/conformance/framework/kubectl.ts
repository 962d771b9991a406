/** The real kubectl, with a home of its own for each row: its discovery cache is as fresh as a new user's. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run, type Result } from '../../e2e/harness/command.js';
import { defaultKubectl, kubectlOf } from '../../e2e/harness/kubectl.js';
import type { Cluster } from '../clusters/cluster.js';

/** Newest first. */
const VERSIONS = ['1.36', '1.35', '1.34', '1.33', '1.32'];

const program = VERSIONS.map(kubectlOf).find((path) => path !== undefined) ?? defaultKubectl;

export class Kubectl {
  private constructor(
    readonly home: string,
    private readonly program: string,
    private readonly cluster: Cluster,
  ) {}

  static async open(cluster: Cluster): Promise<Kubectl | undefined> {
    if (program === undefined) return undefined;
    return new Kubectl(await mkdtemp(join(tmpdir(), 'skein-conformance-kubectl-')), program, cluster);
  }

  /** Each command goes to a peer picked at random. */
  run(args: readonly string[], input?: string): Promise<Result> {
    return run(this.program, this.args(args), {
      env: { HOME: this.home },
      timeoutMs: 60_000,
      ...(input === undefined ? {} : { input }),
    });
  }

  /** A command that runs until it is killed. */
  start(args: readonly string[]): ChildProcess {
    return spawn(this.program, this.args(args), { env: { ...process.env, HOME: this.home }, stdio: 'pipe' });
  }

  private args(args: readonly string[]): string[] {
    const { kubeconfigs } = this.cluster;
    const kubeconfig = kubeconfigs[Math.floor(Math.random() * kubeconfigs.length)] ?? '';
    return ['--kubeconfig', kubeconfig, '--cache-dir', join(this.home, 'cache'), ...args];
  }
}
