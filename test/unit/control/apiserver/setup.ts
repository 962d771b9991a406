/** A client and a server's parts on a memory store, for unit tests. */
import { ManualClock } from '../../../../src/testing/manual-clock.js';
import { seededRandom } from '../../../../src/base/random.js';
import { NAMESPACES } from '../../../../src/api/resource.js';
import { KindRegistry } from '../../../../src/api/schema/registry.js';
import { InProcessClient } from '../../../../src/control/apiserver/client.js';
import { ObjectReads } from '../../../../src/control/apiserver/reads/object-reads.js';
import { createWriteExecutor } from '../../../../src/control/apiserver/writes/executor.js';
import { ServiceFollower } from '../../../../src/control/apiserver/writes/service-follower.js';
import { createDefaultAdmission } from '../../../../src/security/admission/default-plugins.js';
import { MemoryStore } from '../../../../src/testing/memory-store.js';

export const registry = KindRegistry.load();

export async function setUp() {
  const random = seededRandom(7);
  const clock = new ManualClock();
  const { chain, services } = createDefaultAdmission({ random });
  const store = new MemoryStore({ clock, executor: createWriteExecutor({ registry, random, admission: chain }) });
  const reads = new ObjectReads({ store, clock });
  const client = new InProcessClient({ store, reads, random }, { watchBuffer: 4 });
  await new ServiceFollower(store, services).start();
  await client.create(NAMESPACES, { metadata: { name: 'default' } });
  return { clock, store, reads, client };
}
