/** What a URL path and method ask for (apiserver's `RequestInfo`). */
import type { ResourceInfo } from '../../../api/schema/registry.js';

export interface ResourcePath {
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly namespace: string;
  readonly name: string;
  readonly subresource: string;
  /** What follows the subresource, with its leading slash: the path a proxy forwards to. */
  readonly rest: string;
}

const decodePart = (part: string) => {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
};

/** Undefined when the path is not below `/api/v1/` or `/apis/group/version/`, or names no resource. */
export function parseResourcePath(path: string): ResourcePath | undefined {
  const parts = path.split('/').slice(1);
  let group = '';
  let rest: string[];
  if (parts[0] === 'api') rest = parts.slice(1);
  else if (parts[0] === 'apis') {
    group = parts[1] ?? '';
    rest = parts.slice(2);
  } else return undefined;
  const [version = '', ...tail] = rest;
  if (version === '' || tail.length === 0 || tail[0] === '') return undefined;
  const trailing = tail.at(-1) === '' && tail.length <= 4;
  const at = (trailing ? tail.slice(0, -1) : tail).map(decodePart);
  let namespace = '';
  // `namespaces/x`, `namespaces/x/status` and `namespaces/x/finalize` are about the namespace itself.
  if (at[0] === 'namespaces' && at.length > 2 && at[2] !== 'status' && at[2] !== 'finalize') {
    namespace = at[1] ?? '';
    at.splice(0, 2);
    tail.splice(0, 2);
  }
  const [resource = '', name = '', subresource = ''] = at;
  const proxied = tail.slice(3);
  return {
    group,
    version,
    resource,
    namespace,
    name,
    subresource,
    rest: proxied.length ? `/${proxied.join('/')}` : '',
  };
}

export type ApiVerb =
  'get' | 'list' | 'watch' | 'create' | 'update' | 'patch' | 'delete' | 'deletecollection' | 'connect';

const CONNECTED = new Set(['exec', 'attach', 'portforward', 'proxy']);

/** The API verb of a request. Undefined for methods that the API does not know. */
export function verbOf(method: string, path: ResourcePath, query: URLSearchParams): ApiVerb | undefined {
  if (CONNECTED.has(path.subresource)) return 'connect';
  switch (method) {
    case 'GET':
    case 'HEAD':
      if (path.name !== '' && !isWatch(query)) return 'get';
      return isWatch(query) ? 'watch' : 'list';
    case 'POST':
      return 'create';
    case 'PUT':
      return 'update';
    case 'PATCH':
      return 'patch';
    case 'DELETE':
      return path.name === '' ? 'deletecollection' : 'delete';
    default:
      return undefined;
  }
}

export const isTrue = (value: string | null) =>
  value !== null && !['0', 'false', 'f', 'F', 'FALSE', 'False'].includes(value);
const isWatch = (query: URLSearchParams) => isTrue(query.get('watch'));

/** The verb that authorization knows: connecting is judged by its HTTP method, as upstream. */
export function authorizationVerb(verb: ApiVerb, method: string): string {
  if (verb !== 'connect') return verb;
  switch (method) {
    case 'POST':
      return 'create';
    case 'PUT':
      return 'update';
    case 'PATCH':
      return 'patch';
    case 'DELETE':
      return 'delete';
    default:
      return 'get';
  }
}

/** Whether a scope fits: a namespaced object needs its namespace, others have none. */
export const scopeFits = (info: ResourceInfo, path: ResourcePath, verb: ApiVerb) =>
  info.namespaced ? path.namespace !== '' || verb === 'list' || verb === 'watch' : path.namespace === '';
