/** Fewer untolerated `PreferNoSchedule` taints are better. */
import { tolerates } from '../node-info.js';
import { normalise, type Score } from './score.js';

export const fewTaints: Score = {
  name: 'TaintToleration',
  weight: 3,
  score({ tolerations }, nodes) {
    if (nodes.every(({ taints }) => taints.length === 0)) return undefined;
    const count = ({ taints }: (typeof nodes)[number]) =>
      taints.filter(
        (taint) =>
          taint.effect === 'PreferNoSchedule' && !tolerations.some((toleration) => tolerates(toleration, taint)),
      ).length;
    return normalise(Float64Array.from(nodes, count), true);
  },
};
