/**
 * Peers that are removed from the cluster while anything happens to anybody: the faults of it, and what must hold
 * (docs/adr/0021). A removed machine comes back as another peer, with an empty disk.
 */
import { REVOKED_PEERS, revokedPeerKey } from '../../src/store/replication/revoked-peer.js';
import { quorum } from '../../src/store/replication/view.js';
import type { Life, SimCluster, SimPeer } from '../../src/testing/sim-cluster.js';
import type { Clients, Operation } from './clients.js';
import type { Fault, FaultContext } from './faults.js';
import type { Trait } from './trait.js';

/** An operator waits so long for the answer, in milliseconds; the removal goes on by itself. */
const PATIENCE_MS = 1_500;
/** A process may be stopped for so long before it goes on with what it was about to do, in milliseconds. */
const PAUSE_MS = 3_000;
/** So long after a peer knows of a removal it has nothing to do with the removed one, in milliseconds. */
const LOCKED_OUT_MS = 1_500 + PAUSE_MS;
/** A peer that finds itself removed has ended after so long, in milliseconds. */
const ENDED_MS = 1_500 + PAUSE_MS;
/** … and is nobody's sequencer after so long. */
const DEPOSED_MS = 150 + PAUSE_MS;

/** Where an answer came from. */
interface Source {
  readonly leader: string;
  readonly voters: readonly string[];
  /** It was done after the removal of the peer that gave it, which knew of that. What was ordered before may be answered later. */
  readonly knew: boolean;
}

const revokedAt = ({ replica }: Pick<Life, 'replica'>): string[] =>
  replica.list(REVOKED_PEERS.group, REVOKED_PEERS.resource).map(({ metadata }) => metadata.name ?? '');

export class Removals implements Trait {
  readonly problems: string[] = [];
  private requests = 0;
  private readonly sources = new Map<Operation, Source>();
  /** When a process first knew of whose removal. */
  private readonly known = new Map<Life, Map<string, number>>();
  /** Whom members saw removed. */
  private readonly removed = new Set<string>();

  constructor(
    private readonly cluster: SimCluster,
    clients: Clients,
  ) {
    clients.onAnswered = (operation, life) => {
      const { replica, transport } = life;
      const removal = replica.get(revokedPeerKey(transport.self.id));
      this.sources.set(operation, {
        leader: replica.leader,
        voters: replica.view?.voters ?? [],
        knew: operation.revision > (removal ? Number(removal.metadata.resourceVersion) : Infinity),
      });
    };
    cluster.every(20, () => this.look());
  }

  readonly faults: readonly Fault[] = [
    { weight: 2, run: (context, peer) => this.remove(context, peer) },
    { weight: 1, run: (context) => this.comeBack(context) },
  ];

  readonly wholeFaults: readonly Fault[] = [{ weight: 5, run: (context, peer) => this.takeOut(context, peer) }];

  members(): readonly SimPeer[] {
    const revoked = this.revoked();
    return this.cluster.peers.filter(({ id }) => !revoked.has(id));
  }

  beforeMending(): void {
    return;
  }

  /** Those who belong to the cluster are those who are registered, and the removed ones have nobody with them. */
  isDone(): boolean {
    const members = this.members();
    const ids = members.map(({ id }) => id).toSorted();
    const removed = this.cluster.up.filter((peer) => !members.includes(peer));
    if (removed.some(({ replica }) => members.some(({ id }) => replica.view?.members.includes(id)))) return false;
    return members.every(({ replica }) => replica.registry?.peers.map(({ id }) => id).join() === ids.join());
  }

  /** Lets the removed ones go, and what they told when nobody else could know. */
  finish(): void {
    const removed = this.revoked();
    for (const peer of this.cluster.peers.filter(({ id }) => removed.has(id))) {
      this.cluster.dismiss(peer);
    }
    for (const [operation, source] of this.sources) {
      if (!removed.has(operation.peer) || !isForlorn(source, removed)) continue;
      const { n, kind, peer } = operation;
      if (source.knew) this.problem(`${peer} answered ${kind} ${n} alone, and knew that it was removed`);
      // As if it had not been answered.
      operation.code = 0;
      operation.endMs = Infinity;
      operation.ended = Infinity;
    }
  }

  /** Whoever is asked: what came of it shows in the state. */
  private async remove({ cluster, random, note }: FaultContext, peer: SimPeer): Promise<void> {
    const members = this.members();
    const others = members.filter((one) => one !== peer && one.isUp);
    const asked = random.int(5) === 0 ? peer : others[random.int(others.length || 1)];
    if (members.length < 3 || !members.includes(peer) || !asked?.life) return;
    note(`remove ${peer.id} at ${asked.id}`);
    const id = `remove-${++this.requests}`;
    const answer = asked.life.replica.write(id, { removePeer: { name: peer.id, force: false } });
    const reply = await Promise.race([
      answer.catch(() => undefined),
      asked.life.gone,
      cluster.clock.sleep(PATIENCE_MS),
    ]);
    if (reply?.code === 200) note(`removed ${peer.id}`);
  }

  private async comeBack({ cluster, note }: FaultContext): Promise<void> {
    const revoked = this.revoked();
    const gone = cluster.peers.find(({ id }) => revoked.has(id));
    if (!gone) return;
    cluster.dismiss(gone);
    const peer = cluster.enlist();
    note(`come-back ${gone.id} as ${peer.id}`);
    await peer.start();
  }

  /** From a whole cluster, while it works: it ends by itself, and nothing that it said is lost. */
  private async takeOut({ cluster, random, note }: FaultContext, peer: SimPeer): Promise<void> {
    if (cluster.peers.length < 3 || !peer.isUp) return;
    const asked = cluster.up[random.int(cluster.up.length)] as SimPeer;
    note(`remove ${peer.id} at ${asked.id}`);
    for (let code = 0; code !== 200; await cluster.clock.sleep(50)) {
      // An answer may be lost with the peer that is removed; a second request finds it done.
      const at = asked.isUp ? asked : (cluster.up.find((one) => one !== peer) as SimPeer);
      const id = `remove-${++this.requests}`;
      const answer = at.replica.write(id, { removePeer: { name: peer.id, force: false } }).catch(() => undefined);
      const reply = await Promise.race([answer, at.life?.gone]);
      code = reply?.code === 404 ? 200 : (reply?.code ?? 0);
    }
    await Promise.race([peer.life?.gone, cluster.clock.sleep(3_000)]);
    if (!peer.removed) this.problem(`${peer.id} was removed, and goes on`);
    cluster.dismiss(peer);
    if (random.int(2) === 0) return;
    const successor = cluster.enlist();
    note(`come-back ${peer.id} as ${successor.id}`);
    await successor.start();
  }

  private revoked(): ReadonlySet<string> {
    for (const { life } of this.cluster.up) if (life) for (const id of revokedAt(life)) this.removed.add(id);
    return this.removed;
  }

  private look(): void {
    const now = this.cluster.clock.monotonicMs();
    for (const { id, life } of this.cluster.up) {
      if (!life) continue;
      const known = this.known.get(life) ?? new Map<string, number>();
      this.known.set(life, known);
      for (const removed of revokedAt(life)) {
        const sinceMs = known.get(removed) ?? now;
        known.set(removed, sinceMs);
        if (removed === id) this.checkRemoved(id, life, now - sinceMs);
        else if (now - sinceMs > LOCKED_OUT_MS && life.replica.view?.members.includes(removed))
          this.problem(`${id} works with ${removed}, and knows that it was removed`);
      }
    }
  }

  private checkRemoved(id: string, { replica }: Life, forMs: number): void {
    if (forMs > DEPOSED_MS && replica.currentMode === 'leading')
      this.problem(`${id} leads, and knows that it was removed`);
    if (forMs > ENDED_MS) this.problem(`${id} goes on, and knows that it was removed`);
  }

  private problem(text: string): void {
    // Once: they are found again at every look.
    if (this.problems.some((known) => known.endsWith(text))) return;
    this.problems.push(`${this.cluster.clock.monotonicMs().toFixed(1)} ms: ${text}`);
  }
}

/** Only removed peers need have what was answered. */
const isForlorn = ({ leader, voters }: Source, removed: ReadonlySet<string>): boolean =>
  (leader === '' || removed.has(leader)) &&
  voters.filter((id) => removed.has(id)).length >= quorum(voters.length, 'majority');
