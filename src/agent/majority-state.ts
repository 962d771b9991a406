/** Where this part of the cluster stands among the registered peers, for warnings, status and refusals. */
import { holdsMajority, type PeerRegistry } from '../store/replication/peer-registry.js';

export interface MajorityState {
  readonly registered: number;
  readonly present: number;
  readonly held: boolean;
}

export function majorityState(registry: PeerRegistry | undefined, voters: readonly string[]): MajorityState {
  const peers = registry?.peers ?? [];
  const present = peers.filter(({ id }) => voters.includes(id)).length;
  return { registered: peers.length, present, held: holdsMajority(registry, voters) };
}

export const withoutMajority = ({ present, registered }: MajorityState): string =>
  `this part of the cluster has ${present} of ${registered} registered peers, which is no majority`;
