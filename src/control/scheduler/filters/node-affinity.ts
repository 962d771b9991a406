/** nodeSelector and required node affinity. */
import { OK, refuse, type Filter } from './filter.js';

const REFUSED = refuse("node(s) didn't match Pod's node affinity/selector", false);

export const nodeAffinity: Filter = {
  name: 'NodeAffinity',
  helpedBy: ['node-changed'],
  prepare({ nodeMatches, nodeNames }) {
    if (!nodeMatches) return undefined;
    return { check: (node) => (nodeMatches(node) ? OK : REFUSED), ...(nodeNames ? { only: nodeNames } : {}) };
  },
};
