/** What must hold at the end of a history, and all the time. Every failure is one line of text. */
import type { KubeObject } from '../../src/api/object.js';
import { RevisionGone, type StoreEvent } from '../../src/store/object-store.js';
import { jsonTextOf } from '../../src/store/object-text.js';
import type { Life, SimCluster, SimPeer } from '../../src/testing/sim-cluster.js';
import type { Random } from '../../src/base/random.js';
import { unexplained, type Step } from './linearizability.js';
import { DEPLOYMENTS, entriesOf, GROW, keyOf, NAMESPACE, registerLog, REGISTERS, type Operation } from './clients.js';

export const RESOURCES: readonly (readonly [group: string, resource: string])[] = [
  ['', 'namespaces'],
  ['', 'configmaps'],
  ['', 'pods'],
  ['apps', 'deployments'],
];

/** A watch stays on one peer for so long before it goes on at another, in milliseconds. */
const STAY_MS = 400;

/** What one watch saw before it ended. */
interface Segment {
  readonly peer: string;
  readonly life: Life;
  readonly from: number;
  readonly events: string[];
  readonly revisions: number[];
  /** The watch was ended by a merge; what it saw may not be on the line that remained. */
  ended: boolean;
}

/** Looks on all the time. */
export class Observer {
  readonly problems: string[] = [];
  private readonly segments: Segment[] = [];
  private readonly revisions = new Map<Life, number>();
  private readonly reigns = new Map<string, Life>();
  private readonly holders = new Map<string, string>();

  constructor(private readonly cluster: SimCluster) {
    cluster.onStart = (peer, life) => this.attach(peer, life);
    for (const peer of cluster.peers) if (peer.life) this.attach(peer, peer.life);
    cluster.every(20, () => this.look());
  }

  private problem(text: string): void {
    this.problems.push(`${this.cluster.clock.monotonicMs().toFixed(1)} ms: ${text}`);
  }

  private attach(peer: SimPeer, life: Life): void {
    this.openWatch(peer, life);
    life.replica.subscribe({ onView: () => this.checkView(peer, life) });
  }

  private openWatch(peer: SimPeer, life: Life): void {
    const segment: Segment = {
      peer: peer.id,
      life,
      from: life.replica.revision,
      events: [],
      revisions: [],
      ended: false,
    };
    this.segments.push(segment);
    life.replica.watch('', 'configmaps', undefined, segment.from, {
      onEvents: (events) => {
        if (peer.life !== life) return;
        for (const event of events) this.record(segment, event);
      },
      onEnd: () => {
        segment.ended = true;
        queueMicrotask(() => {
          if (peer.life === life) this.openWatch(peer, life);
        });
      },
    });
  }

  /** A watch that goes from peer to peer, and goes on where it left off. For clusters that are never split. */
  wander(random: Random): void {
    const { clock } = this.cluster;
    let from = this.cluster.up[0]?.replica.revision ?? 0;
    const stay = async (peer: SimPeer, life: Life): Promise<void> => {
      const caughtUp = life.replica.waitFor(from, new AbortController().signal).then(() => true);
      const isThere = await Promise.race([caughtUp, life.gone, clock.sleep(STAY_MS)]);
      if (isThere !== true || peer.life !== life) return;
      const segment: Segment = { peer: peer.id, life, from, events: [], revisions: [], ended: false };
      let end: () => void;
      try {
        end = life.replica.watch('', 'configmaps', undefined, from, {
          onEvents: (events) => {
            if (peer.life === life) for (const event of events) this.record(segment, event);
          },
          onEnd: () => undefined,
        });
      } catch (error) {
        // Answered with 410: a peer that was started since then remembers no events of before. The client lists again.
        if (!(error instanceof RevisionGone)) throw error;
        from = life.replica.revision;
        return;
      }
      this.segments.push(segment);
      await Promise.race([life.gone, clock.sleep(STAY_MS)]);
      end();
      from = segment.revisions.at(-1) ?? from;
    };
    const go = async (): Promise<void> => {
      for (;;) {
        const { up } = this.cluster;
        const peer = up[random.int(up.length || 1)];
        if (peer?.life) await stay(peer, peer.life);
        else await clock.sleep(STAY_MS);
      }
    };
    go().catch((error: unknown) => this.problem(`the wandering watch: ${String(error)}`));
  }

  private record(segment: Segment, event: StoreEvent): void {
    const last = segment.revisions.at(-1) ?? segment.from;
    if (event.revision <= last) this.problem(`${segment.peer}: event ${event.revision} after ${last}`);
    if (event.object.metadata.resourceVersion !== String(event.revision)) {
      this.problem(`${segment.peer}: event ${event.revision} shows version ${event.object.metadata.resourceVersion}`);
    }
    segment.revisions.push(event.revision);
    segment.events.push(`${event.revision} ${event.type} ${jsonTextOf(event.object)}`);
  }

  private look(): void {
    for (const peer of this.cluster.up) {
      const life = peer.life as Life;
      const before = this.revisions.get(life) ?? 0;
      const { revision } = life.replica;
      if (revision < before) this.problem(`${peer.id}: revision went back from ${before} to ${revision}`);
      this.revisions.set(life, revision);
    }
  }

  private checkView(peer: SimPeer, life: Life): void {
    if (peer.life !== life) return;
    const { view, currentMode } = life.replica;
    if (!view) return;
    const epoch = `${view.epoch.n}/${view.epoch.leader}`;
    if (currentMode === 'leading') {
      const other = this.reigns.get(epoch) ?? life;
      this.reigns.set(epoch, other);
      if (other !== life) this.problem(`epoch ${epoch} has two reigns`);
      if (view.epoch.leader !== peer.id) this.problem(`${peer.id} leads in the epoch ${epoch}`);
    }
    for (const [role, { holder, epoch: term }] of Object.entries(view.roles)) {
      const key = `${role} ${term} in ${epoch}`;
      const known = this.holders.get(key) ?? holder;
      this.holders.set(key, known);
      if (known !== holder) this.problem(`${key} is held by ${known} and ${holder}`);
      if (!view.members.includes(holder)) this.problem(`${key} is held by ${holder}, who is not a member`);
    }
  }

  /**
   * Watches that nobody ended saw the same events. `strict`: so did all watches, and none was ended on a peer that was
   * running all the time.
   */
  checkWatches(strict: boolean): string[] {
    const truth = new Map<number, string>();
    const problems: string[] = [];
    // A process that died may have shown the line that lost.
    const lives = new Set(this.cluster.peers.map(({ life }) => life));
    const kept = this.segments.filter(({ ended, life }) => strict || (!ended && lives.has(life)));
    for (const { peer, events, revisions } of kept) {
      for (const [i, revision] of revisions.entries()) {
        const event = events[i] as string;
        const known = truth.get(revision) ?? event;
        truth.set(revision, known);
        if (known !== event) problems.push(`watches disagree about ${revision} (${peer}): ${known} | ${event}`);
      }
    }
    const all = [...truth.keys()].toSorted((a, b) => a - b);
    for (const { peer, from, revisions } of kept) {
      const last = revisions.at(-1);
      if (last === undefined) continue;
      // What other line a watch's early part was on is known only where it overlaps with one that lived as long.
      const oldest = strict ? from : Math.max(from, ...kept.map((other) => other.from));
      const expected = all.filter((revision) => revision > oldest && revision <= last);
      const seen = new Set(revisions);
      const missing = expected.filter((revision) => !seen.has(revision));
      if (missing.length > 0) problems.push(`the watch on ${peer} from ${from} to ${last} missed ${missing.join(' ')}`);
    }
    return problems;
  }
}

/** Everything a peer shows, byte by byte. */
export const dump = (peer: SimPeer): string =>
  JSON.stringify(RESOURCES.map(([group, resource]) => peer.replica.list(group, resource)));

function differences(a: SimPeer, b: SimPeer): string {
  const objects = (peer: SimPeer) =>
    new Map(
      RESOURCES.flatMap(([group, resource]) =>
        peer.replica
          .list(group, resource)
          .map((object) => [`${resource}/${object.metadata.name}`, JSON.stringify(object)]),
      ),
    );
  const [one, two] = [objects(a), objects(b)];
  return [...new Set([...one.keys(), ...two.keys()])]
    .filter((name) => one.get(name) !== two.get(name))
    .map((name) => `${name}\n      ${one.get(name) ?? '-'}\n      ${two.get(name) ?? '-'}`)
    .join('\n    ');
}

export function checkConvergence(cluster: SimCluster): string[] {
  const [first, ...others] = cluster.peers as [SimPeer, ...SimPeer[]];
  const problems: string[] = [];
  for (const other of others) {
    if (other.replica.revision !== first.replica.revision)
      problems.push(`${other.id} is at another revision than ${first.id}`);
    if (dump(other) !== dump(first)) problems.push(`${other.id} and ${first.id} differ: ${differences(first, other)}`);
  }
  return problems;
}

type Fields = {
  data?: Record<string, string>;
  spec?: { template: { spec: { containers: { env?: { name: string }[] }[] } } };
};

/** Acknowledged writes are in the end state. `strict`: there was no split, so all are, in order. */
export function checkOperations(operations: readonly Operation[], peer: SimPeer, strict: boolean): string[] {
  const problems: string[] = [];
  const get = (resource: string, name: string) =>
    peer.replica.get(keyOf(resource, name)) as (KubeObject & Fields) | undefined;
  const acked = (kind: Operation['kind'], name: string) =>
    operations.filter((one) => one.kind === kind && one.name === name && one.code > 0 && one.code < 300);
  const lost = (one: Operation, what: string) =>
    problems.push(
      `lost: ${one.kind} ${one.n} of ${one.name} by ${one.peer}, acknowledged at ${one.endMs.toFixed(1)} ms: ${what}`,
    );

  for (const name of GROW) {
    const data = get('configmaps', name)?.data ?? {};
    for (const one of acked('grow', name)) if (!(`k${one.n}` in data)) lost(one, 'its key is gone');
    for (const { n, kind, code } of operations)
      if (kind === 'grow' && code === 503 && `k${n}` in data) problems.push(`grow ${n} was refused, and is in ${name}`);
  }
  for (const name of DEPLOYMENTS) {
    const object = get('deployments', name);
    const env = new Set(object?.spec?.template.spec.containers[0]?.env?.map((entry) => entry.name));
    for (const one of acked('env', name)) if (!env.has(`E${one.n}`)) lost(one, 'its variable is gone');
    const labels = object?.metadata.labels ?? {};
    for (const one of acked('label', name)) if (!(`l${one.n}` in labels)) lost(one, 'its label is gone');
  }
  for (const name of REGISTERS) {
    const entries = entriesOf(registerLog(get('configmaps', name)));
    if (new Set(entries).size !== entries.length) problems.push(`${name} holds an entry twice: ${entries.join(',')}`);
    const done = acked('append', name);
    if (done.length > 0 && entries.length === 0) problems.push(`${name} is empty`);
    if (strict) {
      for (const one of done) {
        const at = entries.indexOf(one.n);
        if (at < 0) lost(one, `not in ${entries.join(',')}`);
        else if (entries.slice(0, at).join(',') !== one.base)
          lost(one, `was based on ${one.base}, stands in ${entries.join(',')}`);
      }
      for (const one of operations) {
        if (one.kind !== 'read' || one.name !== name || one.code !== 200) continue;
        const seen = new Set(entriesOf(one.seen));
        for (const write of done) {
          if (write.endMs <= one.startMs && !seen.has(write.n)) {
            problems.push(
              `read ${one.n} of ${name} at ${one.peer} (${one.startMs.toFixed(1)} ms) misses ${write.n} (acknowledged ${write.endMs.toFixed(1)} ms)`,
            );
          }
        }
      }
    } else {
      // What stands is a line that some side wrote: every entry was attempted on top of those before it.
      for (const [i, n] of entries.entries()) {
        const one = operations[n - 1];
        if (one?.base !== entries.slice(0, i).join(','))
          problems.push(`${name} holds ${entries.join(',')}, which nobody wrote`);
      }
    }
  }
  checkNames(operations, peer, strict, problems);
  return problems;
}

/**
 * What clients saw of each object, and what is left of it, can be told as one history. With a split that holds for what only a
 * majority changes; `strict`: there was none, so it holds for all.
 */
export function checkOrder(operations: readonly Operation[], peer: SimPeer, strict: boolean): string[] {
  const names = new Set(operations.filter(({ kind }) => strict || kind === 'vote').map(({ name }) => name));
  return [...names].flatMap((name) => {
    const steps = operations.flatMap((one) => (one.name === name ? (stepOf(one) ?? []) : []));
    if (steps.some(({ text }) => /^(append|vote) /.test(text))) {
      const left = registerLog(peer.replica.get(keyOf('configmaps', name)));
      const apply = (state: string) => (state === left ? state : undefined);
      steps.push({ startMs: Number.MAX_VALUE, endMs: Number.MAX_VALUE, apply, text: `${left} is left` });
    }
    const why = unexplained(steps, '');
    return why === undefined ? [] : [`${name} is not linearizable: ${why}`];
  });
}

/** The state of a register is what it holds; that of another object its uid, or nothing. */
function stepOf(one: Operation): Step | undefined {
  const { n, kind, startMs, endMs, code, base, seen, uid } = one;
  const after = base === '' ? String(n) : `${base},${n}`;
  const step = (apply: Step['apply']): Step => ({ startMs, endMs, apply, text: `${kind} ${n}: ${code}` });
  // Says nothing of the state, and does nothing to it.
  if (code === 503) return undefined;
  switch (kind) {
    case 'read':
      return code === 200 ? step((state) => (state === seen ? state : undefined)) : undefined;
    case 'append':
      if (code === 409) return step((state) => (state === base ? undefined : state));
      return step((state) => (state === base ? after : undefined));
    case 'vote':
      // A conflict is one with a state that a part without a majority may have had for long.
      return code === 200 || code === 0 ? step((state) => (state === base ? after : undefined)) : undefined;
    case 'create':
    case 'contest':
      if (code === 409) return step((state) => (state === '' ? undefined : state));
      return step((state) => (state === '' ? uid || `made by ${n}` : undefined));
    case 'delete':
      if (code === 404) return step((state) => (state === '' ? state : undefined));
      // One of which nothing was heard is known only by what was done to it.
      if (code !== 200) return step((state) => (state === '' ? undefined : ''));
      return step((state) => (state === uid || state.startsWith('made by ') ? '' : undefined));
    case 'grow':
    case 'env':
    case 'label':
      return undefined;
  }
}

function checkNames(operations: readonly Operation[], peer: SimPeer, strict: boolean, problems: string[]): void {
  const present = new Map<string, string>();
  for (const resource of ['configmaps', 'pods']) {
    for (const { metadata } of peer.replica.list('', resource, NAMESPACE))
      present.set(metadata.name ?? '', metadata.uid ?? '');
  }
  const names = new Set(
    operations.filter(({ kind }) => kind === 'create' || kind === 'contest').map(({ name }) => name),
  );
  for (const name of names) {
    const made = operations.filter((one) => one.name === name && one.code === 201);
    const deletions = operations.filter((one) => one.name === name && one.kind === 'delete');
    const gone = new Set(deletions.filter(({ code }) => code === 200).map(({ uid }) => uid));
    const uid = present.get(name);
    if (uid !== undefined && gone.has(uid)) problems.push(`${name} came back after its deletion (${uid})`);
    for (const one of made) {
      // Any deletion that could have come later may have met it.
      const mayBeGone = deletions.some(
        (deletion) => deletion.endMs >= one.startMs && ![404, 503].includes(deletion.code),
      );
      if (uid === undefined && !mayBeGone)
        problems.push(`lost: ${one.kind} ${one.n} of ${name} by ${one.peer} at ${one.endMs.toFixed(1)} ms`);
    }
    const effective = deletions.filter(({ code }) => code === 200 || code === 0).length;
    if (strict && made.length > 1 + effective)
      problems.push(`${name} was created ${made.length} times, deleted ${effective} times`);
  }
}
