/** CONNECT requests (exec, attach, port-forward, proxy) as webhooks see them. */
import type { KubeObject } from '../../../api/object.js';
import type { UserInfo } from '../../../security/authn/user.js';
import type { AdmissionSubject } from './review.js';

interface ConnectPath {
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
}

const KINDS: Readonly<Record<string, string>> = {
  'pods/exec': 'PodExecOptions',
  'pods/attach': 'PodAttachOptions',
  'pods/portforward': 'PodPortForwardOptions',
  'pods/proxy': 'PodProxyOptions',
  'services/proxy': 'ServiceProxyOptions',
  'nodes/proxy': 'NodeProxyOptions',
};

const FLAGS = ['stdin', 'stdout', 'stderr', 'tty'];

/** The options that the query stands for. */
function optionsOf(kind: string, query: URLSearchParams, path: string): Record<string, unknown> {
  if (kind === 'PodPortForwardOptions') return { ports: query.getAll('ports').map(Number) };
  if (kind.endsWith('ProxyOptions')) return { path };
  const options: Record<string, unknown> = {};
  for (const flag of FLAGS) if (query.has(flag)) options[flag] = ['1', 'true'].includes(query.get(flag) ?? '');
  const container = query.get('container');
  if (container) options['container'] = container;
  if (kind === 'PodExecOptions') options['command'] = query.getAll('command');
  return options;
}

export function connectSubject(target: ConnectPath, user: UserInfo, url: URL): AdmissionSubject {
  const { group, version, resource, subresource, namespace, name } = target;
  const kind = KINDS[`${resource}/${subresource}`] ?? 'PodProxyOptions';
  const rest = url.pathname.split('/proxy')[1] ?? '';
  const object = { kind, apiVersion: 'v1', ...optionsOf(kind, url.searchParams, rest) };
  return {
    operation: 'CONNECT',
    group,
    version,
    resource,
    subresource,
    namespace,
    name,
    user,
    dryRun: false,
    kind: { group: '', version: 'v1', kind },
    options: {},
    object: object as unknown as KubeObject,
    oldObject: undefined,
  };
}
