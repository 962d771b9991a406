/** The schemas of custom resources and their lists, by their names in OpenAPI documents. */
import { publishedListSchema } from '../../../api/customresources/published-schema.js';
import type { ResourceInfo } from '../../../api/schema/registry.js';
import type { OpenApiSchema } from '../../../api/schema/schema.js';

export function customSchemas(infos: readonly ResourceInfo[]): Record<string, OpenApiSchema> {
  const schemas: Record<string, OpenApiSchema> = {};
  for (const info of infos) {
    if (info.rules === undefined) continue;
    schemas[info.schemaName] = info.rules.publishedSchema() as OpenApiSchema;
    const list = info.schemaName.slice(0, info.schemaName.length - info.kind.length) + info.listKind;
    schemas[list] = publishedListSchema(
      info,
      info.listKind,
      `#/components/schemas/${info.schemaName}`,
    ) as OpenApiSchema;
  }
  return schemas;
}
