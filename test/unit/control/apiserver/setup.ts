/** A client and a server's parts on a memory store, for unit tests. */
import { silentLogger } from '../../../../src/base/log.js';
import { noMetrics } from '../../../../src/base/metrics.js';
import { seededRandom } from '../../../../src/base/random.js';
import { NAMESPACES } from '../../../../src/api/resource.js';
import { KindRegistry } from '../../../../src/api/schema/registry.js';
import { InProcessClient } from '../../../../src/control/apiserver/client.js';
import { createApiPipeline, createWritePipeline } from '../../../../src/control/apiserver/pipeline.js';
import { ManualClock } from '../../../../src/testing/manual-clock.js';
import { MemoryStore } from '../../../../src/testing/memory-store.js';

export const registry = KindRegistry.load();

export async function setUp() {
  const random = seededRandom(7);
  const clock = new ManualClock();
  const writes = createWritePipeline({ registry, random });
  const store = new MemoryStore({ clock, executor: writes.executor });
  const pipeline = createApiPipeline({
    clock,
    random,
    log: silentLogger,
    metrics: noMetrics,
    registry,
    store,
    writes,
    clusterSecret: random.bytes(32),
  });
  const { reads } = pipeline;
  const client = new InProcessClient({ store: pipeline.admitting(store), reads, random }, { watchBuffer: 4 });
  await pipeline.followers.start();
  await client.create(NAMESPACES, { metadata: { name: 'default' } });
  return { clock, store, reads, client };
}
