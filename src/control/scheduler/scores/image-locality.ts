/** Prefers nodes that have the pod's images, more so for large ones and for those that many nodes have. */
import type { NodeInfo } from '../node-info.js';
import { MAX_SCORE, type Score } from './score.js';

const MIN_BYTES = 23 * 2 ** 20;
const MAX_BYTES_PER_CONTAINER = 1000 * 2 ** 20;

export const imageLocality: Score = {
  name: 'ImageLocality',
  weight: 1,
  score({ images }, nodes, { state }) {
    const known = images.flatMap((image) => state.images.get(image) ?? []);
    if (known.length === 0) return undefined;
    const max = MAX_BYTES_PER_CONTAINER * images.length;
    const bytesOn = (node: NodeInfo) =>
      known.reduce((sum, holders) => sum + (holders.get(node) ?? 0) * (holders.size / state.nodes.length), 0);
    return Float64Array.from(nodes, (node) => {
      const bytes = Math.min(Math.max(bytesOn(node), MIN_BYTES), max);
      return Math.floor((MAX_SCORE * (bytes - MIN_BYTES)) / (max - MIN_BYTES));
    });
  },
};
