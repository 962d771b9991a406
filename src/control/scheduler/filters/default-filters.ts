import type { Filter } from './filter.js';
import { nodeAffinity } from './node-affinity.js';
import { nodeName } from './node-name.js';
import { nodePorts } from './node-ports.js';
import { nodeResources } from './node-resources.js';
import { podAffinity } from './pod-affinity.js';
import { taintToleration } from './taint-toleration.js';
import { topologySpread } from './topology-spread.js';
import { unschedulable } from './unschedulable.js';

/** In upstream's order: the first that refuses a node gives the reason. */
export const DEFAULT_FILTERS: readonly Filter[] = [
  unschedulable,
  nodeName,
  taintToleration,
  nodeAffinity,
  nodePorts,
  nodeResources,
  topologySpread,
  podAffinity,
];
