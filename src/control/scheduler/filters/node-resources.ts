/** Requests must fit into what the node has left, and the node must have room for one more pod. */
import type { Room } from '../node-info.js';
import type { PodInfo } from '../pod-info.js';
import { OK, type Filter, type Verdict } from './filter.js';

export const nodeResources: Filter = {
  name: 'NodeResourcesFit',
  helpedBy: ['node-changed', 'pod-removed'],
  prepare: (pod) => ({ check: (node) => judgeRoom(pod, node) }),
};

/** Whether what the pod requests is left. */
export function judgeRoom(pod: PodInfo, room: Room): Verdict {
  return fits(pod, room) ? OK : explain(pod, room);
}

function fits({ requests }: PodInfo, { requested, allocatable, podCount, maxPods }: Room): boolean {
  if (podCount + 1 > maxPods) return false;
  if (requests.cpu > 0 && requests.cpu > allocatable.cpu - requested.cpu) return false;
  if (requests.memory > 0 && requests.memory > allocatable.memory - requested.memory) return false;
  if (
    requests.ephemeralStorage > 0 &&
    requests.ephemeralStorage > allocatable.ephemeralStorage - requested.ephemeralStorage
  )
    return false;
  if (requests.scalars) {
    for (const [name, amount] of requests.scalars) {
      if (amount > (allocatable.scalars?.get(name) ?? 0) - (requested.scalars?.get(name) ?? 0)) return false;
    }
  }
  return true;
}

/** Every resource that is short. More than the whole node has is something that no eviction resolves. */
function explain({ requests }: PodInfo, { requested, allocatable, podCount, maxPods }: Room): Verdict {
  const reasons: string[] = [];
  let resolvable = true;
  if (podCount + 1 > maxPods) reasons.push('Too many pods');
  const judge = (name: string, wanted: number, used: number, whole: number) => {
    if (wanted === 0 || wanted <= whole - used) return;
    reasons.push(`Insufficient ${name}`);
    if (wanted > whole) resolvable = false;
  };
  judge('cpu', requests.cpu, requested.cpu, allocatable.cpu);
  judge('memory', requests.memory, requested.memory, allocatable.memory);
  judge('ephemeral-storage', requests.ephemeralStorage, requested.ephemeralStorage, allocatable.ephemeralStorage);
  for (const [name, amount] of requests.scalars ?? []) {
    judge(name, amount, requested.scalars?.get(name) ?? 0, allocatable.scalars?.get(name) ?? 0);
  }
  return { ok: false, reasons, resolvable };
}
