/** Taints with NoSchedule or NoExecute keep away pods that do not tolerate them. */
import { untoleratedTaint } from '../node-info.js';
import { OK, refuse, type Filter } from './filter.js';

export const taintToleration: Filter = {
  name: 'TaintToleration',
  helpedBy: ['node-changed'],
  prepare: ({ tolerations }) => ({
    check(node) {
      if (node.taints.length === 0) return OK;
      const taint = untoleratedTaint(tolerations, node.taints);
      return taint ? refuse(`node(s) had untolerated taint {${taint.key}: ${taint.value ?? ''}}`, false) : OK;
    },
  }),
};
