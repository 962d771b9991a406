/** One run: a cluster, its clients, one fault after the other, and the verdict. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Api } from '../../test/e2e/harness/api.js';
import { HttpLoad } from '../../test/e2e/harness/http-load.js';
import { eventually } from '../../test/e2e/harness/wait.js';
import { identical, listPaths } from './convergence.js';
import { APPENDS, Ledger, LEASE, SHARED, type Judgement, type ShownState } from './ledger.js';
import { aimedAt, describeFault, planFaults, type Fault, type FaultKind } from './plan.js';
import { Replicas } from './replicas.js';
import { Stage } from './stage.js';
import { summarize, type Episode } from './summary.js';
import { DEFAULT_LIMITS, type Limits, type Verdict } from './verdict.js';
import { Watcher } from './watcher.js';
import { CONFIG_MAPS, LEASE_PATH, NAMESPACE, Writer } from './writer.js';

export interface RunOptions {
  readonly seed: number;
  readonly hosts: number;
  /** New faults begin for so long. */
  readonly forMs: number;
  readonly kinds?: readonly FaultKind[];
  readonly lastsMs?: { readonly least: number; readonly most: number };
  readonly limits?: Limits;
  readonly log: (text: string) => void;
  /** Ends the run early; the verdict is about what was until then. */
  readonly signal?: AbortSignal;
}

const REPLICAS = 3;
const CALLS_PER_SECOND = 5;
const CALL_TIMEOUT_MS = 1_500;
const START_MS = 90_000;
/** How long a watch may take to tell the last changes, in milliseconds. */
const WATCH_MS = 15_000;
const SHOWN_VIOLATIONS = 20;

export class ChaosRun {
  readonly stage: Stage;
  private readonly ledger = new Ledger();
  private readonly broken: string[] = [];
  private readonly limits: Limits;
  private readonly writing = new AbortController();
  private readonly ending = new AbortController();
  private readonly writes: Promise<void>[] = [];
  private readonly work: Promise<void>[] = [];
  private apis: Api[] = [];
  private writers: Writer[] = [];
  private watchers: Watcher[] = [];
  private calls: HttpLoad[] = [];
  private paths: string[] = [];
  private replicas: Replicas;

  constructor(private readonly options: RunOptions) {
    this.stage = new Stage(options.hosts);
    this.limits = options.limits ?? DEFAULT_LIMITS;
    this.replicas = new Replicas(this.stage.cluster, REPLICAS);
  }

  get logDir(): string {
    return this.stage.cluster.logDir;
  }

  /** Hosts, agents and workload; nothing goes wrong yet. */
  async open(): Promise<void> {
    const { stage } = this;
    const { cluster } = stage;
    this.options.log(`${stage.hosts} hosts and agents start (logs in ${cluster.logDir})`);
    await stage.open();
    this.apis = await Promise.all(cluster.agents.map(({ host }) => cluster.api(host)));
    await cluster.createNamespace(NAMESPACE, 1);
    const [api] = this.apis as [Api];
    for (const name of SHARED) await api.call('POST', CONFIG_MAPS, { metadata: { name } });
    const lease = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { name: LEASE } };
    await api.call('POST', LEASE_PATH.slice(0, -LEASE.length - 1), lease);
    await api.applyYaml(await cluster.example('web.yaml'));
    await cluster.rolledOut(1, 'default', 'web', START_MS);
    this.paths = await listPaths(api);
    await this.startClients();
  }

  private async startClients(): Promise<void> {
    const { cluster } = this.stage;
    const { signal } = this.ending;
    this.writers = this.apis.map((api, i) => new Writer(`h${i + 1}`, api, this.ledger));
    this.watchers = this.apis.map((api, i) => new Watcher(`watch of h${i + 1}`, api));
    for (const writer of this.writers) this.writes.push(writer.run(this.writing.signal));
    for (const client of [...this.watchers, this.replicas]) this.work.push(client.run(signal));
    this.work.push(this.stage.keepUp(signal));
    const service = await this.apis[0]?.get('/api/v1/namespaces/default/services/web');
    const url = `http://${service.spec.clusterIP}/`;
    this.calls = cluster.agents.map(
      ({ host }) => new HttpLoad(cluster.lab, host, url, { perSecond: CALLS_PER_SECOND, timeoutMs: CALL_TIMEOUT_MS }),
    );
    await eventually('every client is served', START_MS, () => {
      const served = this.writers.every(({ counts }) => counts.acknowledged > 0);
      return Promise.resolve(served && this.watchers.every(({ ledger }) => ledger.events > 0));
    });
    await this.replicas.settled(START_MS);
  }

  async run(): Promise<Verdict> {
    const beganMs = performance.now();
    const episodes: Episode[] = [];
    const { seed, hosts, kinds, lastsMs, forMs, signal } = this.options;
    const plan = planFaults({ seed, hosts, ...(kinds ? { kinds } : {}), ...(lastsMs ? { lastsMs } : {}) });
    while (performance.now() - beganMs < forMs && !signal?.aborted) {
      const episode = await this.episode(plan.next().value);
      episodes.push(episode);
      // What never came together, or was lost, is better looked at now than buried under more of it.
      if (episode.identicalMs === undefined) break;
      await pause(episode.fault.restMs, signal);
    }
    const judgement = await this.finish();
    const calls = await Promise.all(this.calls.map((load) => load.stop()));
    const { writers, watchers, replicas, ledger, limits, broken, stage } = this;
    const judgements = [...episodes.map((episode) => episode.judgement), judgement];
    return summarize({
      seed,
      hosts,
      limits,
      episodes,
      judgements,
      writers,
      watchers,
      replicas,
      ledger,
      calls,
      tookMs: performance.now() - beganMs,
      broken: [...stage.crashes, ...broken],
    });
  }

  /** One fault, from its begin until all is well again. */
  private async episode(planned: Fault): Promise<Episode> {
    const { stage, options, limits } = this;
    const fault = aimedAt(planned, await this.sequencer());
    const [fromMs, fromEpochMs] = [performance.now(), Date.now()];
    options.log(`${describeFault(fault)} for ${(fault.lastsMs / 1000).toFixed(1)} s`);
    await stage.begin(fault);
    await pause(fault.lastsMs, options.signal);
    await stage.end(fault);
    const healedMs = performance.now();
    const since = () => Math.round(performance.now() - healedMs);
    const onMissing = (why: string) => options.log(`  after ${(since() / 1000).toFixed(1)} s: ${why}`);
    const [identicalMs, replicasMs] = await Promise.all([
      this.inTime(identical(this.apis, this.paths, { limitMs: limits.identicalMs, onMissing }).then(since)),
      this.inTime(this.replicas.settled(limits.replicasMs).then(since)),
    ]);
    this.logTroubles(fromMs);
    const judgement = await this.judge();
    const violations = [...judgement.lost, ...judgement.resurrected, ...judgement.majority];
    const seconds = (ms: number | undefined) => (ms === undefined ? 'never' : `${(ms / 1000).toFixed(1)} s`);
    options.log(`  identical after ${seconds(identicalMs)}, replicas after ${seconds(replicasMs)}`);
    for (const text of violations.slice(0, SHOWN_VIOLATIONS)) options.log(`  BROKEN: ${text}`);
    return {
      fault,
      fromMs,
      toMs: performance.now(),
      fromEpochMs,
      toEpochMs: Date.now(),
      lastedMs: Math.round(healedMs - fromMs),
      identicalMs,
      replicasMs,
      judgement,
    };
  }

  /** What the clients did not get an answer to, in the words they got. */
  private logTroubles(sinceMs: number): void {
    const counts = new Map<string, { count: number; lastMs: number }>();
    for (const { atMs, text } of this.writers.flatMap(({ troubles }) => troubles)) {
      if (atMs >= sinceMs) counts.set(text, { count: (counts.get(text)?.count ?? 0) + 1, lastMs: atMs - sinceMs });
    }
    for (const [text, { count, lastMs }] of counts) {
      this.options.log(`  ${count} x ${text} (last after ${(lastMs / 1000).toFixed(1)} s)`);
    }
  }

  private async inTime(outcome: Promise<number>): Promise<number | undefined> {
    try {
      return await outcome;
    } catch (error) {
      this.options.log(`  NOT IN TIME: ${error instanceof Error ? error.message : String(error)}`);
      return undefined;
    }
  }

  private async sequencer(): Promise<number | undefined> {
    const { body } = await (this.apis[0] as Api).send('GET', '/skein/v1/status');
    const name = (body?.peers as { id: string; name: string }[] | undefined)?.find(
      ({ id }) => id === body.leader,
    )?.name;
    return this.stage.cluster.agents.find((agent) => agent.name === name)?.host;
  }

  private async judge(): Promise<Judgement> {
    const judge = this.ledger.expectation();
    return judge(await this.shownState());
  }

  private async shownState(): Promise<ShownState> {
    return (
      await eventually('the state can be read', 30_000, async () => {
        const api = this.apis[0] as Api;
        const [list, lease] = await Promise.all([api.get(CONFIG_MAPS), api.get(LEASE_PATH)]);
        const appends = String(lease.metadata.annotations?.[APPENDS] ?? '').split(' ');
        return { configMaps: list.items, appends: appends.filter((token) => token !== '') };
      })
    ).value;
  }

  /** Ends the writers, waits until everything has arrived everywhere, then ends the rest. */
  private async finish(): Promise<Judgement> {
    const { ledger, watchers, options, limits } = this;
    this.writing.abort();
    await Promise.all(this.writes);
    if (
      (await this.inTime(identical(this.apis, this.paths, { limitMs: limits.identicalMs }).then(() => 0))) === undefined
    ) {
      this.broken.push('the peers did not show one state in the end');
    }
    const judgement = ledger.expectation()(await this.shownState());
    for (const [i, watcher] of watchers.entries()) {
      const items = (await (this.apis[i] as Api).get(CONFIG_MAPS)).items;
      let difference: string | undefined;
      await eventually('the watch has told everything', WATCH_MS, () => {
        difference = watcher.ledger.differenceTo(items);
        return Promise.resolve(difference === undefined);
      }).catch(() => undefined);
      if (difference !== undefined) watcher.ledger.gaps.push(difference);
    }
    this.ending.abort();
    await Promise.all(this.work);
    options.log('the clients have ended');
    return judgement;
  }

  /** Takes everything down; the agents' logs stay when told. */
  async close({ keepLogs }: { readonly keepLogs: boolean }): Promise<void> {
    this.writing.abort();
    this.ending.abort();
    await Promise.all([...this.writes, ...this.work]);
    await this.stage.close();
    if (!keepLogs) await this.stage.cluster.forgetLogs();
  }
}

const pause = (ms: number, signal: AbortSignal | undefined) =>
  sleep(ms, undefined, signal ? { signal } : {}).catch(() => undefined);
