/**
 * Nodes that the mesh knows to be dead take no pods, from that moment on: the taints that say so to everybody come a little
 * later, and a pod bound in between would wait for its eviction.
 */
import { tolerates } from '../node-info.js';
import { OK, refuse, type Filter } from './filter.js';

const TAINT = { key: 'node.kubernetes.io/unreachable', effect: 'NoSchedule' } as const;
const REFUSED = refuse('node(s) had untolerated taint {node.kubernetes.io/unreachable: }', false);

/** `unreachable` names the dead nodes as of now; cheap, it is asked once a pod. */
export const reachable = (unreachable: () => ReadonlySet<string>): Filter => ({
  name: 'NodeReachable',
  helpedBy: ['node-changed'],
  prepare(pod) {
    const dead = unreachable();
    if (dead.size === 0 || pod.tolerations.some((toleration) => tolerates(toleration, TAINT))) return undefined;
    return { check: (node) => (dead.has(node.name) ? REFUSED : OK) };
  },
});
