/** A host port is held by one pod per node, protocol and address. */
import { OK, refuse, type Filter } from './filter.js';

const REFUSED = refuse("node(s) didn't have free ports for the requested pod ports", true);

export const nodePorts: Filter = {
  name: 'NodePorts',
  helpedBy: ['node-changed', 'pod-removed'],
  prepare({ hostPorts }) {
    if (hostPorts.length === 0) return undefined;
    return { check: (node) => (hostPorts.some((port) => node.hasPortConflict(port)) ? REFUSED : OK) };
  },
};
