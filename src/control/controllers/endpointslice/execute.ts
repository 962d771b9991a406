import { isNotFound } from '../../../api/errors.js';
import { ENDPOINTSLICES } from '../../../api/resource.js';
import type { EndpointSlice } from '../../../api/types/discovery-v1.js';
import type { Client } from '../../../client/client.js';
import type { SeenWrites } from '../seen-writes.js';
import type { SlicePlan } from './plan.js';

/** Carries out a plan: additions before removals, so that no endpoint is missing in between. */
export async function executeSlices(
  client: Client,
  owner: string,
  plan: SlicePlan,
  seen: SeenWrites<EndpointSlice>,
): Promise<void> {
  for (const slice of plan.create) seen.wrote(owner, await client.create<EndpointSlice>(ENDPOINTSLICES, slice));
  for (const slice of plan.update) seen.wrote(owner, await client.update<EndpointSlice>(ENDPOINTSLICES, slice));
  for (const { metadata } of plan.remove) {
    const { namespace = '', name = '', uid = '' } = metadata;
    try {
      await client.delete(ENDPOINTSLICES, namespace, name, { preconditions: { uid } });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }
}
