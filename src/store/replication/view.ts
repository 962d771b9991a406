/**
 * Views: who orders for whom. A view is one reign of one sequencer over the peers that promised to follow it. Pure
 * decisions; the state machine that uses them is `replica.ts`.
 *
 * There is no quorum of the registered peers: any group that can talk elects a sequencer and goes on. Fencing makes that
 * safe inside a group: a peer follows exactly one epoch, the highest it promised, and refuses every lower one.
 */
import { compareEpochs, comparePositions, type Epoch, type Position } from '../log-entry.js';

/** A control-plane role and who holds it. */
export interface RoleHolder {
  readonly holder: string;
  /** Raised at every change of holder; messages of a lower one are refused. */
  readonly epoch: number;
}

export interface View {
  readonly epoch: Epoch;
  /** Raised at every change within the epoch. */
  readonly version: number;
  /** All that promised and are alive, sorted. */
  readonly members: readonly string[];
  /** Those of them whose log is on the sequencer's line: they count for acknowledgements. Sorted. */
  readonly voters: readonly string[];
  readonly roles: Readonly<Record<string, RoleHolder>>;
}

/** A group as seen from outside, for deciding who takes in whom. */
export interface Component {
  readonly size: number;
  readonly epoch: Epoch;
}

export const componentOf = ({ members, epoch }: View): Component => ({ size: members.length, epoch });

/** Which group keeps ordering when two meet: the larger, then the higher epoch, then the leader's id. */
export const compareComponents = (a: Component, b: Component): number =>
  a.size - b.size || compareEpochs(a.epoch, b.epoch);

export type AckPolicy = 'one' | 'majority' | 'all';

/** How many of `voters` peers must have a write on disk before it is acknowledged. */
export function quorum(voters: number, policy: AckPolicy): number {
  switch (policy) {
    case 'one':
      return 1;
    case 'majority':
      return Math.floor(voters / 2) + 1;
    case 'all':
      return voters;
  }
}

/** Later in the order of epochs than all given, and held by `leader` alone. */
export function nextEpoch(leader: string, ...seen: readonly Epoch[]): Epoch {
  return { n: Math.max(0, ...seen.map((epoch) => epoch.n)) + 1, leader };
}

/** What a peer tells the others about itself. */
export interface PeerState {
  /** The view's epoch, or the highest promised one when there is no view. */
  readonly epoch: Epoch;
  /** The sequencer it follows (or is); empty without one. */
  readonly leader: string;
  /** Members of its view; 0 without one. */
  readonly size: number;
  readonly head: Position;
}

/**
 * In which order peers without a sequencer should try to become it: the fullest log first, then by id. All peers that
 * know the same states compute the same order.
 */
export function successionOrder(alive: readonly string[], headOf: (peer: string) => Position | undefined): string[] {
  return alive.toSorted((a, b) => {
    const one = headOf(a);
    const two = headOf(b);
    const order = one && two ? comparePositions(two, one) : one ? -1 : two ? 1 : 0;
    return order || (a < b ? -1 : 1);
  });
}

/**
 * Assigns the roles: `api` to the sequencer, each other one sticky to its holder while it is a voter, else to the voter
 * that holds the fewest, the sequencer last. A change of holder raises the role's epoch.
 */
export function assignRoles(
  names: readonly string[],
  leader: string,
  voters: readonly string[],
  before: Readonly<Record<string, RoleHolder>>,
  epoch: number,
): Record<string, RoleHolder> {
  const roles: Record<string, RoleHolder> = {};
  const load = new Map<string, number>(voters.map((peer) => [peer, 0]));
  const give = (name: string, holder: string) => {
    const old = before[name];
    roles[name] = old?.holder === holder ? old : { holder, epoch };
    load.set(holder, (load.get(holder) ?? 0) + 1);
  };
  give('api', leader);
  const open: string[] = [];
  for (const name of names) {
    const old = before[name];
    if (old && voters.includes(old.holder)) give(name, old.holder);
    else open.push(name);
  }
  for (const name of open) {
    const [holder = leader] = voters.toSorted(
      (a, b) =>
        (load.get(a) ?? 0) - (load.get(b) ?? 0) || Number(a === leader) - Number(b === leader) || (a < b ? -1 : 1),
    );
    give(name, holder);
  }
  return roles;
}
