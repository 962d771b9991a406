/** A pod that names its node goes nowhere else. */
import { OK, refuse, type Filter } from './filter.js';

const REFUSED = refuse("node(s) didn't match the requested node name", false);

export const nodeName: Filter = {
  name: 'NodeName',
  helpedBy: ['node-changed'],
  prepare(pod) {
    const name = pod.pod.spec?.nodeName;
    return name ? { check: (node) => (node.name === name ? OK : REFUSED) } : undefined;
  },
};
