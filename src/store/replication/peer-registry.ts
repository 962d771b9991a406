/**
 * Who belongs to the cluster for good: the registered peers, of which a component must hold a majority to change what must
 * never exist twice. One record in the store, below no API kind, that only sequencers write.
 *
 * Peers come and go one at a time, and the next change waits until the last is on the disks of a majority: then any
 * majority of the peers before a change and any majority after it share a peer, so no two components hold one at once
 * (Ongaro, "Consensus: Bridging Theory and Practice", 2014, §4.1). `epoch` is the newest reign that held a majority on this
 * line of the log. A reign writes it before anything that needs the majority, and is bound to have merged what a peer of
 * every earlier majority holds; so of two lines the one with the higher epoch has all such writes that were acknowledged.
 */
import type { VersionRange } from '../../base/version-range.js';
import type { KubeObject } from '../../api/object.js';
import { FIRST_FORMAT } from '../formats.js';
import { compareEpochs, sameEpoch, type Epoch } from '../log-entry.js';
import { keyString, type ObjectKey, type Revision } from '../object-store.js';
import type { ObjectRecord } from '../record.js';

export interface RegisteredPeer {
  readonly id: string;
  /** The node's name; empty while it is not known. */
  readonly name: string;
  /** The newest format that its build knows, as it said last; the first when absent. */
  readonly newest?: number;
}

export interface PeerRegistry extends KubeObject {
  readonly peers: readonly RegisteredPeer[];
  readonly epoch: Epoch;
  /**
   * The level: the format in which the log and records are written (`formats.ts`), the lowest that all registered peers have
   * said to know. It never falls, for what was written in it stays. The first when absent.
   */
  readonly level?: number;
}

export const REGISTRY_OBJECT: ObjectKey = Object.freeze({
  group: 'internal.skein.dev',
  resource: 'peerregistries',
  namespace: '',
  name: 'peers',
});
export const REGISTRY_KEY = keyString(REGISTRY_OBJECT);

/** The peer that founds a cluster is alone. */
export const foundedRegistry = (peers: readonly RegisteredPeer[], epoch: Epoch): PeerRegistry => ({
  apiVersion: 'internal.skein.dev/v1',
  kind: 'PeerRegistry',
  metadata: { name: 'peers', uid: 'peers' },
  peers,
  epoch,
});

/** Whether more than half of the registered peers are among `voters`. Without a registry nobody can tell: no. */
export function holdsMajority(registry: PeerRegistry | undefined, voters: readonly string[]): boolean {
  if (!registry) return false;
  return registry.peers.filter(({ id }) => voters.includes(id)).length * 2 > registry.peers.length;
}

/** Whether the last change of the register is on the disks of a majority: the next may follow. */
export const isSettled = (registry: PeerRegistry, { majorityRevision }: Standing): boolean =>
  Number(registry.metadata.resourceVersion) <= majorityRevision;

/** See {@link PeerRegistry.level}. */
export const levelOf = (registry: PeerRegistry | undefined): number => registry?.level ?? FIRST_FORMAT;

/** What the register asks of the mesh. */
export interface PeerFacts {
  /** The node's name; undefined while it is not known. */
  readonly nameOf: (peer: string) => string | undefined;
  /** The formats that the build of a connected peer, or this one, knows; undefined of others. */
  readonly formatsOf: (peer: string) => VersionRange | undefined;
  /** Never to be registered again. */
  readonly isRevoked: (peer: string) => boolean;
}

/** A sequencer's place among the registered peers. */
export interface Standing {
  readonly self: string;
  readonly epoch: Epoch;
  /** Peers whose log is on this sequencer's line. */
  readonly voters: readonly string[];
  /** On the disks of a majority of the registered peers up to here. */
  readonly majorityRevision: Revision;
}

const nameIn = (peers: readonly RegisteredPeer[], name: string) => peers.find((peer) => peer.name === name);

/**
 * The next step towards a registry that knows this reign and its voters: one change, or undefined when there is nothing to
 * do yet. A peer that came anew under the name of one that is not here takes its place, in two steps.
 */
export function nextRegistry(
  registry: PeerRegistry | undefined,
  standing: Standing,
  { nameOf, formatsOf, isRevoked }: PeerFacts,
): PeerRegistry | undefined {
  const { self, epoch, voters } = standing;
  if (!registry) return foundedRegistry([{ id: self, name: nameOf(self) ?? '' }], epoch);
  if (!holdsMajority(registry, voters)) return undefined;
  if (!sameEpoch(registry.epoch, epoch)) return { ...registry, epoch };
  if (!isSettled(registry, standing)) return undefined;
  const { peers } = registry;
  const barred = peers.find(({ id }) => isRevoked(id));
  if (barred) return { ...registry, peers: peers.filter((peer) => peer !== barred) };
  const newcomer = voters.find((peer) => !isRevoked(peer) && !peers.some(({ id }) => id === peer));
  if (newcomer === undefined) return nextLevel(registry, formatsOf);
  const name = nameOf(newcomer) ?? '';
  const former = name === '' ? undefined : nameIn(peers, name);
  if (former && !voters.includes(former.id)) {
    return { ...registry, peers: peers.filter((peer) => peer !== former) };
  }
  const newest = formatsOf(newcomer)?.newest ?? FIRST_FORMAT;
  return { ...registry, peers: [...peers, { id: newcomer, name, newest }].toSorted((a, b) => (a.id < b.id ? -1 : 1)) };
}

/** Notes what builds the peers run now, and only then, in a step of its own, raises the level to what all of them know. */
function nextLevel(registry: PeerRegistry, formatsOf: PeerFacts['formatsOf']): PeerRegistry | undefined {
  const known = ({ newest = FIRST_FORMAT }: RegisteredPeer) => newest;
  const peers = registry.peers.map((peer) => {
    const newest = formatsOf(peer.id)?.newest ?? known(peer);
    return newest === known(peer) ? peer : { ...peer, newest };
  });
  if (peers.some((peer, i) => peer !== registry.peers[i])) return { ...registry, peers };
  const level = Math.min(...peers.map(known));
  return level > levelOf(registry) ? { ...registry, level } : undefined;
}

/**
 * Which of two lines of the log has all acknowledged writes that needed a majority: positive for the first. Zero when
 * their newest majority was the same reign, whose stamps tell.
 */
export function compareLines(a: PeerRegistry | undefined, b: PeerRegistry | undefined): number {
  if (!a || !b) return Number(a !== undefined) - Number(b !== undefined);
  return compareEpochs(a.epoch, b.epoch);
}

export const registryOf = (record: ObjectRecord | undefined) => record?.value as PeerRegistry | undefined;
