/**
 * Expressions about requests: match conditions of webhooks and everything in admission policies. Compiled once per
 * configuration, evaluated for every request that it is about.
 */
import { compile, type CompileResult, type EvaluationResult } from './environment.js';
import type { CostBudget } from './evaluation.js';
import { AuthorizerValue, ResourceCheck, type AuthorizerFunction } from './library/authorizer.js';
import {
  BOOL,
  DYN,
  LIST_OF_DYN,
  listOf,
  mapOf,
  STRING,
  type CelType,
  type ObjectField,
  type ObjectType,
} from './types.js';
import { CelError, CelObject, fromAnyJson, fromJson, type Value } from './values.js';

const objectType = (name: string, fields: Readonly<Record<string, CelType>>): ObjectType => ({
  kind: 'object',
  name,
  fields: new Map(
    Object.entries(fields).map(([property, type]): [string, ObjectField] => [property, { property, type }]),
  ),
});

const KIND = objectType('kubernetes.GroupVersionKind', { group: STRING, version: STRING, kind: STRING });
const RESOURCE = objectType('kubernetes.GroupVersionResource', { group: STRING, version: STRING, resource: STRING });
const USER = objectType('kubernetes.UserInfo', {
  username: STRING,
  uid: STRING,
  groups: listOf(STRING),
  extra: mapOf(STRING, listOf(STRING)),
});
/** `request`: the AdmissionRequest without its objects and uid. */
const REQUEST = objectType('kubernetes.AdmissionRequest', {
  kind: KIND,
  resource: RESOURCE,
  subResource: STRING,
  requestKind: KIND,
  requestResource: RESOURCE,
  requestSubResource: STRING,
  name: STRING,
  namespace: STRING,
  operation: STRING,
  userInfo: USER,
  dryRun: BOOL,
  options: DYN,
});
const NAMESPACE = objectType('kubernetes.Namespace', {
  metadata: objectType('kubernetes.NamespaceMetadata', {
    name: STRING,
    generateName: STRING,
    namespace: STRING,
    labels: mapOf(STRING, STRING),
    annotations: mapOf(STRING, STRING),
    UID: STRING,
    creationTimestamp: { kind: 'timestamp' },
    deletionGracePeriodSeconds: { kind: 'int' },
    deletionTimestamp: { kind: 'timestamp' },
    generation: { kind: 'int' },
    resourceVersion: STRING,
    finalizers: listOf(STRING),
  }),
  spec: objectType('kubernetes.NamespaceSpec', { finalizers: listOf(STRING) }),
  status: objectType('kubernetes.NamespaceStatus', { phase: STRING, conditions: LIST_OF_DYN }),
});
const AUTHORIZER: CelType = { kind: 'opaque', name: 'kubernetes.authorization.Authorizer' };

export interface PolicyVariables {
  /** `namespaceObject`, which match conditions of webhooks do not have. */
  readonly namespaceObject: boolean;
  readonly params: boolean;
  /** The type of `object` and `oldObject`; anything unless it is checked for a kind. */
  readonly object?: CelType;
  /** Types of the policy's own variables. */
  readonly variables?: ReadonlyMap<string, CelType>;
}

/** What match conditions may mention. */
export const WEBHOOK_VARIABLES: PolicyVariables = { namespaceObject: false, params: false };

function declared({ namespaceObject, params, variables, object = DYN }: PolicyVariables): Map<string, CelType> {
  const types = new Map<string, CelType>([
    ['object', object],
    ['oldObject', object],
    ['request', REQUEST],
    ['authorizer', AUTHORIZER],
  ]);
  if (namespaceObject) types.set('namespaceObject', NAMESPACE);
  if (params) types.set('params', DYN);
  if (variables) {
    const fields = [...variables].map(([property, type]): [string, ObjectField] => [property, { property, type }]);
    types.set('variables', { kind: 'object', name: 'kubernetes.variables', fields: new Map(fields) });
  }
  return types;
}

/** Compiles an expression; `results` are the types its value may have. */
export function compilePolicyExpression(
  expression: string,
  available: PolicyVariables,
  results?: readonly CelType[],
): CompileResult {
  // Its dot makes `authorizer.requestResource` look like a field; it is a variable of its own.
  const types = declared(available);
  const { text, used } = withRequestResource(expression);
  if (used) types.set(REQUEST_RESOURCE, { kind: 'opaque', name: 'kubernetes.authorization.ResourceCheck' });
  return compile(text, { variables: types, ...(results ? { results } : {}) });
}

const REQUEST_RESOURCE = 'authorizer_requestResource';
/** Replaces the dot by a character of the same length, so that places in messages stay right. */
function withRequestResource(expression: string): { text: string; used: boolean } {
  if (!expression.includes('authorizer.requestResource')) return { text: expression, used: false };
  return { text: expression.replaceAll(/\bauthorizer\.requestResource\b/g, REQUEST_RESOURCE), used: true };
}

/** `AdmissionRequest` as far as expressions see it. */
export interface PolicyRequest {
  readonly resource: { readonly group: string; readonly resource: string };
  readonly subResource?: string;
  readonly namespace?: string;
  readonly name?: string;
}

export interface PolicyInput {
  readonly object: unknown;
  readonly oldObject: unknown;
  readonly request: PolicyRequest;
  readonly namespaceObject?: unknown;
  readonly params?: unknown;
  readonly authorizer: AuthorizerFunction;
}

/** A policy's own variable: evaluated when it is first used. */
export interface LazyVariable {
  readonly name: string;
  readonly evaluate: (values: (name: string) => Value, budget: CostBudget) => EvaluationResult;
}

/** Gives expressions their variables' values, each converted once. */
export function policyValues(
  input: PolicyInput,
  budget: CostBudget,
  lazy: readonly LazyVariable[] = [],
): (name: string) => Value {
  const known = new Map<string, Value>();
  const values = (name: string): Value => {
    if (known.has(name)) return known.get(name);
    const value = make(name);
    known.set(name, value);
    return value;
  };
  const make = (name: string): Value => {
    switch (name) {
      case 'object':
        return fromAnyJson(input.object ?? null);
      case 'oldObject':
        return fromAnyJson(input.oldObject ?? null);
      case 'params':
        return fromAnyJson(input.params ?? null);
      case 'request':
        return fromJson(input.request, REQUEST);
      case 'namespaceObject':
        return fromJson(input.namespaceObject ?? null, NAMESPACE);
      case 'authorizer':
        return new AuthorizerValue(input.authorizer);
      case REQUEST_RESOURCE: {
        const { resource, subResource = '', namespace = '', name: named = '' } = input.request;
        return new ResourceCheck(input.authorizer, { ...resource, subresource: subResource, namespace, name: named });
      }
      case 'variables':
        return new VariablesObject(values, budget, lazy);
      default:
        return undefined;
    }
  };
  return values;
}

class VariablesObject extends CelObject {
  private readonly known = new Map<string, EvaluationResult>();

  constructor(
    private readonly values: (name: string) => Value,
    private readonly budget: CostBudget,
    private readonly lazy: readonly LazyVariable[],
  ) {
    super({}, objectType('kubernetes.variables', {}));
  }

  override find(name: string): Value {
    let result = this.known.get(name);
    if (result === undefined) {
      const variable = this.lazy.find((candidate) => candidate.name === name);
      if (variable === undefined) return undefined;
      result = variable.evaluate(this.values, this.budget);
      this.known.set(name, result);
    }
    if (result.ok) return result.value;
    throw new CelError(`composited variable "${name}" fails to evaluate: ${result.message}`);
  }
}
