/**
 * Keeps a role's former holder from writing: requests of role components name the role and its epoch, and the sequencer
 * refuses an epoch that is not the one in its view.
 */
import { ApiError } from '../api/errors.js';
import { withWrite, type ObjectStore, type WriteExecutor, type WriteReply } from '../store/object-store.js';
import type { View } from '../store/replication/view.js';

interface Fence {
  readonly role: string;
  readonly epoch: number;
}

interface FencedRequest {
  readonly fence?: Fence;
}

/** The executor with the check in front. */
export function fencedExecutor(executor: WriteExecutor, view: () => View | undefined): WriteExecutor {
  return (transaction, request): WriteReply => {
    const { fence } = request as FencedRequest;
    const holder = fence && view()?.roles[fence.role];
    if (holder && holder.epoch !== fence.epoch) {
      const refusal = new ApiError(
        409,
        'Conflict',
        `the role ${fence.role} has another holder since epoch ${holder.epoch}`,
      );
      return { code: refusal.code, body: refusal.toStatus(), warnings: [] };
    }
    return executor(transaction, request);
  };
}

/** The store as a role's components see it for one term: every write carries the term. */
export function fencedStore(store: ObjectStore, fence: Fence): ObjectStore {
  return withWrite(store, (id, request) => store.write(id, { ...(request as object), fence }));
}
