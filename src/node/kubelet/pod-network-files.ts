/** What a pod sees of names: its hostname, `/etc/hosts` and resolver settings, as the kubelet makes them. */
import type { Pod } from '../../api/types/core-v1.js';

export interface DnsSettings {
  readonly servers: readonly string[];
  readonly searches: readonly string[];
  readonly options: readonly string[];
}

export interface ClusterDns {
  /** Addresses of the cluster's DNS service. */
  readonly servers: readonly string[];
  /** `cluster.local` */
  readonly domain: string;
}

/** resolv.conf(5) as the kernel's resolver and Kubernetes limit it. */
const MAX_SERVERS = 3;
const MAX_SEARCHES = 32;
const MAX_HOSTNAME = 63;

export function hostnameOf(pod: Pod, nodeName: string): string {
  if (pod.spec?.hostNetwork) return nodeName;
  return (pod.spec?.hostname ?? pod.metadata.name ?? '').slice(0, MAX_HOSTNAME).replace(/[-.]+$/, '');
}

export function domainOf(pod: Pod, clusterDomain: string): string {
  const subdomain = pod.spec?.subdomain;
  return subdomain ? `${subdomain}.${pod.metadata.namespace}.svc.${clusterDomain}` : '';
}

export function dnsOf(pod: Pod, cluster: ClusterDns, host: DnsSettings): DnsSettings {
  const policy = pod.spec?.dnsPolicy ?? 'ClusterFirst';
  const namespace = pod.metadata.namespace ?? 'default';
  const clustered = policy === 'ClusterFirstWithHostNet' || (policy === 'ClusterFirst' && !pod.spec?.hostNetwork);
  const base: DnsSettings =
    policy === 'None'
      ? { servers: [], searches: [], options: [] }
      : clustered && cluster.servers.length > 0
        ? {
            servers: cluster.servers,
            searches: [`${namespace}.svc.${cluster.domain}`, `svc.${cluster.domain}`, cluster.domain, ...host.searches],
            options: ['ndots:5'],
          }
        : host;
  const { nameservers = [], searches = [], options = [] } = pod.spec?.dnsConfig ?? {};
  const named = new Map(base.options.map((option) => [option.split(':')[0] ?? option, option]));
  for (const { name = '', value } of options) named.set(name, value ? `${name}:${value}` : name);
  return {
    servers: [...new Set([...base.servers, ...nameservers])].slice(0, MAX_SERVERS),
    searches: [...new Set([...base.searches, ...searches])].slice(0, MAX_SEARCHES),
    options: [...named.values()],
  };
}

export function hostsFile(
  pod: Pod,
  ips: readonly string[],
  hostname: string,
  domain: string,
  nodeHosts: string,
): string {
  const lines = pod.spec?.hostNetwork
    ? ['# Kubernetes-managed hosts file (host network).', nodeHosts.trimEnd()]
    : [
        '# Kubernetes-managed hosts file.',
        '127.0.0.1\tlocalhost',
        '::1\tlocalhost ip6-localhost ip6-loopback',
        'fe00::0\tip6-localnet',
        'fe00::0\tip6-mcastprefix',
        'fe00::1\tip6-allnodes',
        'fe00::2\tip6-allrouters',
        ...ips.map((ip) => (domain ? `${ip}\t${hostname}.${domain}\t${hostname}` : `${ip}\t${hostname}`)),
      ];
  const aliases = pod.spec?.hostAliases ?? [];
  if (aliases.length > 0) {
    lines.push('', '# Entries added by HostAliases.');
    for (const { ip, hostnames = [] } of aliases) lines.push([ip, ...hostnames].join('\t'));
  }
  return `${lines.join('\n')}\n`;
}
