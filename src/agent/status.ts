/** What `skein status` shows, as JSON. */
import type { MembershipView } from '../p2p/membership-view.js';
import type { Refusal } from '../p2p/libp2p/refusals.js';
import { FORMATS } from '../store/formats.js';
import type { Replica } from '../store/replication/replica.js';
import { attributesOf } from './liveness.js';
import { majorityState, withoutMajority } from './majority-state.js';

interface StatusSources {
  readonly transport: { refusals(): readonly Refusal[] };
  readonly membership: MembershipView;
}

export function describeStatus(
  clusterId: string,
  replica: Replica,
  { transport, membership }: StatusSources,
  nowMs: number,
  storeWarnings: readonly string[],
) {
  const view = replica.view;
  const members = membership.members();
  const missing = members.filter(({ liveness }) => liveness === 'dead');
  const majority = majorityState(replica.registry, view?.voters ?? []);
  const warnings = [
    ...storeWarnings,
    ...(view ? [] : ['no sequencer is in reach: reads may be old, writes wait']),
    ...(view && !majority.held ? [`${withoutMajority(majority)}: Leases and StatefulSets stay as they are`] : []),
    ...transport.refusals().map(refusalText),
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
    level: replica.level,
    revision: replica.revision,
    head: replica.position.head.revision,
    peers: members.map((member) => ({
      id: member.id,
      name: member.name,
      liveness: member.liveness,
      /** How long it has been so, in milliseconds. */
      sinceMs: Math.max(0, Math.round(nowMs - member.sinceMs)),
      ...(member.id === membership.self.id ? { formats: FORMATS } : member.formats && { formats: member.formats }),
      ...attributesOf(member),
    })),
    warnings,
  };
}

function refusalText({ peer, name, address, reason, by }: Refusal): string {
  const who = `${name ?? peer} (${address})`;
  return by === 'self' ? `peer ${who} is refused: ${reason}` : `peer ${who} refuses this one: ${reason}`;
}
