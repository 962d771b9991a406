import assert from 'node:assert/strict';
import { NODES, PODS } from '../../../../../src/api/resource.js';
import type { Pod } from '../../../../../src/api/types/core-v1.js';
import { podGcController } from '../../../../../src/control/controllers/podgc/controller.js';
import { harness, type Harness } from '../harness.js';

describe('pod garbage collector', () => {
  let h: Harness;
  beforeEach(async () => {
    h = harness();
    await h.run(podGcController(h, { terminatedThreshold: 2 }));
  });
  afterEach(() => h.stop());

  const names = () => h.client.all<Pod>(PODS).map(({ metadata }) => metadata.name);
  const seed = (name: string, pod: Partial<Pod>, nodeName?: string) =>
    h.client.seed<Pod>(PODS, {
      ...pod,
      metadata: { namespace: 'ns', name, ...pod.metadata },
      spec: { containers: [], ...(nodeName ? { nodeName } : {}) },
    });

  it('removes pods of nodes that are gone for a while, not those of nodes that exist', async () => {
    h.client.seed(NODES, { metadata: { name: 'here' } });
    seed('kept', { status: { phase: 'Running' } }, 'here');
    seed('orphan', { status: { phase: 'Running' } }, 'gone');
    await h.clock.advance(30_000);
    assert.deepEqual(names(), ['kept', 'orphan']);
    await h.clock.advance(60_000);
    assert.deepEqual(names(), ['kept']);
  });

  it('spares the pods of a node that its cache does not show yet', async () => {
    h.client.holdWatches();
    h.client.seed(NODES, { metadata: { name: 'new' } });
    seed('kept', { status: { phase: 'Running' } }, 'new');
    h.client.releaseWatches();
    await h.clock.advance(120_000);
    assert.deepEqual(names(), ['kept']);
  });

  it('removes the oldest finished pods beyond the threshold', async () => {
    h.client.seed(NODES, { metadata: { name: 'here' } });
    for (const [at, name] of ['a', 'b', 'c', 'd'].entries()) {
      const metadata = { namespace: 'ns', name, creationTimestamp: `2026-01-01T00:00:0${at}Z` };
      seed(name, { metadata, status: { phase: at % 2 ? 'Failed' : 'Succeeded' } }, 'here');
    }
    await h.clock.advance(25_000);
    assert.deepEqual(names(), ['c', 'd']);
  });

  it('removes pods that are being deleted and never had a node', async () => {
    seed('stuck', { metadata: { namespace: 'ns', name: 'stuck', deletionTimestamp: '2026-01-01T00:00:00Z' } });
    await h.clock.advance(25_000);
    assert.deepEqual(names(), []);
  });
});
