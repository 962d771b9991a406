/** Cordoned nodes take only pods that tolerate the taint which stands for the cordon. */
import { tolerates } from '../node-info.js';
import { OK, refuse, type Filter } from './filter.js';

const TAINT = { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' } as const;
const REFUSED = refuse('node(s) were unschedulable', false);

export const unschedulable: Filter = {
  name: 'NodeUnschedulable',
  helpedBy: ['node-changed'],
  prepare(pod) {
    if (pod.tolerations.some((toleration) => tolerates(toleration, TAINT))) return undefined;
    return { check: (node) => (node.unschedulable ? REFUSED : OK) };
  },
};
