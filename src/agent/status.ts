/** What `skein status` shows, as JSON. */
import type { MembershipView } from '../p2p/membership-view.js';
import type { Replica } from '../store/replication/replica.js';
import { attributesOf } from './liveness.js';
import { majorityState, withoutMajority } from './majority-state.js';

export function describeStatus(clusterId: string, replica: Replica, membership: MembershipView, nowMs: number) {
  const view = replica.view;
  const members = membership.members();
  const missing = members.filter(({ liveness }) => liveness === 'dead');
  const majority = majorityState(replica.registry, view?.voters ?? []);
  const warnings = [
    ...(view ? [] : ['no sequencer is in reach: reads may be old, writes wait']),
    ...(view && !majority.held ? [`${withoutMajority(majority)}: Leases and StatefulSets stay as they are`] : []),
    ...missing.map(({ name }) => `peer ${name} is not in reach: if it lives, it may take writes of its own (a split)`),
  ];
  return {
    cluster: { id: clusterId },
    self: { id: membership.self.id, name: membership.self.name },
    mode: replica.currentMode,
    leader: replica.leader,
    view: view ?? null,
    majority,
    registered: replica.registry?.peers ?? [],
    revision: replica.revision,
    head: replica.position.head.revision,
    peers: members.map((member) => ({
      id: member.id,
      name: member.name,
      liveness: member.liveness,
      /** How long it has been so, in milliseconds. */
      sinceMs: Math.max(0, Math.round(nowMs - member.sinceMs)),
      ...attributesOf(member),
    })),
    warnings,
  };
}
