/** What Services hold of the cluster's addresses and ports, and who yields. Pure. */
import type { KubeObject } from '../../../api/object.js';
import type { Service } from '../../../api/types/core-v1.js';

/** `ip 10.96.0.7` or `port 30080`; a number is one Service's, whatever the protocols. */
export type Claim = string;

export function claimsOf({ spec }: Service): Claim[] {
  if (!spec) return [];
  const addresses = spec.clusterIPs ?? (spec.clusterIP ? [spec.clusterIP] : []);
  const ports = [...(spec.ports ?? []).map(({ nodePort }) => nodePort), spec.healthCheckNodePort];
  const claims = [
    ...addresses.filter((ip) => ip !== '' && ip !== 'None').map((ip) => `ip ${ip}`),
    ...ports.flatMap((port) => (port ? [`port ${port}`] : [])),
  ];
  return [...new Set(claims)];
}

/** Whether `a` keeps what both hold: the earlier creation, by uid at the same time. */
export function isElder({ metadata: a }: KubeObject, { metadata: b }: KubeObject): boolean {
  const [one, two] = [a.creationTimestamp ?? '', b.creationTimestamp ?? ''];
  return one === two ? (a.uid ?? '') < (b.uid ?? '') : one < two;
}

/** The Service with nothing in the place of those. */
export function withoutClaims(service: Service, lost: ReadonlySet<Claim>): Service {
  const { clusterIP, clusterIPs, healthCheckNodePort, ports, ...spec } = service.spec ?? {};
  const losesAddress = lost.has(`ip ${clusterIP}`) || (clusterIPs ?? []).some((ip) => lost.has(`ip ${ip}`));
  const keepsPort = (port: number | undefined) => port !== undefined && !lost.has(`port ${port}`);
  return {
    ...service,
    spec: {
      ...spec,
      ...(clusterIP && !losesAddress ? { clusterIP } : {}),
      ...(clusterIPs && !losesAddress ? { clusterIPs } : {}),
      ...(healthCheckNodePort && keepsPort(healthCheckNodePort) ? { healthCheckNodePort } : {}),
      ...(ports
        ? {
            ports: ports.map(({ nodePort, ...port }) =>
              nodePort && keepsPort(nodePort) ? { ...port, nodePort } : port,
            ),
          }
        : {}),
    },
  };
}
