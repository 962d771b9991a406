/** CONNECT requests (exec, attach, port-forward, proxy) as webhooks see them. */
import type { KubeObject } from '../../../api/object.js';
import type { UserInfo } from '../../../security/authn/user.js';
import { bodySubject, type AdmissionSubject, type SubjectPlace } from './review.js';

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

export function connectSubject(place: SubjectPlace, user: UserInfo, url: URL): AdmissionSubject {
  const kind = KINDS[`${place.resource}/${place.subresource}`] ?? 'PodProxyOptions';
  const rest = url.pathname.split('/proxy')[1] ?? '';
  const object = { kind, apiVersion: 'v1', ...optionsOf(kind, url.searchParams, rest) } as unknown as KubeObject;
  const gvk = { group: '', version: 'v1', kind };
  return bodySubject(place, { operation: 'CONNECT', user, dryRun: false, kind: gvk, options: {}, object });
}
