/** The schemas of the built-in kinds as they are published: with descriptions of types and fields. */
import { Descriptions, loadDescriptions } from '../../../api/schema/descriptions.js';
import type { KindRegistry } from '../../../api/schema/registry.js';
import type { OpenApiSchema } from '../../../api/schema/schema.js';

/** Made when first asked for (some 60 ms) and kept (1 MB), for OpenAPI v2 and v3 alike. */
export class BuiltInSchemas {
  private described: Readonly<Record<string, OpenApiSchema>> | undefined;

  constructor(private readonly registry: KindRegistry) {}

  all(): Readonly<Record<string, OpenApiSchema>> {
    if (this.described === undefined) {
      const descriptions = new Descriptions(loadDescriptions());
      this.described = Object.fromEntries(
        Object.entries(this.registry.compiler.schemas).map(([name, schema]) => [
          name,
          descriptions.describe(name, schema),
        ]),
      );
    }
    return this.described;
  }
}
