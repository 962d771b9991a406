/** Objects inside custom resources (`x-kubernetes-embedded-resource`): they carry a type and metadata of their own. */
import type { FieldError } from '../errors.js';
import { FieldErrors } from '../validation/field-errors.js';
import { validateAnnotations, validateLabels } from '../validation/metadata.js';
import { dns1123Subdomain } from '../names.js';
import { joined } from './pruning.js';
import type { Structural } from './structural.js';

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

type Visit = (object: Record<string, unknown>, path: string) => Record<string, unknown>;

/** Replaces each embedded object by what `visit` makes of it, innermost first. Copy on write. */
export function mapEmbedded(value: unknown, schema: Structural, path: string, visit: Visit): unknown {
  if (!schema.hasEmbedded || typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) {
    const { items } = schema;
    if (items === undefined) return value;
    let list: unknown[] | undefined;
    value.forEach((item: unknown, index) => {
      const next = mapEmbedded(item, items, `${path}[${index}]`, visit);
      if (next !== item) (list ??= [...(value as unknown[])])[index] = next;
    });
    return list ?? value;
  }
  let record = value as Record<string, unknown>;
  for (const name of Object.keys(value)) {
    const child = schema.child(name);
    if (child === undefined) continue;
    const item = (value as Record<string, unknown>)[name];
    const next = mapEmbedded(item, child, joined(path, name), visit);
    if (next === item) continue;
    if (record === value) record = { ...record };
    record[name] = next;
  }
  return schema.embedded ? visit(record, path) : record;
}

/** Type and metadata of all embedded objects. */
export function validateEmbedded(value: unknown, schema: Structural): FieldError[] {
  if (!schema.hasEmbedded) return [];
  const errors = new FieldErrors();
  mapEmbedded(value, schema, '', (object, path) => {
    for (const name of ['apiVersion', 'kind']) {
      const text = object[name];
      if (typeof text !== 'string' || text === '') errors.required(joined(path, name), 'must not be empty');
    }
    const { metadata } = object;
    if (isRecord(metadata)) validateMetadata(errors, joined(path, 'metadata'), metadata);
    return object;
  });
  return errors.list;
}

function validateMetadata(errors: FieldErrors, path: string, metadata: Record<string, unknown>): void {
  const { name, labels, annotations } = metadata;
  if (typeof name === 'string' && name !== '') errors.check(joined(path, 'name'), name, dns1123Subdomain);
  if (isRecord(labels)) validateLabels(errors, joined(path, 'labels'), labels as Record<string, string>);
  if (isRecord(annotations)) {
    validateAnnotations(errors, joined(path, 'annotations'), annotations as Record<string, string>);
  }
}
