/**
 * TaintNodesByCondition: a node starts as not ready, so that no pod is bound to it before its kubelet has reported. The
 * node lifecycle controller takes the taint away with the first report of Ready.
 */
import type { Node } from '../../api/types/core-v1.js';
import type { AdmissionPlugin } from './admission.js';

const NOT_READY = { key: 'node.kubernetes.io/not-ready', effect: 'NoSchedule' } as const;

export const taintNodesByCondition: AdmissionPlugin = {
  name: 'TaintNodesByCondition',
  handles: ({ operation, group, resource, subresource }) =>
    operation === 'CREATE' && resource === 'nodes' && group === '' && subresource === '',
  admit({ object }) {
    const node = object as Node;
    const taints = node.spec?.taints ?? [];
    if (taints.some(({ key, effect }) => key === NOT_READY.key && effect === NOT_READY.effect)) return;
    node.spec = { ...node.spec, taints: [...taints, { ...NOT_READY }] };
  },
};
