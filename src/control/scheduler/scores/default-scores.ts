import { imageLocality } from './image-locality.js';
import { preferredNodes } from './node-affinity.js';
import { balancedAllocation, leastAllocated } from './node-resources.js';
import { preferredPods } from './pod-affinity.js';
import type { Score } from './score.js';
import { fewTaints } from './taint-toleration.js';
import { spreading } from './topology-spread.js';

/** Upstream's default plugins, with their weights. */
export const DEFAULT_SCORES: readonly Score[] = [
  fewTaints,
  preferredNodes,
  spreading,
  preferredPods,
  leastAllocated,
  balancedAllocation,
  imageLocality,
];
