/** A cluster on its way from one release to the next, whose builds know a newer format. */
import assert from 'node:assert/strict';
import { FORMATS } from '../../src/store/formats.js';
import { WrongFormat } from '../../src/store/replication/storage.js';
import type { SimPeer } from '../../src/testing/sim-cluster.js';
import { checkConvergence } from './checks.js';
import { Stage } from './stage.js';
import { levelOnDisk, NEXT, textOf } from './upgrades.js';

const SEEDS = [1, 2, 3, 4];

/** Another build takes over, as an agent is restarted. */
async function restart(stage: Stage, peer: SimPeer, formats: SimPeer['formats']): Promise<void> {
  peer.crash({ powerLoss: true });
  peer.formats = formats;
  await stage.cluster.until(peer.start());
}

async function settled(stage: Stage, level: number): Promise<void> {
  const { cluster } = stage;
  const isThere = () => cluster.isSettled() && cluster.peers.every(({ replica }) => replica.level === level);
  await stage.until(isThere, `level ${level} everywhere`);
  assert.deepEqual(checkConvergence(cluster), []);
}

/** Nothing happens for a while that could. */
const passes = (stage: Stage) => stage.cluster.clock.run(1_500);

describe('an upgrade, peer by peer,', function () {
  this.timeout(60_000);

  it('writes the new format when the last peer knows it, and not before, also with one going back in between', async () => {
    for (const seed of SEEDS) {
      const stage = await Stage.of(3, seed);
      const [a, b, c] = stage.cluster.peers as [SimPeer, SimPeer, SimPeer];
      const steps = [
        [a, NEXT],
        [b, NEXT],
        [a, FORMATS],
        [c, NEXT],
      ] as const;
      for (const [i, [peer, formats]] of steps.entries()) {
        await restart(stage, peer, formats);
        await stage.create(peer === a ? b : a, `step-${i}`);
        await settled(stage, 1);
      }
      await restart(stage, a, NEXT);
      await settled(stage, 2);
      await stage.create(b, 'in-the-new-format');
      // What was written before is read as it is, what came since in the new format.
      for (const peer of stage.cluster.peers) peer.crash({ powerLoss: true });
      for (const peer of stage.cluster.peers) await stage.cluster.until(peer.start());
      await settled(stage, 2);
      assert.deepEqual(stage.names(c), ['in-the-new-format', 'step-0', 'step-1', 'step-2', 'step-3']);
    }
  });

  it('has no way back after that: the older build leaves the store as it is', async () => {
    for (const seed of SEEDS) {
      const stage = await Stage.of(3, seed);
      for (const peer of stage.cluster.peers) await restart(stage, peer, NEXT);
      await settled(stage, 2);
      // Before anything was written in the new format, and after.
      if (seed % 2 === 0) await passes(stage);
      const late = stage.peer(seed % 3);
      late.crash({ powerLoss: true });
      assert.equal(levelOnDisk(late), 2);
      const before = textOf(late);
      late.formats = FORMATS;
      await assert.rejects(stage.cluster.until(late.start()), WrongFormat);
      assert.equal(textOf(late), before);
      await stage.create(stage.peer((seed + 1) % 3), 'meanwhile');
      late.formats = NEXT;
      await stage.cluster.until(late.start());
      await settled(stage, 2);
      assert.deepEqual(stage.names(late), ['meanwhile']);
    }
  });

  it('waits for a peer that is away, whatever part of the cluster is upgraded', async () => {
    for (const seed of SEEDS) {
      const stage = await Stage.of(3, seed);
      const [a, b, c] = stage.cluster.peers as [SimPeer, SimPeer, SimPeer];
      stage.split([a, b], [c]);
      for (const peer of [a, b]) await restart(stage, peer, NEXT);
      await stage.until(() => a.replica.view?.voters.length === 2, 'the two to go on');
      await stage.create(a, 'with-the-majority');
      await stage.create(c, 'alone');
      await passes(stage);
      stage.cluster.network.heal();
      await settled(stage, 1);
      assert.deepEqual(stage.names(c), ['alone', 'with-the-majority']);
    }
  });

  it('refuses a peer that went back while it was away and missed the change, until it is upgraded again', async () => {
    for (const seed of SEEDS) {
      const stage = await Stage.of(3, seed);
      const [a, b, c] = stage.cluster.peers as [SimPeer, SimPeer, SimPeer];
      await restart(stage, a, NEXT);
      await restart(stage, b, NEXT);
      await settled(stage, 1);
      stage.split([a, c], [b]);
      await stage.until(() => a.replica.view?.voters.length === 2, 'the two to go on');
      await restart(stage, b, FORMATS);
      await restart(stage, c, NEXT);
      await stage.until(() => a.replica.level === 2 && c.replica.level === 2, 'the level to rise');
      stage.cluster.network.heal();
      await stage.until(() => b.replica.view?.members.length === 1, 'it to be alone');
      await stage.create(b, 'alone');
      await stage.create(a, 'in-the-new-format');
      await passes(stage);
      assert.deepEqual(b.replica.view?.members, [b.id]);
      assert.equal(b.replica.level, 1);
      await restart(stage, b, NEXT);
      await settled(stage, 2);
      assert.deepEqual(stage.names(b), ['alone', 'in-the-new-format']);
    }
  });

  it('goes through when the peer that was left behind is removed', async () => {
    const stage = await Stage.of(4, 1);
    const [a, b, c, old] = stage.cluster.peers as [SimPeer, SimPeer, SimPeer, SimPeer];
    old.crash();
    for (const peer of [a, b, c]) await restart(stage, peer, NEXT);
    await stage.until(() => stage.cluster.isSettled([a, b, c]), 'the three to go on');
    await passes(stage);
    assert.equal(a.replica.level, 1);
    await stage.remove(old, b);
    stage.cluster.dismiss(old);
    await settled(stage, 2);
  });

  it('takes in no machine whose build is too old', async () => {
    const stage = await Stage.of(2, 1);
    for (const peer of stage.cluster.peers) await restart(stage, peer, NEXT);
    await settled(stage, 2);
    const stranger = stage.cluster.enlist();
    await stage.cluster.until(stranger.start());
    await passes(stage);
    assert.equal(stranger.replica.view, undefined);
    assert.equal(stranger.replica.revision, 0);
    await restart(stage, stranger, NEXT);
    await settled(stage, 2);
  });
});
