/** What a change of a pod means for the scheduler: does it wait for a node, occupy one, or concern us no more. */
import { sameJson } from '../../base/same-json.js';
import type { Pod } from '../../api/types/core-v1.js';
import { keyOf } from '../../api/object.js';
import type { ClusterState } from './cluster-state.js';
import { podInfoOf, type PodInfo } from './pod-info.js';
import { isPreemptionVictim } from './preemptor.js';
import { SCHEDULER_NAME } from './reporter.js';
import type { SchedulingQueue } from './scheduling-queue.js';

/** Pods of other schedulers, gated ones and those being deleted are left alone. */
export function isOurs({ metadata, spec }: Pod): boolean {
  if ((spec?.schedulerName ?? SCHEDULER_NAME) !== SCHEDULER_NAME) return false;
  return metadata.deletionTimestamp === undefined && (spec?.schedulingGates ?? []).length === 0;
}

const isFinished = ({ status }: Pod) => status?.phase === 'Succeeded' || status?.phase === 'Failed';

/** Whether everything that decisions depend on is the same: status reports are the most frequent updates. */
function sameForUs(a: Pod, b: Pod): boolean {
  if (a.metadata.uid !== b.metadata.uid) return false;
  if (a.metadata.deletionTimestamp !== b.metadata.deletionTimestamp) return false;
  // Said before the deletion, as a rule; what waits for it needs to know.
  if (a.metadata.deletionTimestamp && isPreemptionVictim(a) !== isPreemptionVictim(b)) return false;
  return sameJson(a.metadata.labels, b.metadata.labels) && sameJson(a.spec, b.spec);
}

export class PendingPods {
  constructor(
    private readonly state: ClusterState,
    private readonly queue: SchedulingQueue,
    private readonly onGone: (pod: Pod) => void,
  ) {}

  /** `previous` is what was known of the name before. */
  upsert(pod: Pod, previous: Pod | undefined): void {
    if (isFinished(pod)) this.remove(pod);
    else if (pod.spec?.nodeName) this.placed(pod, pod.spec.nodeName);
    else this.pending(pod, previous?.metadata.uid === pod.metadata.uid ? previous : undefined);
  }

  remove(pod: Pod): void {
    const key = keyOf(pod);
    this.queue.remove(key);
    this.withdraw(key);
    this.onGone(pod);
    if (this.state.removePod(key)) this.queue.note('pod-removed');
  }

  private placed(pod: Pod, nodeName: string): void {
    const key = keyOf(pod);
    this.queue.remove(key);
    this.withdraw(key);
    if (this.state.confirm(key, nodeName, (known) => sameForUs(pod, known))) return;
    // One that was known may need less now (resized in place) or be no more in the way (other labels).
    if (this.state.removePod(key)) this.queue.note('pod-removed');
    this.state.setPod(podInfoOf(pod), nodeName);
    this.queue.note('pod-placed');
  }

  private pending(pod: Pod, previous: Pod | undefined): void {
    const key = keyOf(pod);
    const entry = this.queue.get(key);
    if (!isOurs(pod)) {
      this.queue.remove(key);
      this.withdraw(key);
      return;
    }
    // Between our decision and the API's confirmation the pod still looks unplaced. After a new list it may be another
    // pod of the same name.
    if (this.state.isAssumed(key) && this.state.placedPod(key)?.pod.metadata.uid === pod.metadata.uid) return;
    // Known as placed, now unplaced: another pod of the same name.
    if (this.state.removePod(key)) this.queue.note('pod-removed');
    const same = entry && sameForUs(pod, entry.info.pod);
    const info = same ? entry.info : podInfoOf(pod);
    if (entry && entry.info.pod.metadata.uid !== pod.metadata.uid) {
      this.queue.remove(key);
      this.withdraw(key);
    }
    this.nominate(info, pod, previous);
    if (!same) this.queue.upsert(info);
  }

  /** Ours counts from the decision on: only what the API says anew goes before it. */
  private nominate(info: PodInfo, { status }: Pod, previous: Pod | undefined): void {
    const { nominations } = this.state;
    const said = status?.nominatedNodeName;
    const node = said === previous?.status?.nominatedNodeName ? nominations.nodeOf(info.key) : said;
    if (node) nominations.set(info, node);
    else this.withdraw(info.key);
  }

  /** No more room is kept for the pod. */
  private withdraw(key: string): void {
    if (this.state.nominations.remove(key) !== undefined) this.queue.note('pod-removed');
  }
}
