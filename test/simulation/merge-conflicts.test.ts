/** What a merge overrode is known at every peer, once, and stays known: on simulated parts, with the real write path. */
import assert from 'node:assert/strict';
import type { MergeConflict, MergeReport } from '../../src/store/replication/conflict-log.js';
import { SimCluster, type SimClusterOptions, type SimPeer } from '../../src/testing/sim-cluster.js';
import { configMap, requestOf } from './clients.js';

describe('what merges overrode', function () {
  this.timeout(60_000);
  let sequence = 0;
  let cluster: SimCluster;
  let told: MergeReport[] = [];
  const peer = (i: number) => cluster.peers[i] as SimPeer;

  async function write(i: number, part: Parameters<typeof requestOf>[1], code = 200) {
    const id = `conflict-${++sequence}`;
    const reply = await cluster.until(peer(i).replica.write(id, requestOf(id, part)));
    assert.equal(reply.code, code, JSON.stringify(reply.body));
  }
  const create = (i: number, name: string, data: Record<string, string> = {}) =>
    write(i, { verb: 'create', resource: 'configmaps', name: '', object: configMap(name, data) }, 201);
  const change = (i: number, name: string, object: object, resource = 'configmaps') =>
    write(i, { verb: 'patch', patch: 'merge', resource, name, object });
  const remove = (i: number, name: string) => write(i, { verb: 'delete', resource: 'configmaps', name });

  async function begin(names: readonly string[], settings: SimClusterOptions['settings'] = {}) {
    cluster = new SimCluster({ seed: 5, peers: 5, settings });
    told = [];
    cluster.onStart = (_, { replica }) => void replica.subscribe({ onMerge: (report) => told.push(report) });
    await cluster.found();
    const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'default' } };
    await write(0, { verb: 'create', resource: 'namespaces', name: '', object: namespace }, 201);
    for (const name of names) await create(0, name, { a: '0', b: '0' });
    const container = { name: 'c', image: 'i' };
    const pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'pod', namespace: 'default', labels: { a: '0' } },
      spec: { containers: [container] },
    };
    await write(0, { verb: 'create', resource: 'pods', name: '', object: pod }, 201);
    // Past the time for which a follower may lag.
    await cluster.clock.run(7_000);
    await cluster.clock.run(() => cluster.isSettled());
  }

  async function split() {
    cluster.network.partition([[0, 1, 2].map((i) => peer(i).id), [3, 4].map((i) => peer(i).id)]);
    await cluster.clock.run(() => peer(0).replica.view?.members.length === 3);
    await cluster.clock.run(() => peer(3).replica.view?.members.length === 2);
  }

  async function heal() {
    cluster.network.heal();
    await cluster.clock.run(() => cluster.isSettled(), { what: 'settling' });
  }

  const shown = ({ object, conflict: { path, kept, dropped } }: MergeConflict) =>
    `${object} ${path}: ${JSON.stringify(kept.value)} over ${dropped.map(({ value }) => JSON.stringify(value)).join(' ')}`;
  const everywhere = () => {
    const all = cluster.up.map(({ replica }) => replica.conflicts);
    for (const other of all) assert.deepEqual(other, all[0]);
    return (all[0] ?? []).map(shown).toSorted();
  };

  it('is listed with both values, who wrote them and where, the same at every peer and after a restart', async () => {
    await begin(['both', 'other', 'gone']);
    await split();
    await change(0, 'both', { data: { a: 'many', b: 'many' } });
    await change(0, 'other', { data: { a: 'many' } });
    await change(0, 'pod', { metadata: { labels: { a: 'many' } } }, 'pods');
    await cluster.clock.run(1_000);
    await change(3, 'both', { data: { a: 'few', b: 'many' } });
    await change(3, 'other', { data: { b: 'few' } });
    await change(3, 'gone', { data: { a: 'few' } });
    await change(3, 'pod', { metadata: { labels: { a: 'few' } } }, 'pods');
    await remove(0, 'gone');
    await heal();
    const listed = everywhere();
    assert.equal(listed.length, 3, listed.join('\n'));
    assert.equal(listed[0], '/configmaps/default/both data.a: "few" over "many"');
    assert.match(listed[1] ?? '', /^\/configmaps\/default\/gone : undefined over \{.*"data":\{"a":"few","b":"0"\}/);
    assert.equal(listed[2], '/pods/default/pod metadata.labels.a: "few" over "many"');
    const one = peer(4).replica.conflicts.find(({ conflict }) => conflict.path === 'data.a');
    const { kept, dropped } = one?.conflict ?? {};
    assert.deepEqual(new Set([kept?.side, dropped?.[0]?.side]), new Set(['ours', 'theirs']));
    assert.deepEqual(new Set([one?.parts.ours.length, one?.parts.theirs.length]), new Set([2, 3]));
    assert.equal(kept?.by, 'client');
    const apartMs = (kept?.atMs ?? 0) - (dropped?.[0]?.atMs ?? 0);
    assert.ok(apartMs >= 500 && apartMs < 5_000, `${apartMs} ms apart`);
    // Whoever listens (Events, metrics) hears of each once, although two peers brought it.
    assert.deepEqual(
      told.map(({ key }) => key).toSorted(),
      listed.map((text) => text.split(' ')[0]),
    );
    for (const each of cluster.peers) each.crash({ powerLoss: true });
    await cluster.until(Promise.all(cluster.peers.map((each) => each.start())));
    await cluster.clock.run(() => cluster.isSettled());
    assert.deepEqual(everywhere(), listed);
  });

  it('is kept up to a limit, of which the oldest goes first', async () => {
    const names = ['c0', 'c1', 'c2', 'c3', 'c4', 'c5'];
    await begin(names, { conflicts: { values: 4, bytes: 1 << 20 } });
    for (const [first, last] of [
      [0, 3],
      [3, 6],
    ] as const) {
      await split();
      for (const name of names.slice(first, last)) {
        await change(0, name, { data: { a: 'many' } });
        await change(3, name, { data: { a: 'few' } });
      }
      await heal();
    }
    const kept = everywhere().map((text) => text.split(/[/ ]/)[3]);
    assert.equal(kept.length, 4);
    // Also those that a peer still had when it came over.
    for (const name of ['c3', 'c4', 'c5']) assert.ok(kept.includes(name), `${name} of ${kept.join()}`);
  });
});
