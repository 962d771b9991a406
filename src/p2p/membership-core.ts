/**
 * Who is alive, decided: no clock, no I/O, the same events give the same decisions.
 *
 * | from    | event                                                    | to      |
 * |---------|----------------------------------------------------------|---------|
 * | any     | connected; anything heard                                | alive   |
 * | alive   | disconnected; silent for `timeoutMs`; told dead by others | suspect |
 * | suspect | its address refuses                                      | dead    |
 * | suspect | a third peer has lost it too, none vouches for `askMs`   | dead    |
 * | suspect | nobody vouched for it for `confirmMs`                    | dead    |
 *
 * A third peer that still hears a suspect vouches for it: it stays suspect (which counts as alive) as long as that goes
 * on, and what is meant for it can take the way over that third one. A connection that stays silent meanwhile is given up,
 * for a new one to be tried. A peer that finds its own timers late does not count that time as silence of others (Lifeguard: "Lifeguard: Local
 * Health Awareness for More Accurate Failure Detection", Dadgar, Phillips, Currey, 2018).
 */
import type { Liveness } from './membership-view.js';
import type { PeerId, PeerInfo } from './transport.js';

export interface MembershipTiming {
  /** Silence after which a peer is suspected, in milliseconds. */
  readonly timeoutMs: number;
  /** How long a suspect that nobody vouches for is still not taken for dead, in milliseconds. */
  readonly confirmMs: number;
  /** How often others are asked about a suspect, in milliseconds. */
  readonly askMs: number;
  /** How many others are asked at a time. */
  readonly askPeers: number;
  /** How many dead members are remembered. */
  readonly maxDead: number;
}

export interface MemberState {
  peer: PeerInfo;
  liveness: Liveness;
  sinceMs: number;
  connected: boolean;
  lastHeardMs: number;
  /** When a suspect is dead unless somebody vouches for it or it is heard. */
  deadlineMs: number;
  nextAskMs: number;
  /** When somebody last vouched for it, and who. */
  vouchedMs: number;
  vouchedBy: PeerId | undefined;
}

/** Plain data; `decide` changes it in place. */
export interface MembershipState {
  readonly members: Map<PeerId, MemberState>;
  lastTickMs: number;
}

export type MembershipEvent =
  | { readonly type: 'connected'; readonly peer: PeerInfo }
  | { readonly type: 'disconnected'; readonly id: PeerId }
  | { readonly type: 'refused'; readonly id: PeerId }
  | { readonly type: 'heard'; readonly id: PeerId }
  /** A third peer's answer about a suspect. */
  | {
      readonly type: 'opinion';
      readonly about: PeerId;
      readonly from: PeerId;
      readonly connected: boolean;
      readonly heardAgoMs: number;
    }
  /** A peer that watches it says that it is dead. */
  | { readonly type: 'told-dead'; readonly id: PeerId }
  /** Comes every `tickMs`. `watched`: whose heartbeats are to be expected. */
  | { readonly type: 'tick'; readonly tickMs: number; readonly watched: (id: PeerId) => boolean };

export type MembershipAction =
  | { readonly type: 'changed' }
  /** Ask these peers what they know of it. */
  | { readonly type: 'ask'; readonly about: PeerId; readonly peers: readonly PeerId[] }
  /** Ask the peer itself for a sign of life. */
  | { readonly type: 'ping'; readonly id: PeerId }
  /** Others hear it and this peer does not: its connection is of no use. */
  | { readonly type: 'hang-up'; readonly id: PeerId }
  /** It is dead: close what is left of its connection, and tell others that do not watch it. */
  | { readonly type: 'bury'; readonly id: PeerId };

export function newMembershipState(nowMs: number): MembershipState {
  return { members: new Map(), lastTickMs: nowMs };
}

/** Takes an event in and says what to do. */
export function decide(
  state: MembershipState,
  event: MembershipEvent,
  nowMs: number,
  timing: MembershipTiming,
): MembershipAction[] {
  if (event.type === 'connected') return connected(state, event.peer, nowMs);
  if (event.type === 'tick') return tick(state, event.tickMs, event.watched, nowMs, timing);
  const member = state.members.get(event.type === 'opinion' ? event.about : event.id);
  if (!member) return [];
  switch (event.type) {
    case 'disconnected':
      member.connected = false;
      return suspect(state, member, nowMs, timing);
    case 'refused':
      return member.connected ? [] : bury(state, member, nowMs, timing);
    case 'heard':
      member.lastHeardMs = nowMs;
      return revive(member, nowMs);
    case 'opinion':
      weigh(member, event, nowMs, timing);
      return [];
    case 'told-dead':
      if (nowMs - member.lastHeardMs < timing.timeoutMs / 2) return [];
      return suspect(state, member, nowMs, timing);
    default:
      return event satisfies never;
  }
}

function connected(state: MembershipState, peer: PeerInfo, nowMs: number): MembershipAction[] {
  const present = state.members.get(peer.id);
  if (!present) {
    const rest = { liveness: 'alive', sinceMs: nowMs, connected: true, lastHeardMs: nowMs } as const;
    state.members.set(peer.id, {
      peer,
      ...rest,
      deadlineMs: 0,
      nextAskMs: 0,
      vouchedMs: -Infinity,
      vouchedBy: undefined,
    });
    return [{ type: 'changed' }];
  }
  present.peer = peer;
  present.connected = true;
  present.lastHeardMs = nowMs;
  revive(present, nowMs);
  return [{ type: 'changed' }];
}

function revive(member: MemberState, nowMs: number): MembershipAction[] {
  // What a dead peer sent before its connection closed does not bring it back.
  if (member.liveness === 'alive' || !member.connected) return [];
  turn(member, 'alive', nowMs);
  return [{ type: 'changed' }];
}

function suspect(
  state: MembershipState,
  member: MemberState,
  nowMs: number,
  timing: MembershipTiming,
): MembershipAction[] {
  if (member.liveness !== 'alive') return [];
  turn(member, 'suspect', nowMs);
  member.deadlineMs = nowMs + timing.confirmMs;
  member.vouchedMs = -Infinity;
  member.vouchedBy = undefined;
  return [{ type: 'changed' }, ...enquire(state, member, nowMs, timing)];
}

function enquire(
  state: MembershipState,
  member: MemberState,
  nowMs: number,
  timing: MembershipTiming,
): MembershipAction[] {
  member.nextAskMs = nowMs + timing.askMs;
  const actions: MembershipAction[] = [];
  if (member.connected) actions.push({ type: 'ping', id: member.peer.id });
  const able = [...state.members.values()].filter((m) => m.connected && m.liveness === 'alive' && m !== member);
  const peers = able.map((m) => m.peer.id).toSorted();
  // Starts at another place for each suspect, so that not the same few peers are asked about everybody.
  const first = peers.findIndex((id) => id > member.peer.id);
  const asked = [...peers.slice(Math.max(first, 0)), ...peers.slice(0, Math.max(first, 0))].slice(0, timing.askPeers);
  if (asked.length > 0) actions.push({ type: 'ask', about: member.peer.id, peers: asked });
  return actions;
}

/** Who vouches prevails over who has lost it too: the latter only brings the end nearer, if nobody vouches meanwhile. */
function weigh(
  member: MemberState,
  opinion: { readonly from: PeerId; readonly connected: boolean; readonly heardAgoMs: number },
  nowMs: number,
  timing: MembershipTiming,
): void {
  if (member.liveness !== 'suspect') return;
  if (opinion.connected && opinion.heardAgoMs < timing.timeoutMs / 2) {
    member.vouchedMs = nowMs;
    member.vouchedBy = opinion.from;
    member.deadlineMs = nowMs + timing.confirmMs;
  } else if (nowMs - member.vouchedMs >= timing.confirmMs)
    member.deadlineMs = Math.min(member.deadlineMs, nowMs + timing.askMs);
}

function bury(
  state: MembershipState,
  member: MemberState,
  nowMs: number,
  timing: MembershipTiming,
): MembershipAction[] {
  if (member.liveness === 'dead') return [];
  turn(member, 'dead', nowMs);
  const dead = [...state.members.values()].filter((m) => m.liveness === 'dead');
  const surplus = dead.toSorted((a, b) => a.sinceMs - b.sinceMs).slice(0, Math.max(dead.length - timing.maxDead, 0));
  for (const { peer } of surplus) state.members.delete(peer.id);
  return [{ type: 'changed' }, { type: 'bury', id: member.peer.id }];
}

function tick(
  state: MembershipState,
  tickMs: number,
  watched: (id: PeerId) => boolean,
  nowMs: number,
  timing: MembershipTiming,
): MembershipAction[] {
  const lateMs = nowMs - state.lastTickMs - tickMs;
  state.lastTickMs = nowMs;
  if (lateMs > tickMs) {
    // Others may well have spoken while nobody here listened: what is in the buffers is read first.
    for (const member of state.members.values()) {
      member.lastHeardMs = Math.min(member.lastHeardMs + lateMs, nowMs);
      if (member.liveness === 'suspect') member.deadlineMs += lateMs;
    }
    return [];
  }
  const actions: MembershipAction[] = [];
  for (const member of state.members.values()) {
    if (member.liveness === 'alive' && watched(member.peer.id) && nowMs - member.lastHeardMs >= timing.timeoutMs)
      actions.push(...suspect(state, member, nowMs, timing));
    else if (member.liveness === 'suspect' && nowMs >= member.deadlineMs)
      actions.push(...bury(state, member, nowMs, timing));
    else if (member.liveness === 'suspect' && nowMs >= member.nextAskMs) {
      if (member.connected && member.vouchedBy !== undefined && nowMs - member.sinceMs >= timing.timeoutMs)
        actions.push({ type: 'hang-up', id: member.peer.id });
      actions.push(...enquire(state, member, nowMs, timing));
    }
  }
  return actions;
}

function turn(member: MemberState, liveness: Liveness, nowMs: number): void {
  member.liveness = liveness;
  member.sinceMs = nowMs;
}
