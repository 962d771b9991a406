/** Preferred node affinity: the sum of the weights of the terms that a node matches. */
import { normalise, type Score } from './score.js';

export const preferredNodes: Score = {
  name: 'NodeAffinity',
  weight: 2,
  score({ preferredNodes: terms }, nodes) {
    if (terms.length === 0) return undefined;
    const sum = (node: (typeof nodes)[number]) =>
      terms.reduce((total, { weight, term }) => total + (term(node) ? weight : 0), 0);
    return normalise(Float64Array.from(nodes, sum));
  },
};
