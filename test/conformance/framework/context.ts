/** What a row is given: the cluster, names and a namespace of its own, and a list of what to clean up. */
import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import type { Result } from '../../e2e/harness/command.js';
import { eventually } from '../../e2e/harness/wait.js';
import type { Cluster } from '../clusters/cluster.js';
import type { Api } from './http.js';
import { Kubectl } from './kubectl.js';
import { Resource } from './resource.js';

/** A row that cannot be run here: neither passed nor failed. */
export class NotRun extends Error {}

export type RowTest = (t: Context) => Promise<void>;

/** Implementations by row id. */
export type Rows = Readonly<Record<string, RowTest>>;

const NAMESPACE_READY_MS = 30_000;

export class Context {
  readonly api: Api;
  private readonly undo: (() => Promise<unknown>)[] = [];
  private tools: Promise<Kubectl> | undefined;

  constructor(readonly cluster: Cluster) {
    this.api = cluster.api;
  }

  /** A name that no other row has. */
  unique(prefix: string): string {
    return `${prefix}-${randomBytes(4).toString('hex')}`;
  }

  resource(groupVersion: string, plural: string, namespace?: string): Resource {
    return new Resource(this.api, groupVersion, plural, namespace);
  }

  /** Core group, `v1`. */
  core(plural: string, namespace?: string): Resource {
    return this.resource('v1', plural, namespace);
  }

  /** A new namespace, ready for pods: with its default ServiceAccount and the CA's certificate. */
  async namespace(prefix = 'conformance', labels: Readonly<Record<string, string>> = {}): Promise<string> {
    const name = this.unique(prefix);
    const namespaces = this.core('namespaces');
    await namespaces.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } });
    this.cleanup(() => namespaces.delete(name));
    if (this.cluster.hasControllers) {
      await eventually(`the default ServiceAccount and kube-root-ca.crt of ${name}`, NAMESPACE_READY_MS, async () => {
        const account = await this.core('serviceaccounts', name).exists('default');
        return account && (await this.core('configmaps', name).exists('kube-root-ca.crt'));
      });
    }
    return name;
  }

  /** Rows whose subject is a controller have nothing to do in a bare API server. */
  needsControllers(): void {
    if (!this.cluster.hasControllers) throw new NotRun('no controllers in this cluster');
  }

  /** Whether the API servers are told to be at this machine's loopback. */
  get isLoopback(): boolean {
    return this.api.hosts.some((host) => host.startsWith('127.'));
  }

  /** Runs when the row has ended, last given first. What fails then is no fault of the row. */
  cleanup(undo: () => Promise<unknown>): void {
    this.undo.push(undo);
  }

  async kubectl(args: readonly string[], input?: string): Promise<Result> {
    return (await this.kubectlTools()).run(args, input);
  }

  /** The standard output; a failure of kubectl is one of the row. */
  async kubectlOk(args: readonly string[], input?: string): Promise<string> {
    const { code, stdout, stderr } = await this.kubectl(args, input);
    if (code !== 0) throw new Error(`kubectl ${args.join(' ')}: ${stderr.trim() || stdout.trim()}`);
    return stdout;
  }

  kubectlTools(): Promise<Kubectl> {
    this.tools ??= this.openKubectl();
    return this.tools;
  }

  private async openKubectl(): Promise<Kubectl> {
    const tools = await Kubectl.open(this.cluster);
    if (!tools) throw new NotRun('no kubectl');
    this.cleanup(() => rm(tools.home, { recursive: true, force: true }));
    return tools;
  }

  async end(): Promise<void> {
    for (const undo of this.undo.toReversed()) await undo().catch(() => undefined);
  }
}
