/** What the Job controller does to pods. Each returns its failure instead of throwing it, so that others still happen. */
import { errorText } from '../../../base/log.js';
import { ApiError, isConflict, isInvalid, isNamespaceTerminating, isNotFound } from '../../../api/errors.js';
import { PODS } from '../../../api/resource.js';
import type { Job } from '../../../api/types/batch-v1.js';
import type { Pod } from '../../../api/types/core-v1.js';
import type { Client } from '../../../client/client.js';
import type { SharedDeps } from '../deps.js';
import { isTracked, TRACKING_FINALIZER } from './pod-facts.js';

export const COMPONENT = 'job-controller';

export class PodControl {
  constructor(private readonly deps: SharedDeps) {}

  async create(job: Job, pod: Pod): Promise<Error | undefined> {
    try {
      const created = await this.deps.client.create<Pod>(PODS, pod);
      this.event(job, 'Normal', 'SuccessfulCreate', `Created pod: ${created.metadata.name}`);
      return undefined;
    } catch (error) {
      // Everything in the namespace is about to go: trying again would only make noise.
      if (!isNamespaceTerminating(error)) {
        this.event(job, 'Warning', 'FailedCreate', `Error creating: ${errorText(error)}`);
      }
      return asError(error);
    }
  }

  async delete(job: Job, { metadata }: Pod): Promise<Error | undefined> {
    const { namespace = '', name = '', uid = '' } = metadata;
    try {
      await this.deps.client.delete(PODS, namespace, name, { preconditions: { uid } });
      this.event(job, 'Normal', 'SuccessfulDelete', `Deleted pod: ${name}`);
      return undefined;
    } catch (error) {
      if (isNotFound(error)) return undefined;
      this.event(job, 'Warning', 'FailedDelete', `Error deleting: ${errorText(error)}`);
      return asError(error);
    }
  }

  private event(job: Job, type: 'Normal' | 'Warning', reason: string, message: string): void {
    this.deps.events(COMPONENT).event(job, type, reason, message);
  }
}

/** Lets the pod go; one that is gone, or replaced by another of its name, is let go already. */
export async function releasePod(client: Client, pod: Pod): Promise<Error | undefined> {
  const { namespace = '', name = '', uid } = pod.metadata;
  try {
    try {
      await takeFinalizer(client, pod);
    } catch (error) {
      if (!isConflict(error)) throw error;
      // The kubelet wrote its status meanwhile: look at the pod as it is.
      const live = await client.get<Pod>(PODS, namespace, name);
      if (live.metadata.uid === uid && isTracked(live)) await takeFinalizer(client, live);
    }
    return undefined;
  } catch (error) {
    return isNotFound(error) || isInvalid(error) ? undefined : asError(error);
  }
}

async function takeFinalizer(client: Client, { metadata }: Pod): Promise<void> {
  const { namespace = '', name = '', uid, resourceVersion } = metadata;
  const finalizers = (metadata.finalizers ?? []).filter((finalizer) => finalizer !== TRACKING_FINALIZER);
  await client.patch<Pod>(PODS, namespace, name, 'merge', {
    metadata: { uid, resourceVersion, finalizers: finalizers.length > 0 ? finalizers : null },
  });
}

const asError = (error: unknown) =>
  error instanceof Error ? error : new ApiError(500, 'InternalError', String(error));
