/**
 * The records of the cluster's zone: Kubernetes' "DNS-Based Service Discovery" specification, schema version 1.1.0. Pure.
 *
 * An unknown name is NXDOMAIN, a known one without records of the type asked for is an empty NOERROR; both carry the zone's
 * SOA, so that resolvers may remember them (RFC 2308).
 */
import type { Answer } from 'dns-packet';
import { RCODE, type Question, type Reply } from './message.js';
import type { EndpointRecord, NamedPort, ServiceRecord, ZoneIndex } from './zone-index.js';

export interface ZoneOptions {
  /** Without a trailing dot, lower case: `cluster.local`. */
  readonly clusterDomain: string;
  /** Lifetime of every record, in seconds. */
  readonly ttl: number;
  /** Most records in one answer. */
  readonly maxAnswers: number;
  /** Addresses of this server, given out for its own name. */
  readonly serverAddresses: readonly string[];
}

/** The zone's answer; `alias` is a name outside the zone that a CNAME leads to, still to be resolved elsewhere. */
export type ZoneAnswer = Reply & { readonly alias?: string };

/** An address that a name has, or what else it stands for. */
interface Found {
  readonly addresses: readonly string[];
  readonly srv?: readonly { readonly port: number; readonly target: string; readonly addresses: readonly string[] }[];
  readonly cname?: string;
  readonly text?: string;
}

const NOTHING: Found = { addresses: [] };
const family = (ip: string) => (ip.includes(':') ? 'AAAA' : 'A');

/** Undefined when the question is not about this zone: somebody else knows. */
export function answer(question: Question, zone: ZoneIndex, options: ZoneOptions): ZoneAnswer | undefined {
  const name = question.name.toLowerCase();
  const { clusterDomain } = options;
  const reverse = addressOfReverse(name);
  if (reverse !== undefined) return answerReverse(question, reverse, zone, options);
  if (name !== clusterDomain && !name.endsWith(`.${clusterDomain}`)) return undefined;
  const labels = name === clusterDomain ? [] : name.slice(0, -clusterDomain.length - 1).split('.');
  if (labels.length === 0) return answerApex(question, options);
  const found = find(labels, zone, options);
  if (!found) return negative(RCODE.NXDOMAIN, options);
  return positive(question, found, options);
}

function find(labels: readonly string[], zone: ZoneIndex, options: ZoneOptions): Found | undefined {
  const root = labels.at(-1);
  if (labels.length === 1 && root === 'dns-version') return { addresses: [], text: '1.1.0' };
  if (root === 'dns') return findServer(labels, options);
  if (root === 'pod') return findPod(labels.slice(0, -1), zone);
  if (root === 'svc') return findInServices(labels.slice(0, -1), zone, options);
  return undefined;
}

function findServer(labels: readonly string[], options: ZoneOptions): Found | undefined {
  if (labels.length === 1) return NOTHING;
  return labels.length === 2 && labels[0] === 'ns' ? { addresses: options.serverAddresses } : undefined;
}

/** `10-1-2-3.namespace.pod`: the address is in the name. */
function findPod(labels: readonly string[], zone: ZoneIndex): Found | undefined {
  if (labels.length === 0) return NOTHING;
  const [host = '', namespace = ''] = labels;
  if (labels.length === 1) return zone.hasNamespace(host) ? NOTHING : undefined;
  if (labels.length > 2 || namespace === '') return undefined;
  if (/^\d{1,3}(-\d{1,3}){3}$/.test(host)) {
    return host.split('-').every((part) => Number(part) <= 255)
      ? { addresses: [host.replaceAll('-', '.')] }
      : undefined;
  }
  const address = host.replaceAll('-', ':');
  return URL.canParse(`http://[${address}]`) ? { addresses: [address] } : undefined;
}

function findInServices(labels: readonly string[], zone: ZoneIndex, options: ZoneOptions): Found | undefined {
  const namespace = labels.at(-1);
  if (namespace === undefined) return NOTHING;
  const name = labels.at(-2);
  if (name === undefined) return zone.hasNamespace(namespace) ? NOTHING : undefined;
  const service = zone.service(namespace, name);
  if (!service) return undefined;
  if (service.externalName) return labels.length === 2 ? { addresses: [], cname: service.externalName } : undefined;
  const endpoints = service.headless ? zone.endpointsOf(namespace, name) : [];
  // The specification wants a headless Service without ready endpoints not to exist.
  if (service.headless && endpoints.length === 0) return undefined;
  return findBelow(labels.slice(0, -2), service, endpoints, options);
}

function findBelow(
  labels: readonly string[],
  service: ServiceRecord,
  endpoints: readonly EndpointRecord[],
  options: ZoneOptions,
): Found | undefined {
  const host = `${service.name}.${service.namespace}.svc.${options.clusterDomain}`;
  const own = service.headless ? endpoints.map(({ ip }) => ip) : service.clusterIPs;
  const srvOf = (fits: (port: NamedPort) => boolean) =>
    service.headless
      ? endpoints.flatMap(({ ip, label, ports }) =>
          ports.filter(fits).map(({ port }) => ({ port, target: `${label}.${host}`, addresses: [ip] })),
        )
      : service.ports.filter(fits).map(({ port }) => ({ port, target: host, addresses: service.clusterIPs }));
  if (labels.length === 0) return { addresses: own, srv: srvOf(() => true) };
  if (labels.length === 1 && !labels[0]?.startsWith('_')) {
    const named = endpoints.filter(({ label }) => label === labels[0]);
    if (named.length === 0) return undefined;
    const addresses = named.map(({ ip }) => ip);
    return { addresses, srv: srvOf(() => true).filter(({ target }) => target === `${labels[0]}.${host}`) };
  }
  const protocol = labels.at(-1);
  const port = labels.length === 2 ? labels[0] : undefined;
  if (labels.length > 2) return undefined;
  const srv = srvOf(
    (each) => `_${each.protocol.toLowerCase()}` === protocol && (port === undefined || `_${each.name}` === port),
  );
  if (srv.length === 0) return undefined;
  // `_tcp.name…` exists, as there are names below it, but has no records itself.
  return port === undefined ? NOTHING : { addresses: [], srv };
}

function positive(question: Question, found: Found, options: ZoneOptions): ZoneAnswer {
  const { name, type } = question;
  const { ttl, maxAnswers } = options;
  const any = type === 'ANY';
  if (found.cname) {
    const cname: Answer = { name, type: 'CNAME', ttl, data: found.cname };
    const reply = { rcode: RCODE.NOERROR, authoritative: true, answers: [cname], authorities: [], additionals: [] };
    return type === 'A' || type === 'AAAA' ? { ...reply, alias: found.cname } : reply;
  }
  const answers: Answer[] = [];
  const additionals: Answer[] = [];
  for (const ip of found.addresses) {
    if (any || family(ip) === type) answers.push({ name, type: family(ip), ttl, data: ip });
  }
  if (type === 'SRV') {
    const srv = (found.srv ?? []).slice(0, maxAnswers);
    const weight = Math.max(1, Math.floor(100 / Math.max(srv.length, 1)));
    const described = new Set<string>();
    for (const { port, target, addresses } of srv) {
      answers.push({ name, type: 'SRV', ttl, data: { priority: 0, weight, port, target } });
      if (described.has(target)) continue;
      described.add(target);
      for (const ip of addresses) additionals.push({ name: target, type: family(ip), ttl, data: ip });
    }
  }
  if ((any || type === 'TXT') && found.text) answers.push({ name, type: 'TXT', ttl, data: found.text });
  if (answers.length === 0) return negative(RCODE.NOERROR, options);
  return {
    rcode: RCODE.NOERROR,
    authoritative: true,
    answers: answers.slice(0, maxAnswers),
    authorities: [],
    additionals: additionals.slice(0, maxAnswers),
  };
}

function answerApex({ name, type }: Question, options: ZoneOptions): ZoneAnswer {
  const { clusterDomain, ttl, serverAddresses } = options;
  const server = `ns.dns.${clusterDomain}`;
  const answers: Answer[] = [];
  if (type === 'SOA' || type === 'ANY') answers.push({ ...soa(options), name });
  if (type === 'NS' || type === 'ANY') answers.push({ name, type: 'NS', ttl, data: server });
  if (answers.length === 0) return negative(RCODE.NOERROR, options);
  const additionals: Answer[] = serverAddresses.map((ip) => ({ name: server, type: family(ip), ttl, data: ip }));
  return { rcode: RCODE.NOERROR, authoritative: true, answers, authorities: [], additionals };
}

function answerReverse(
  { name, type }: Question,
  ip: string,
  zone: ZoneIndex,
  options: ZoneOptions,
): ZoneAnswer | undefined {
  const suffix = `svc.${options.clusterDomain}`;
  const names = [
    ...zone.servicesAt(ip).map((service) => `${service.name}.${service.namespace}.${suffix}`),
    ...zone.endpointsAt(ip).map(({ service, label }) => `${label}.${service.name}.${service.namespace}.${suffix}`),
  ];
  // Addresses that are not the cluster's belong to somebody else's reverse zone.
  if (names.length === 0) return undefined;
  if (type !== 'PTR' && type !== 'ANY') return negative(RCODE.NOERROR, options);
  const answers = names
    .slice(0, options.maxAnswers)
    .map((data): Answer => ({ name, type: 'PTR', ttl: options.ttl, data }));
  return { rcode: RCODE.NOERROR, authoritative: true, answers, authorities: [], additionals: [] };
}

/** The address a reverse name stands for, in the form that objects hold it. */
function addressOfReverse(name: string): string | undefined {
  if (name.endsWith('.in-addr.arpa')) {
    const parts = name.slice(0, -'.in-addr.arpa'.length).split('.').reverse();
    return parts.length === 4 && parts.every((part) => /^\d{1,3}$/.test(part)) ? parts.join('.') : undefined;
  }
  if (!name.endsWith('.ip6.arpa')) return undefined;
  const nibbles = name.slice(0, -'.ip6.arpa'.length).split('.').reverse();
  if (nibbles.length !== 32 || !nibbles.every((nibble) => /^[0-9a-f]$/.test(nibble))) return undefined;
  const long = (nibbles.join('').match(/.{4}/g) ?? []).join(':');
  // The canonical short form (RFC 5952), as URLs write it.
  return new URL(`http://[${long}]`).hostname.slice(1, -1);
}

function negative(rcode: typeof RCODE.NXDOMAIN | typeof RCODE.NOERROR, options: ZoneOptions): ZoneAnswer {
  return { rcode, authoritative: true, answers: [], authorities: [soa(options)], additionals: [] };
}

function soa({ clusterDomain, ttl }: ZoneOptions): Answer {
  return {
    name: clusterDomain,
    type: 'SOA',
    ttl,
    data: {
      mname: `ns.dns.${clusterDomain}`,
      rname: `hostmaster.${clusterDomain}`,
      serial: 1,
      refresh: 7200,
      retry: 1800,
      expire: 86_400,
      minimum: ttl,
    },
  };
}
