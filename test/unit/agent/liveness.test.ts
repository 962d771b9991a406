import assert from 'node:assert/strict';
import { createNodeHeartbeats } from '../../../src/agent/liveness.js';
import type { Liveness, Member, MembershipView } from '../../../src/p2p/membership-view.js';
import { ManualClock } from '../../../src/testing/manual-clock.js';

describe('when nodes were heard', () => {
  it('moves on while a node lives, and stops where it fell silent', async () => {
    const clock = new ManualClock();
    const members: Member[] = [];
    const set = (id: string, name: string, liveness: Liveness) => {
      const at = members.findIndex((member) => member.id === id);
      const member = { id, name, liveness, sinceMs: clock.monotonicMs(), attributes: {} } as unknown as Member;
      if (at < 0) members.push(member);
      else members[at] = member;
    };
    const view = { members: () => members } as Partial<MembershipView> as MembershipView;
    const heartbeats = createNodeHeartbeats(view, clock);
    assert.equal(heartbeats.heardMs('n1'), undefined);
    set('p1', 'n1', 'alive');
    for (let i = 0; i < 5; i++) {
      const age = clock.nowMs() - (heartbeats.heardMs('n1') ?? NaN);
      assert.ok(age >= 0 && age < 10_000, `${age}`);
      await clock.advance(7_000);
    }
    set('p1', 'n1', 'suspect');
    const silentMs = clock.nowMs();
    await clock.advance(60_000);
    assert.equal(heartbeats.heardMs('n1'), silentMs);
    // The machine came back as another peer.
    set('p2', 'n1', 'alive');
    assert.ok((heartbeats.heardMs('n1') ?? 0) > clock.nowMs() - 10_000);
  });
});
