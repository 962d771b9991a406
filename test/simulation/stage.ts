/** A simulated cluster for one situation after the other, with what a test says and asks of it. */
import assert from 'node:assert/strict';
import type { PeerRemoval } from '../../src/agent/peer-removal.js';
import { SimCluster, type SimPeer } from '../../src/testing/sim-cluster.js';
import { configMap, requestOf } from './clients.js';

export class Stage {
  private sequence = 0;

  private constructor(readonly cluster: SimCluster) {}

  static async of(peers: number, seed: number): Promise<Stage> {
    const cluster = new SimCluster({ seed, peers });
    await cluster.found();
    const stage = new Stage(cluster);
    const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'default' } };
    await stage.write(stage.peer(0), { verb: 'create', resource: 'namespaces', name: '', object: namespace });
    await cluster.clock.run(() => cluster.isSettled() && stage.registered.length === peers);
    return stage;
  }

  peer(i: number): SimPeer {
    return this.cluster.peers[i] ?? assert.fail(`there is no peer ${i}`);
  }

  get registered(): string[] {
    return this.peer(0).replica.registry?.peers.map(({ id }) => id) ?? [];
  }

  async write(at: SimPeer, part: Parameters<typeof requestOf>[1] | PeerRemoval): Promise<number> {
    const id = `stage-${++this.sequence}`;
    const request = 'removePeer' in part ? part : requestOf(id, part);
    const { code } = await this.cluster.until(at.replica.write(id, request));
    return code;
  }

  async create(at: SimPeer, name: string): Promise<void> {
    const object = configMap(name);
    assert.equal(await this.write(at, { verb: 'create', resource: 'configmaps', name: '', object }), 201, name);
  }

  async remove(peer: SimPeer, at: SimPeer, force = false): Promise<void> {
    assert.equal(await this.write(at, { removePeer: { name: peer.id, force } }), 200);
  }

  split(...groups: readonly (readonly SimPeer[])[]): void {
    this.cluster.network.partition(groups.map((group) => group.map(({ id }) => id)));
  }

  async until(isTrue: () => boolean, what: string): Promise<void> {
    await this.cluster.clock.run(isTrue, { limitMs: 10_000, what });
  }

  names(at: SimPeer): string[] {
    return at.replica.list('', 'configmaps').map(({ metadata }) => metadata.name ?? '');
  }
}
