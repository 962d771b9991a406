/** `skein apply -f`: as `kubectl apply` on the client's side, and interchangeable with it. */
import type { Command } from 'commander';
import { ApiError, isAlreadyExists, isConflict, isNotFound } from '../../api/errors.js';
import type { KubeObject } from '../../api/object.js';
import { KindRegistry } from '../../api/schema/registry.js';
import type { SchemaNode } from '../../api/schema/schema.js';
import { pathOf, type HttpClient } from '../../client/http-client.js';
import { addConnectionOptions, connect, type ConnectionFlags } from '../connection.js';
import type { CliContext } from '../context.js';
import { CliError, describeFailure, SilentExit, UsageError } from '../failure.js';
import { lastAppliedOf, LAST_APPLIED, withLastApplied } from '../apply/last-applied.js';
import { threeWayMerge } from '../apply/three-way-merge.js';
import { ManifestResolver, type ManifestTarget } from '../manifest-targets.js';
import { readManifests } from '../manifests.js';
import { singularOf } from '../targets.js';

/** kubectl's, so that both own the same fields. */
const FIELD_MANAGER = 'kubectl-client-side-apply';
/** Others may write between our read and our patch so many times. */
const MAX_ATTEMPTS = 5;

interface Flags extends ConnectionFlags {
  readonly filename: string[];
  readonly recursive?: true;
  readonly namespace?: string;
}

type Outcome = 'created' | 'configured' | 'unchanged';

export function configure(command: Command, context: CliContext): void {
  addConnectionOptions(command)
    .description('Create or change objects so that they are as the manifests say.')
    .requiredOption('-f, --filename <path...>', 'Files or directories with manifests; - for standard input')
    .option('-R, --recursive', 'Directories with everything below them')
    .option('-n, --namespace <name>', 'Namespace of what names none; the one of the kubeconfig unless told')
    .action((flags: Flags) => apply(flags, context));
}

async function apply(flags: Flags, context: CliContext): Promise<void> {
  const manifests = await readManifests(flags.filename, flags.recursive === true, context.stdin);
  if (manifests.length === 0) throw new CliError('no objects passed to apply');
  const { client, namespace: fallback } = await connect(flags, context);
  const resolver = await ManifestResolver.create(client.connection);
  const applier = new Applier(client, context);
  let failed = false;
  for (const manifest of manifests) {
    try {
      const target = await resolver.resolve(manifest, { given: flags.namespace, fallback });
      const { name } = target.object.metadata;
      if (!name) throw new UsageError(`${manifest.source}: an object to apply needs metadata.name`);
      const outcome = await applier.apply(target, name);
      context.stdout.write(`${singularOf(target.resource)}/${name} ${outcome}\n`);
    } catch (error) {
      // One bad object does not keep the others from being applied; a server that is gone does.
      if (!(error instanceof CliError) && !(error instanceof ApiError && error.code < 500)) throw error;
      context.stderr.write(`${describeFailure(error).text}\n`);
      failed = true;
    }
  }
  if (failed) throw new SilentExit(1);
}

class Applier {
  private registry: KindRegistry | undefined;

  constructor(
    private readonly client: HttpClient,
    private readonly context: CliContext,
  ) {}

  async apply(target: ManifestTarget, name: string): Promise<Outcome> {
    const wanted = withLastApplied(target.object, target.namespace);
    for (let attempt = 1; ; attempt++) {
      try {
        const live = await this.find(target, name);
        return live ? await this.change(target, name, wanted, live) : await this.create(target, wanted);
      } catch (error) {
        // Somebody made or changed it in between: look again.
        if (attempt === MAX_ATTEMPTS || !(isConflict(error) || isAlreadyExists(error))) throw error;
      }
    }
  }

  private async find({ resource, namespace, source }: ManifestTarget, name: string): Promise<KubeObject | undefined> {
    try {
      return await this.client.get(resource, namespace, name);
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw withSource(error, 'retrieving current configuration of', source);
    }
  }

  private async create({ resource, namespace, source }: ManifestTarget, wanted: KubeObject): Promise<Outcome> {
    try {
      await this.write('POST', pathOf(resource, namespace), wanted, 'application/json');
      return 'created';
    } catch (error) {
      throw withSource(error, 'creating', source);
    }
  }

  private async change(
    { resource, namespace, source }: ManifestTarget,
    name: string,
    wanted: KubeObject,
    live: KubeObject,
  ): Promise<Outcome> {
    const last = lastAppliedOf(live);
    if (!last && live.metadata.annotations?.[LAST_APPLIED] === undefined) {
      const what = `${resource.resource}/${name}`;
      this.context.stderr.write(
        `Warning: resource ${what} is missing the ${LAST_APPLIED} annotation: it was not made by apply; the annotation is added\n`,
      );
    }
    const schema = this.schemaOf(resource);
    const patch = threeWayMerge(last, asFields(wanted), asFields(live), schema);
    if (Object.keys(patch).length === 0) return 'unchanged';
    const type = schema ? 'application/strategic-merge-patch+json' : 'application/merge-patch+json';
    try {
      await this.write('PATCH', pathOf(resource, namespace, name), patch, type);
      return 'configured';
    } catch (error) {
      throw withSource(error, 'applying patch:', source);
    }
  }

  /** Custom resources have no strategic merge. */
  private schemaOf({ group, version, kind }: { group: string; version: string; kind: string }): SchemaNode | undefined {
    this.registry ??= KindRegistry.load();
    return this.registry.byKind(group, version, kind)?.schema;
  }

  private async write(method: string, path: string, body: unknown, contentType: string): Promise<void> {
    const query = { fieldManager: FIELD_MANAGER, fieldValidation: 'Strict' };
    await this.client.connection.request({ method, path, query, body: JSON.stringify(body), contentType });
  }
}

const asFields = (object: KubeObject) => object as unknown as Readonly<Record<string, unknown>>;

/** Says which file and step an error belongs to, as kubectl does. Conflicts keep their class and reason. */
function withSource(error: unknown, doing: string, source: string): unknown {
  if (!(error instanceof ApiError) || error.code >= 500) return error;
  const message = `error when ${doing} "${source}": ${error.message}`;
  return new ApiError(error.code, error.reason, message, error.details, { cause: error });
}
