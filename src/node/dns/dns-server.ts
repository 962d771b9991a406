/**
 * Cluster DNS of one node: answers for the cluster's zone from this peer's own memory, passes everything else on.
 *
 * Until the Services are known, questions about the zone get SERVFAIL: saying "no such name" would be a lie that resolvers
 * remember.
 */
import type { Clock } from '../../base/clock.js';
import type { Service } from '../../base/lifecycle.js';
import { errorText, type Logger } from '../../base/log.js';
import type { Metrics } from '../../base/metrics.js';
import type { Random } from '../../base/random.js';
import { ENDPOINTSLICES, SERVICES } from '../../api/resource.js';
import type { Service as KubeService } from '../../api/types/core-v1.js';
import type { EndpointSlice } from '../../api/types/discovery-v1.js';
import type { Client } from '../../client/client.js';
import { Informer } from '../../client/informer.js';
import { decode, encode, type Answer } from 'dns-packet';
import { answer, type ZoneAnswer, type ZoneOptions } from './answer.js';
import { Forwarder, type Address } from './forwarder.js';
import { Listener } from './listener.js';
import { decodeQuery, encodeError, encodeReply, RCODE, type Query, type Reply } from './message.js';
import { ZoneIndex } from './zone-index.js';

export interface DnsDeps {
  readonly client: Client;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Ids of forwarded questions and the order of answers: must be hard to guess outside of tests. */
  readonly random: Random;
}

export interface DnsOptions {
  readonly addresses: readonly Address[];
  /** The machine's resolvers, in order of preference. Those that are this server itself are left out. */
  readonly upstream: readonly Address[];
  /** `cluster.local` unless told. */
  readonly clusterDomain?: string;
  /** Lifetime of the cluster's records in seconds; 5. */
  readonly ttlSeconds?: number;
  /** Most records in one answer; 1,000. */
  readonly maxAnswers?: number;
  /** How long one resolver may take, in milliseconds; 2,000. */
  readonly upstreamTimeoutMs?: number;
  /** Most forwarded questions under way; 1,000. */
  readonly maxForwarded?: number;
  /** Most TCP connections per address; 256. */
  readonly maxConnections?: number;
  /** A silent TCP connection is closed after so long, in milliseconds; 10,000. */
  readonly idleMs?: number;
}

const isAny = (ip: string) => ip === '0.0.0.0' || ip === '::';

export class DnsServer implements Service {
  readonly name = 'dns';
  private readonly zone = new ZoneIndex();
  private readonly zoneOptions: ZoneOptions;
  private readonly listeners: readonly Listener[];
  private readonly forwarder: Forwarder;
  private readonly services: Informer<KubeService>;
  private readonly slices: Informer<EndpointSlice>;
  private readonly requests;

  constructor(
    private readonly deps: DnsDeps,
    options: DnsOptions,
  ) {
    this.zoneOptions = {
      clusterDomain: (options.clusterDomain ?? 'cluster.local').toLowerCase().replace(/\.$/, ''),
      ttl: options.ttlSeconds ?? 5,
      maxAnswers: options.maxAnswers ?? 1_000,
      serverAddresses: options.addresses.map(({ ip }) => ip).filter((ip) => !isAny(ip)),
    };
    const ours = ({ ip, port }: Address) =>
      options.addresses.some((own) => own.port === port && (own.ip === ip || (isAny(own.ip) && ip.startsWith('127.'))));
    this.forwarder = new Forwarder(deps, {
      upstream: options.upstream.filter((address) => !ours(address)),
      timeoutMs: options.upstreamTimeoutMs ?? 2_000,
      maxInFlight: options.maxForwarded ?? 1_000,
    });
    const limits = {
      maxConnections: options.maxConnections ?? 256,
      idleMs: options.idleMs ?? 10_000,
      maxPipelined: 64,
    };
    this.listeners = options.addresses.map(
      (address) => new Listener(address, deps.clock, (message, transport) => this.respond(message, transport), limits),
    );
    this.services = new Informer<KubeService>(deps, SERVICES);
    this.slices = new Informer<EndpointSlice>(deps, ENDPOINTSLICES);
    this.requests = deps.metrics.counter('skein_dns_requests_total', 'DNS questions, by who answered and result', [
      'source',
      'rcode',
    ]);
  }

  /** Where it listens, one for each address asked for. Valid after {@link start}. */
  get addresses(): readonly Address[] {
    return this.listeners.map(({ address }) => address);
  }

  /** Resolves after the Services are known. */
  get synced(): Promise<void> {
    return Promise.all([this.services.synced, this.slices.synced]).then(() => undefined);
  }

  /** Rejects when an address cannot be listened on. */
  async start(): Promise<void> {
    try {
      for (const listener of this.listeners) await listener.open();
    } catch (error) {
      await Promise.all(this.listeners.map((listener) => listener.close()));
      throw error;
    }
    this.services.addHandler({
      onUpsert: (service) => this.zone.setService(service),
      onDelete: (service) => this.zone.removeService(service),
    });
    this.slices.addHandler({
      onUpsert: (slice) => this.zone.setSlice(slice),
      onDelete: (slice) => this.zone.removeSlice(slice),
    });
    await this.services.start();
    await this.slices.start();
  }

  async stop(): Promise<void> {
    this.forwarder.stop();
    await Promise.all(this.listeners.map((listener) => listener.close()));
    await this.slices.stop();
    await this.services.stop();
  }

  private async respond(message: Buffer, transport: 'udp' | 'tcp'): Promise<Buffer | undefined> {
    const decoded = decodeQuery(message);
    if (decoded.kind === 'drop') return undefined;
    if (decoded.kind === 'refused') {
      this.requests.inc({ source: 'malformed', rcode: String((decoded.reply[3] ?? 0) & 0xf) });
      return decoded.reply;
    }
    const { query } = decoded;
    try {
      const { source, reply } = await this.answerQuery(query, message, transport);
      this.requests.inc({ source, rcode: String((reply[3] ?? 0) & 0xf) });
      return reply;
    } catch (error) {
      this.deps.log.error('DNS question not answered', { name: query.question.name, error: errorText(error) });
      return encodeError(query, RCODE.SERVFAIL);
    }
  }

  private async answerQuery(query: Query, message: Buffer, transport: 'udp' | 'tcp') {
    const reply = answer(query.question, this.zone, this.zoneOptions);
    if (!reply) return { source: 'upstream', reply: await this.forward(query, message, transport) };
    if (!this.services.hasSynced || !this.slices.hasSynced) {
      return { source: 'cluster', reply: encodeError(query, RCODE.SERVFAIL) };
    }
    const whole = reply.alias === undefined ? this.rotated(reply) : await this.withAlias(query, reply, reply.alias);
    return { source: 'cluster', reply: encodeReply(query, whole, transport) };
  }

  private async forward(query: Query, message: Buffer, transport: 'udp' | 'tcp'): Promise<Buffer> {
    if (!this.forwarder.usable) return encodeError(query, RCODE.REFUSED);
    return (await this.forwarder.ask(message, transport)) ?? encodeError(query, RCODE.SERVFAIL);
  }

  /** Follows an ExternalName: within the zone once, else through the resolvers. Askers without a resolver of their own need it. */
  private async withAlias({ question }: Query, reply: ZoneAnswer, alias: string): Promise<Reply> {
    const within = answer({ name: alias, type: question.type }, this.zone, this.zoneOptions);
    if (within) return { ...reply, answers: [...reply.answers, ...within.answers] };
    const asked = encode({
      type: 'query',
      flags: 0x0100,
      questions: [{ name: alias, type: question.type === 'AAAA' ? 'AAAA' : 'A' }],
    });
    const short = await this.forwarder.ask(asked, 'udp');
    const isWhole = short !== undefined && ((short[2] ?? 0) & 0x02) === 0;
    const resolved = isWhole ? short : await this.forwarder.ask(asked, 'tcp');
    return { ...reply, answers: [...reply.answers, ...addressesIn(resolved, this.zoneOptions.maxAnswers)] };
  }

  /** Begins at a random record, so that askers that take the first spread over all. */
  private rotated(reply: ZoneAnswer): ZoneAnswer {
    const { answers } = reply;
    if (answers.length < 2) return reply;
    const start = this.deps.random.int(answers.length);
    return { ...reply, answers: [...answers.slice(start), ...answers.slice(0, start)] };
  }
}

function addressesIn(reply: Buffer | undefined, limit: number): Answer[] {
  if (!reply) return [];
  try {
    const useful = new Set(['A', 'AAAA', 'CNAME']);
    return (decode(reply).answers ?? []).filter(({ type }) => useful.has(type)).slice(0, limit);
  } catch {
    return [];
  }
}
