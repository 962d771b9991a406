/** Runs {@link plan} for each Deployment and carries it out: ReplicaSets first, then the revision, then the status. */
import { isDeepStrictEqual } from 'node:util';
import { errorText } from '../../../base/log.js';
import { isAlreadyExists, isNotFound } from '../../../api/errors.js';
import { controllerOf, keyOf, splitKey, type KubeObject } from '../../../api/object.js';
import { DEPLOYMENTS, PODS, REPLICASETS } from '../../../api/resource.js';
import { labelMatcher } from '../../../api/selectors/label.js';
import type { Deployment, DeploymentStatus, ReplicaSet } from '../../../api/types/apps-v1.js';
import type { Pod } from '../../../api/types/core-v1.js';
import { Controller, type ReconcileResult } from '../../../client/controller.js';
import type { Informer } from '../../../client/informer.js';
import { claim } from '../claim.js';
import type { SharedDeps } from '../deps.js';
import { BY_CONTROLLER, BY_NAMESPACE } from '../informer-set.js';
import { isPodTerminated } from '../pod-state.js';
import { size } from './limits.js';
import { plan, type DeploymentPlan } from './plan.js';
import { REVISION, sameTemplate } from './replica-set-history.js';
import { deadlineSeconds, withCondition } from './status.js';

export interface DeploymentOptions {
  /** Deployments reconciled at once; 5 unless told. */
  readonly workers?: number;
}

export function deploymentController(deps: SharedDeps, options: DeploymentOptions = {}): Controller {
  return new DeploymentReconciler(deps, options).controller;
}

class DeploymentReconciler {
  readonly controller: Controller;
  private readonly deployments: Informer<Deployment>;
  private readonly replicaSets: Informer<ReplicaSet>;
  private readonly pods: Informer<Pod>;

  constructor(
    private readonly deps: SharedDeps,
    options: DeploymentOptions,
  ) {
    this.deployments = deps.informers.of(DEPLOYMENTS);
    this.replicaSets = deps.informers.of(REPLICASETS);
    this.pods = deps.informers.of(PODS);
    this.controller = new Controller(deps, {
      name: 'deployment',
      workers: options.workers ?? 5,
      waitFor: [this.deployments, this.replicaSets, this.pods],
      reconcile: (key) => this.reconcile(key),
    });
    const { queue } = this.controller;
    this.deployments.addHandler({ onUpsert: (deployment) => queue.add(keyOf(deployment)) });
    this.replicaSets.addHandler({
      onUpsert: (replicaSet, previous) => this.onReplicaSet(replicaSet, previous),
      onDelete: (replicaSet) => this.onReplicaSet(replicaSet, undefined),
    });
    // Recreate waits for the last old pod; nothing else here depends on single pods.
    this.pods.addHandler({
      onUpsert: (pod) => {
        if (isPodTerminated(pod)) this.onPodGone(pod);
      },
      onDelete: (pod) => this.onPodGone(pod),
    });
  }

  private onReplicaSet(replicaSet: ReplicaSet, previous: ReplicaSet | undefined): void {
    const before = previous && this.ownerOf(previous);
    if (before) this.controller.queue.add(before);
    const owner = this.ownerOf(replicaSet);
    if (owner) this.controller.queue.add(owner);
    if (controllerOf(replicaSet)) return;
    for (const deployment of this.deployments.byIndex(BY_NAMESPACE, replicaSet.metadata.namespace ?? '')) {
      if (labelMatcher(deployment.spec?.selector).matches(replicaSet.metadata.labels)) {
        this.controller.queue.add(keyOf(deployment));
      }
    }
  }

  private onPodGone(pod: Pod): void {
    const owner = controllerOf(pod);
    const replicaSet = owner && this.replicaSets.get(pod.metadata.namespace ?? '', owner.name);
    const key = replicaSet && this.ownerOf(replicaSet);
    if (!key) return;
    const { namespace, name } = splitKey(key);
    if (this.deployments.get(namespace, name)?.spec?.strategy?.type === 'Recreate') this.controller.queue.add(key);
  }

  private ownerOf(object: KubeObject): string | undefined {
    const owner = controllerOf(object);
    if (owner?.kind !== DEPLOYMENTS.kind) return undefined;
    const deployment = this.deployments.get(object.metadata.namespace ?? '', owner.name);
    return deployment?.metadata.uid === owner.uid ? keyOf(deployment) : undefined;
  }

  private async reconcile(key: string): Promise<ReconcileResult | void> {
    const { namespace, name } = splitKey(key);
    const deployment = this.deployments.get(namespace, name);
    if (!deployment) return;
    const selects = labelMatcher(deployment.spec?.selector);
    // Upstream refuses to act on a selector that selects everything.
    if (selects.empty) return;
    const replicaSets = await claim<ReplicaSet>({
      client: this.deps.client,
      resource: REPLICASETS,
      ownerResource: DEPLOYMENTS,
      owner: deployment,
      candidates: this.replicaSets.byIndex(BY_NAMESPACE, namespace),
      selects: ({ metadata }) => selects.matches(metadata.labels),
      adoptable: () => true,
    });
    const next = plan({
      deployment,
      replicaSets,
      hasOldPods: (fresh) =>
        replicaSets.some((rs) => rs.metadata.uid !== fresh?.metadata.uid && this.hasRunningPods(rs)),
      nowMs: this.deps.clock.nowMs(),
    });
    await this.execute(deployment, next);
    if (next.requeueAfterMs !== undefined) return { requeueAfterMs: next.requeueAfterMs };
  }

  private hasRunningPods({ metadata }: ReplicaSet): boolean {
    return this.pods.byIndex(BY_CONTROLLER, metadata.uid ?? '').some((pod) => !isPodTerminated(pod));
  }

  private async execute(deployment: Deployment, next: DeploymentPlan): Promise<void> {
    const { client } = this.deps;
    if (next.create && !(await this.createReplicaSet(deployment, next.create))) return;
    for (const { replicaSet, from, to } of next.update) {
      await client.update<ReplicaSet>(REPLICASETS, replicaSet);
      if (from !== to) this.scaled(deployment, replicaSet, from, to);
    }
    for (const { metadata } of next.remove) {
      const { namespace = '', name = '', uid = '' } = metadata;
      try {
        await client.delete(REPLICASETS, namespace, name, {
          preconditions: { uid },
          propagationPolicy: 'Background',
        });
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
    }
    await this.writeStatus(deployment, next.status, next.revision);
  }

  /** The revision goes with the status, as upstream: an annotation written by itself would be a new generation. */
  private async writeStatus(deployment: Deployment, status: DeploymentStatus, revision?: string): Promise<void> {
    if (revision === undefined && isDeepStrictEqual(status, deployment.status)) return;
    const { annotations } = deployment.metadata;
    const metadata =
      revision === undefined
        ? deployment.metadata
        : { ...deployment.metadata, annotations: { ...annotations, [REVISION]: revision } };
    await this.deps.client.updateStatus<Deployment>(DEPLOYMENTS, { ...deployment, metadata, status });
  }

  /**
   * False when one of that name exists: ours from a create that the cache does not show yet (its event will wake us), or a
   * hash collision, which a raised collision count resolves in the next reconcile.
   */
  private async createReplicaSet(deployment: Deployment, replicaSet: ReplicaSet): Promise<boolean> {
    try {
      const created = await this.deps.client.create<ReplicaSet>(REPLICASETS, replicaSet);
      if (size(created) > 0) this.scaled(deployment, created, 0, size(created));
      return true;
    } catch (error) {
      if (isAlreadyExists(error)) {
        await this.onNameTaken(deployment, replicaSet);
        return false;
      }
      if (deadlineSeconds(deployment) !== undefined) {
        const message = `Failed to create new replica set "${replicaSet.metadata.name}": ${errorText(error)}`;
        const condition = { type: 'Progressing', status: 'False', reason: 'ReplicaSetCreateError', message };
        const conditions = withCondition(deployment.status?.conditions ?? [], condition, this.deps.clock.nowMs());
        await this.writeStatus(deployment, { ...deployment.status, conditions });
      }
      throw error;
    }
  }

  private async onNameTaken(deployment: Deployment, { metadata }: ReplicaSet): Promise<void> {
    const { client } = this.deps;
    const present = await client.get<ReplicaSet>(REPLICASETS, metadata.namespace ?? '', metadata.name ?? '');
    const isOurs = controllerOf(present)?.uid === deployment.metadata.uid;
    if (isOurs && sameTemplate(present.spec?.template, deployment.spec?.template)) {
      // The watch brings it; should that event be the one already handled, this brings it about.
      this.controller.queue.addAfter(keyOf(deployment), 1_000);
      return;
    }
    const collisionCount = (deployment.status?.collisionCount ?? 0) + 1;
    await this.writeStatus(deployment, { ...deployment.status, collisionCount });
  }

  private scaled(deployment: Deployment, replicaSet: ReplicaSet, from: number, to: number): void {
    const verb = to > from ? 'up' : 'down';
    const message = `Scaled ${verb} replica set ${replicaSet.metadata.name} from ${from} to ${to}`;
    this.deps.events('deployment-controller').event(deployment, 'Normal', 'ScalingReplicaSet', message);
  }
}
