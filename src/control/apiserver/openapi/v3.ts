/** OpenAPI v3: an index, and a document per group and version with the schemas it reaches. */
import { createHash } from 'node:crypto';
import { PageNotFound } from '../../../api/errors.js';
import type { KindRegistry } from '../../../api/schema/registry.js';
import type { ShownGroups } from '../discovery/discovery.js';
import type { BuiltInSchemas } from './built-in-schemas.js';
import { customSchemas } from './custom-schemas.js';
import type { OpenApiSchema } from '../../../api/schema/schema.js';
import {
  describedPaths,
  groupRoot,
  isWrite,
  patchTypes,
  producedTypes,
  WRITE_PARAMETERS,
  type DescribedPath,
  type Operation,
} from './paths.js';

const REF = '#/components/schemas/';

/** Every schema that the given ones refer to, themselves included. */
export function reachableSchemas(
  all: Readonly<Record<string, OpenApiSchema>>,
  roots: readonly string[],
): Record<string, OpenApiSchema> {
  const found: Record<string, OpenApiSchema> = {};
  const visit = (value: unknown) => {
    if (typeof value !== 'object' || value === null) return;
    for (const [key, child] of Object.entries(value)) {
      if (key === '$ref' && typeof child === 'string' && child.startsWith(REF)) add(child.slice(REF.length));
      else visit(child);
    }
  };
  const add = (name: string) => {
    const schema = all[name];
    if (schema === undefined || name in found) return;
    found[name] = schema;
    visit(schema);
  };
  for (const root of roots) add(root);
  return found;
}

function operationDocument({ info, item }: DescribedPath, operation: Operation): object {
  const { group, version, kind, schemaName } = info;
  const content = (type: string) => ({ [type]: { schema: { $ref: REF + schemaName } } });
  const parameters = isWrite(operation)
    ? WRITE_PARAMETERS.map((name) => ({ name, in: 'query', schema: { type: 'string', uniqueItems: true } }))
    : [];
  const body =
    operation.method === 'patch'
      ? {
          content: Object.fromEntries(
            patchTypes(info).map((type) => [
              type,
              { schema: { $ref: `${REF}io.k8s.apimachinery.pkg.apis.meta.v1.Patch` } },
            ]),
          ),
          required: true,
        }
      : { content: content('*/*') };
  return {
    operationId: `${operation.action}${item ? '' : 'Collection'}${kind}`,
    parameters,
    ...(isWrite(operation) ? { requestBody: body } : {}),
    responses: {
      200: { description: 'OK', content: Object.assign({}, ...producedTypes(info).map(content)) as object },
    },
    'x-kubernetes-action': operation.action,
    'x-kubernetes-group-version-kind': { group, version, kind },
  };
}

function pathParameters({ info, item }: DescribedPath) {
  const names = [...(info.namespaced ? ['namespace'] : []), ...(item ? ['name'] : [])];
  return names.map((name) => ({ name, in: 'path', required: true, schema: { type: 'string' } }));
}

export class OpenApiV3 {
  private readonly documents = new Map<string, { bytes: Buffer; hash: string; generation: number }>();

  constructor(
    private readonly registry: KindRegistry,
    private readonly builtInSchemas: BuiltInSchemas,
    private readonly shown: ShownGroups = registry,
  ) {}

  /** `GET /openapi/v3`. */
  index(): object {
    const paths: Record<string, { serverRelativeURL: string }> = {};
    for (const { group, versions } of this.shown.groups()) {
      for (const version of versions) {
        const path = groupRoot(group, version).slice(1);
        const remote = this.shown.remote?.(group, version);
        if (remote) {
          if (remote.openApi !== undefined) paths[path] = { serverRelativeURL: remote.openApi };
          continue;
        }
        const { hash } = this.document(path);
        paths[path] = { serverRelativeURL: `/openapi/v3/${path}?hash=${hash}` };
      }
    }
    // Those of groups that are gone.
    for (const path of this.documents.keys()) if (!(path in paths)) this.documents.delete(path);
    return { paths };
  }

  /** `GET /openapi/v3/{path}`, e.g. `apis/apps/v1`. Throws a 404. */
  document(path: string): { bytes: Buffer; hash: string } {
    const match = /^(?:api\/([^/]+)|apis\/([^/]+)\/([^/]+))$/.exec(path);
    if (!match) throw new PageNotFound();
    const [, core, group = '', version = core ?? ''] = match;
    const generation = this.registry.generationOf(group, version);
    const known = this.documents.get(path);
    if (known?.generation === generation) return known;
    this.documents.delete(path);
    const bytes = Buffer.from(JSON.stringify(this.build(group, version)));
    const hash = createHash('sha256').update(bytes).digest('hex').slice(0, 32).toUpperCase();
    const built = { bytes, hash, generation };
    this.documents.set(path, built);
    return built;
  }

  private build(group: string, version: string): object {
    const infos = this.registry.resources(group, version);
    if (infos.length === 0) throw new PageNotFound();
    const paths: Record<string, object> = {};
    for (const described of describedPaths(infos)) {
      const operations = described.operations.map((operation) => [
        operation.method,
        operationDocument(described, operation),
      ]);
      paths[described.path] = { ...Object.fromEntries(operations), parameters: pathParameters(described) };
    }
    const custom = customSchemas(infos);
    const known = { ...this.builtInSchemas.all(), ...custom };
    const schemas = reachableSchemas(known, [
      ...Object.keys(custom),
      ...infos.map(({ schemaName }) => schemaName),
      'io.k8s.apimachinery.pkg.apis.meta.v1.Patch',
      'io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions',
    ]);
    return { openapi: '3.0.0', info: { title: 'skein', version: 'v1.32.0' }, paths, components: { schemas } };
  }
}
