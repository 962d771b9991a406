/**
 * Field selectors (apimachinery `pkg/fields`): `path=value`, `path==value` and `path!=value` joined by commas, over the
 * fields that upstream supports for each kind.
 */
import { badRequest } from '../errors.js';
import type { KubeObject } from '../object.js';
import type { ResourceRef } from '../resource.js';

export interface FieldMatcher {
  matches(object: KubeObject): boolean;
  /** Whether it matches everything. */
  readonly empty: boolean;
  /** The name that `metadata.name=…` demands, so that a list can become a look-up. */
  readonly name?: string;
}

type Getter = (object: KubeObject) => string;

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;

function textAt(object: unknown, path: readonly string[]): string {
  let value = object;
  for (const part of path) {
    if (!isRecord(value)) return '';
    value = value[part];
  }
  if (typeof value === 'string') return value;
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : '';
}

const at = (path: string): Getter => {
  const parts = path.split('.');
  return (object) => textAt(object, parts);
};
/** A missing boolean is false and a missing number is 0, as in Go. */
const flagAt = (path: string): Getter => {
  const get = at(path);
  return (object) => get(object) || 'false';
};
const countAt = (path: string): Getter => {
  const get = at(path);
  return (object) => get(object) || '0';
};
const either =
  (first: Getter, second: Getter): Getter =>
  (object) =>
    first(object) || second(object);

const fields = (...paths: string[]): Record<string, Getter> =>
  Object.fromEntries(paths.map((path) => [path, at(path)]));

const GENERIC = fields('metadata.name', 'metadata.namespace');

const CORE_EVENT: Record<string, Getter> = {
  ...fields(
    'involvedObject.kind',
    'involvedObject.namespace',
    'involvedObject.name',
    'involvedObject.uid',
    'involvedObject.apiVersion',
    'involvedObject.resourceVersion',
    'involvedObject.fieldPath',
    'reason',
    'type',
  ),
  reportingComponent: either(at('reportingComponent'), at('source.component')),
  source: either(at('source.component'), at('reportingComponent')),
};

const NEW_EVENT: Record<string, Getter> = {
  ...fields(
    'regarding.kind',
    'regarding.namespace',
    'regarding.name',
    'regarding.uid',
    'regarding.apiVersion',
    'regarding.resourceVersion',
    'regarding.fieldPath',
    'reason',
    'type',
  ),
  reportingController: either(at('reportingController'), at('deprecatedSource.component')),
};

/** By `group/resource`. */
const BY_RESOURCE: Readonly<Record<string, Record<string, Getter>>> = {
  '/pods': {
    ...fields(
      'spec.nodeName',
      'spec.restartPolicy',
      'spec.schedulerName',
      'spec.serviceAccountName',
      'status.phase',
      'status.podIP',
      'status.nominatedNodeName',
    ),
    'spec.hostNetwork': flagAt('spec.hostNetwork'),
    'status.podIPs': (object) => {
      const ips = isRecord(object.status) ? object.status['podIPs'] : undefined;
      return Array.isArray(ips) ? ips.map((entry) => textAt(entry, ['ip'])).join(',') : '';
    },
  },
  '/events': CORE_EVENT,
  'events.k8s.io/events': NEW_EVENT,
  '/nodes': { 'spec.unschedulable': flagAt('spec.unschedulable') },
  '/secrets': fields('type'),
  '/services': fields('spec.clusterIP', 'spec.type'),
  '/namespaces': { ...fields('status.phase'), name: at('metadata.name') },
  '/replicationcontrollers': { 'status.replicas': countAt('status.replicas') },
  'apps/replicasets': { 'status.replicas': countAt('status.replicas') },
  'batch/jobs': { 'status.successful': countAt('status.succeeded') },
  'certificates.k8s.io/certificatesigningrequests': fields('spec.signerName'),
};

interface Term {
  readonly field: string;
  readonly negated: boolean;
  readonly value: string;
}

/** Splits at unescaped commas. `\\`, `\,` and `\=` are the escapes. */
function splitTerms(text: string): string[] {
  const terms: string[] = [];
  let current = '';
  for (let i = 0; i < text.length; i++) {
    const char = text.charAt(i);
    if (char === '\\' && i + 1 < text.length) current += char + text.charAt(++i);
    else if (char === ',') {
      terms.push(current);
      current = '';
    } else current += char;
  }
  terms.push(current);
  return terms;
}

function unescape(text: string, whole: string): string {
  let out = '';
  for (let i = 0; i < text.length; i++) {
    const char = text.charAt(i);
    if (char === '=') throw badRequest(`invalid field selector: invalid field selector: ${text}; found '='`);
    if (char !== '\\') {
      out += char;
      continue;
    }
    const next = text.charAt(++i);
    if (next !== '\\' && next !== ',' && next !== '=') {
      throw badRequest(`invalid field selector: ${whole}; can't understand '\\${next}'`);
    }
    out += next;
  }
  return out;
}

function parseTerm(term: string, whole: string): Term {
  const match = /^([^=!]*)(==|!=|=)(.*)$/s.exec(term);
  if (match === null) throw badRequest(`invalid selector: '${whole}'; can't understand '${term}'`);
  const [, field = '', operator, value = ''] = match;
  return { field, negated: operator === '!=', value: unescape(value, whole) };
}

/** The fields that may be used in a selector for this resource. */
export function selectableFields(resource: Pick<ResourceRef, 'group' | 'resource'>): readonly string[] {
  return [...Object.keys(GENERIC), ...Object.keys(BY_RESOURCE[`${resource.group}/${resource.resource}`] ?? {})];
}

/**
 * Parses a field selector for a resource; the empty text matches everything. `extra` names further fields (a
 * CustomResourceDefinition's `selectableFields`). Throws a 400 with upstream's text, e.g. `field label not supported: x`.
 */
export function parseFieldSelector(
  resource: Pick<ResourceRef, 'group' | 'resource'>,
  text: string,
  extra: readonly string[] = [],
): FieldMatcher {
  const own = BY_RESOURCE[`${resource.group}/${resource.resource}`] ?? {};
  const tests: ((object: KubeObject) => boolean)[] = [];
  let name: string | undefined;
  for (const part of splitTerms(text)) {
    if (part === '') continue;
    const { field, negated, value } = parseTerm(part, text);
    const get =
      (Object.hasOwn(own, field) ? own[field] : undefined) ??
      (Object.hasOwn(GENERIC, field) ? GENERIC[field] : undefined) ??
      (extra.includes(field) ? at(field) : undefined);
    if (get === undefined) throw badRequest(`field label not supported: ${field}`);
    if (field === 'metadata.name' && !negated) name = value;
    tests.push(negated ? (object) => get(object) !== value : (object) => get(object) === value);
  }
  return {
    empty: tests.length === 0,
    matches: (object) => tests.every((test) => test(object)),
    ...(name === undefined ? {} : { name }),
  };
}
