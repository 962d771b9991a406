/** What the schema alone can say: enumerations for every kind, required values for kinds without rules of their own. */
import type { FieldNode, ObjectNode, SchemaNode } from '../schema/schema.js';
import type { FieldErrors } from './field-errors.js';

/** Whether anything below a node has a rule; recursive types count as having one. */
const ruled = new WeakMap<SchemaNode, boolean>();

function hasRules(node: SchemaNode, seen: Set<SchemaNode> = new Set()): boolean {
  const known = ruled.get(node);
  if (known !== undefined) return known;
  if (seen.has(node)) return false;
  seen.add(node);
  const result = computeRules(node, seen);
  if (seen.values().next().value === node || result) ruled.set(node, result);
  seen.delete(node);
  return result;
}

function computeRules(node: SchemaNode, seen: Set<SchemaNode>): boolean {
  switch (node.kind) {
    case 'object':
      if (node.required.length > 0) return true;
      for (const field of node.fields.values()) {
        if (field.enum !== undefined || hasRules(field.node, seen)) return true;
      }
      return false;
    case 'list':
      return hasRules(node.items, seen);
    case 'map':
      return hasRules(node.values, seen);
    case 'scalar':
    case 'any':
      return false;
  }
}

const isMissing = (value: unknown, { node }: FieldNode): boolean =>
  (node.kind === 'scalar' && node.type === 'string' && (value === undefined || value === '')) ||
  (node.kind === 'object' && value === undefined);

function walkObject(errors: FieldErrors, path: string, value: object, node: ObjectNode, required: boolean): void {
  const record = value as Readonly<Record<string, unknown>>;
  for (const name in record) {
    const field = node.fields.get(name);
    if (field === undefined) continue;
    const item = record[name];
    if (field.enum !== undefined && typeof item === 'string' && !field.enum.includes(item)) {
      errors.notSupported(path === '' ? name : `${path}.${name}`, item, field.enum);
    }
    if (typeof item === 'object' && item !== null && hasRules(field.node)) {
      walk(errors, path === '' ? name : `${path}.${name}`, item, field.node, required);
    }
  }
  if (!required) return;
  for (const name of node.required) {
    const field = node.fields.get(name);
    if (field !== undefined && isMissing(record[name], field)) errors.required(path === '' ? name : `${path}.${name}`);
  }
}

function walk(errors: FieldErrors, path: string, value: object, node: SchemaNode, required: boolean): void {
  switch (node.kind) {
    case 'object':
      walkObject(errors, path, value, node, required);
      return;
    case 'list':
      (value as unknown[]).forEach((item, index) => {
        if (typeof item === 'object' && item !== null) walk(errors, `${path}[${index}]`, item, node.items, required);
      });
      return;
    case 'map':
      for (const [key, item] of Object.entries(value)) {
        if (typeof item === 'object' && item !== null) walk(errors, `${path}[${key}]`, item, node.values, required);
      }
      return;
    case 'scalar':
    case 'any':
  }
}

/**
 * Checks one top-level part after the other: all but `metadata` and, unless `status` is what is written, `status`.
 * `required` adds the check for missing strings and structs that the schema requires.
 */
export function validateBySchema(
  errors: FieldErrors,
  schema: ObjectNode,
  object: object,
  options: { readonly required: boolean; readonly status: boolean },
): void {
  const { metadata: _metadata, status, ...desired } = object as Record<string, unknown>;
  walkObject(errors, '', options.status ? { status } : desired, schema, options.required && !options.status);
}
