/** From a manifest to the resource and namespace it is about. */
import { CliError } from './failure.js';
import type { Manifest } from './manifests.js';
import { ServedResources, type ServedResource } from './resources.js';
import type { HttpConnection } from '../client/http-connection.js';

export interface ManifestTarget extends Manifest {
  readonly resource: ServedResource;
  /** Empty for what is not namespaced. */
  readonly namespace: string;
}

export interface NamespaceChoice {
  /** `-n`: manifests that name another one are refused. */
  readonly given: string | undefined;
  readonly fallback: string;
}

/** Finds resources; asks the server anew (once) when a kind is not known, since an earlier manifest may have defined it. */
export class ManifestResolver {
  private constructor(
    private readonly connection: HttpConnection,
    private served: ServedResources,
  ) {}

  static async create(connection: HttpConnection): Promise<ManifestResolver> {
    return new ManifestResolver(connection, await ServedResources.discover(connection));
  }

  async resolve(manifest: Manifest, { given, fallback }: NamespaceChoice): Promise<ManifestTarget> {
    const { object, source } = manifest;
    const { apiVersion = '', kind = '', metadata } = object;
    let resource = this.served.byKind(apiVersion, kind);
    if (!resource) {
      this.served = await ServedResources.discover(this.connection);
      resource = this.served.byKind(apiVersion, kind);
    }
    if (!resource) {
      const { name = '', namespace = '' } = metadata;
      throw new CliError(
        `resource mapping not found for name: "${name}" namespace: "${namespace}" from "${source}": ` +
          `no matches for kind "${kind}" in version "${apiVersion}"`,
      );
    }
    if (!resource.namespaced) return { ...manifest, resource, namespace: '' };
    const own = metadata.namespace;
    if (given !== undefined && own !== undefined && own !== given) {
      throw new CliError(
        `the namespace from the provided object "${own}" does not match the namespace "${given}". ` +
          `You must pass '--namespace=${own}' to perform this operation.`,
      );
    }
    return { ...manifest, resource, namespace: own ?? given ?? fallback };
  }
}
