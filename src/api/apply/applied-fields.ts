/**
 * The fields that a configuration speaks of, and what is wrong with it: server-side apply checks the configuration itself,
 * before it is merged, against the schema (typed values of structured-merge-diff).
 */
import { EMPTY_SET, nodeOf, type FieldSet } from './field-set.js';
import {
  isMap,
  itemElement,
  ItemError,
  resolved,
  type JsonMap,
  type KeyedListType,
  type LeafType,
  type OwnedType,
  type SetType,
} from './owned-type.js';
import { elementText, fieldElement } from './path-element.js';

/** The configuration does not fit the schema. The message lists everything, as upstream words it. */
export class TypedValueError extends Error {
  constructor(errors: readonly string[]) {
    super(errors.length === 1 ? errors[0] : ['errors:', ...errors.map((error) => `  ${error}`)].join('\n'));
    this.name = 'TypedValueError';
  }
}

type Children = Record<string, FieldSet>;

interface Walk {
  readonly errors: string[];
  /** Old data may hold duplicates; what is applied may not. */
  readonly strict: boolean;
}

/** The value as Go prints what the YAML or JSON decoder made of it. */
function goValue(value: unknown): string {
  if (value === null) return '<nil>';
  if (Array.isArray(value)) return `[${value.map(goValue).join(' ')}]`;
  if (!isMap(value)) return String(value as string | number | boolean);
  const entries = Object.keys(value).toSorted();
  return `map[${entries.map((key) => `${key}:${goValue(value[key])}`).join(' ')}]`;
}

const goTypeName = (value: unknown): string =>
  Array.isArray(value)
    ? '[]interface {}'
    : isMap(value)
      ? 'map[string]interface {}'
      : typeof value === 'boolean'
        ? 'bool'
        : typeof value;

const goSyntax = (value: unknown) => (typeof value === 'string' ? JSON.stringify(value) : goValue(value));

/** Why the value cannot stand there; undefined when it can. */
function leafProblem({ of }: LeafType, value: unknown): string | undefined {
  if (value === null) return undefined;
  switch (of) {
    case 'any':
      return undefined;
    case 'list':
      return Array.isArray(value) ? undefined : `expected list, got &{${goValue(value)}}`;
    case 'map':
      return isMap(value) ? undefined : `expected map, got &{${goValue(value)}}`;
    case 'int32':
    case 'int64':
    case 'number':
      return typeof value === 'number' ? undefined : `expected numeric (int or float), got ${goTypeName(value)}`;
    case 'boolean':
      return typeof value === 'boolean'
        ? undefined
        : `expected boolean, got &value.valueUnstructured{Value:${goSyntax(value)}}`;
    case 'quantity':
    case 'intOrString':
      return typeof value === 'object' ? `expected any scalar, got &{${goValue(value)}}` : undefined;
    case 'string':
    case 'bytes':
    case 'time':
    case 'microTime':
    case 'duration':
      return typeof value === 'string'
        ? undefined
        : `expected string, got &value.valueUnstructured{Value:${goSyntax(value)}}`;
  }
}

/** The paths below a value; whether it is itself in the set is for the parent to say. Undefined: none. */
function below(type: OwnedType, value: unknown, path: string, walk: Walk): FieldSet | undefined {
  const known = resolved(type, value);
  const report = (message: string) => walk.errors.push(path === '' ? message : `${path}: ${message}`);
  switch (known.kind) {
    case 'leaf': {
      const problem = leafProblem(known, value);
      if (problem !== undefined) report(problem);
      return EMPTY_SET;
    }
    case 'struct':
    case 'map': {
      if (value === null) return undefined;
      if (!isMap(value)) {
        report(`expected map, got &{${goValue(value)}}`);
        return undefined;
      }
      return belowMap(known, value, path, walk);
    }
    case 'keyed':
    case 'set': {
      if (value === null) return undefined;
      if (!Array.isArray(value)) {
        report(`expected list, got &{${goValue(value)}}`);
        return undefined;
      }
      return belowList(known, value, path, walk);
    }
  }
}

function belowMap(
  type: Extract<OwnedType, { kind: 'struct' | 'map' }>,
  map: JsonMap,
  path: string,
  walk: Walk,
): FieldSet | undefined {
  const children: Children = {};
  for (const name of Object.keys(map)) {
    const value = map[name];
    if (value === undefined) continue;
    const field = type.kind === 'struct' ? type.field(name) : undefined;
    if (type.kind === 'struct' && field === undefined) {
      if (walk.strict) walk.errors.push(`${path}.${name}: field not declared in schema`);
      continue;
    }
    const element = field?.element ?? fieldElement(name);
    const child = below(field?.type ?? (type as { values: OwnedType }).values, value, `${path}.${name}`, walk);
    const declared = type.kind === 'struct' && type.declares(name);
    const hollow = value === null || (isMap(value) && Object.keys(value).length === 0);
    const node = hollow || !declared ? itself(child) : child;
    if (node !== undefined) children[element] = node;
  }
  return nodeOf(false, children);
}

/** The node with the element itself in the set. */
function itself(node: FieldSet | undefined): FieldSet {
  if (node === undefined) return EMPTY_SET;
  return node['.'] === undefined ? (nodeOf(true, node) ?? EMPTY_SET) : node;
}

function belowList(
  type: KeyedListType | SetType,
  list: readonly unknown[],
  path: string,
  walk: Walk,
): FieldSet | undefined {
  const children: Children = {};
  const duplicates = new Set<string>();
  list.forEach((item, index) => {
    let element: string;
    try {
      element = itemElement(type, item);
    } catch (error) {
      if (!(error instanceof ItemError)) throw error;
      walk.errors.push(`${path}: element ${index}: ${error.message}`);
      return;
    }
    const text = elementText(element);
    if (children[element] !== undefined) {
      if (walk.strict && !duplicates.has(element)) walk.errors.push(`${path}: duplicate entries for key ${text}`);
      duplicates.add(element);
      children[element] = EMPTY_SET;
      return;
    }
    children[element] = itself(below(type.items, item, `${path}${text}`, walk));
  });
  return nodeOf(false, children);
}

/** The field set of an applied configuration. Throws {@link TypedValueError}. */
export function appliedFields(type: OwnedType, config: object): FieldSet {
  const walk: Walk = { errors: [], strict: true };
  const set = below(type, config, '', walk);
  if (walk.errors.length > 0) throw new TypedValueError(walk.errors);
  return set ?? EMPTY_SET;
}

/** The field set of an object that is there already: what does not fit is passed over. */
export const presentFields = (type: OwnedType, object: object): FieldSet =>
  below(type, object, '', { errors: [], strict: false }) ?? EMPTY_SET;
