/** Prefers nodes with the most left (least allocated) and with CPU and memory used evenly (balanced allocation). */
import { MAX_SCORE, type Score } from './score.js';

const left = (used: number, whole: number) => (whole <= 0 || used > whole ? 0 : ((whole - used) * MAX_SCORE) / whole);

export const leastAllocated: Score = {
  name: 'NodeResourcesFit',
  weight: 1,
  score({ requests }, nodes) {
    const out = new Float64Array(nodes.length);
    for (let i = 0; i < nodes.length; i++) {
      const { requested, allocatable } = nodes[i] as (typeof nodes)[number];
      const cpu = left(requested.scoredCpu + requests.scoredCpu, allocatable.cpu);
      const memory = left(requested.scoredMemory + requests.scoredMemory, allocatable.memory);
      out[i] = Math.floor((Math.floor(cpu) + Math.floor(memory)) / 2);
    }
    return out;
  },
};

const share = (used: number, whole: number) => (whole <= 0 ? 1 : Math.min(used / whole, 1));

export const balancedAllocation: Score = {
  name: 'NodeResourcesBalancedAllocation',
  weight: 1,
  score({ requests }, nodes) {
    // A pod that requests nothing tips no balance.
    if (requests.cpu === 0 && requests.memory === 0) return undefined;
    const out = new Float64Array(nodes.length);
    for (let i = 0; i < nodes.length; i++) {
      const { requested, allocatable } = nodes[i] as (typeof nodes)[number];
      const cpu = share(requested.cpu + requests.cpu, allocatable.cpu);
      const memory = share(requested.memory + requests.memory, allocatable.memory);
      // With two resources the standard deviation is half their distance.
      out[i] = Math.floor((1 - Math.abs(cpu - memory) / 2) * MAX_SCORE);
    }
    return out;
  },
};
