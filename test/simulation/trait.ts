/** What some histories have beside the usual faults: more faults, and more that must hold. */
import type { SimPeer } from '../../src/testing/sim-cluster.js';
import type { Fault } from './faults.js';

export interface Trait {
  readonly faults: readonly Fault[];
  /** Of those that never split the cluster. */
  readonly wholeFaults: readonly Fault[];
  readonly problems: readonly string[];
  /** Before everything is mended. */
  beforeMending(): void;
  /** Whether nothing more is to be expected, once the peers that belong to the cluster are settled. */
  isDone(): boolean;
  /** Called when all is settled, before the usual checks. */
  finish(): void;
  onLog?(peer: string, message: string): void;
  /** The peers that belong to the cluster; all unless told. */
  members?(): readonly SimPeer[];
}
