/**
 * How large histories are, by their seed. Most are of three or four peers and few faults: what it takes to find a defect is mostly
 * little, and there are several of them in the time of a long one. What takes many peers, or one fault upon another, is left to the
 * long ones.
 */
import type { Random } from '../../src/base/random.js';

interface Shape {
  /** How many there are of each, against each other. */
  readonly peers: readonly number[];
  readonly rounds: readonly [least: number, most: number];
}

const SHORT: Shape = { peers: [3, 3, 3, 4, 4], rounds: [1, 2] };
const LONG: Shape = { peers: [5, 5, 6, 7], rounds: [2, 3] };
const OF_TWO: Shape = { peers: [2], rounds: [1, 3] };

/** Of so many seeds in a row each has the same kinds, so that any thousand histories take about as long as another. */
const CYCLE = 20;
const OTHERS: Readonly<Record<number, Shape>> = { 0: OF_TWO, 3: LONG, 9: LONG, 14: LONG };

export interface Size {
  readonly peers: number;
  /** Times that something happens to somebody. */
  readonly rounds: number;
}

export function sizeOf(seed: number, random: Random): Size {
  const { peers, rounds } = OTHERS[seed % CYCLE] ?? SHORT;
  const [least, most] = rounds;
  return { peers: peers[random.int(peers.length)] ?? 0, rounds: least + random.int(most - least + 1) };
}

/** Seeds to run from `first` on so that `count` of the histories have three peers or more. */
export function seedsFor(count: number, first: number): number {
  let seeds = 0;
  for (let left = count; left > 0; seeds++) if (OTHERS[(first + seeds) % CYCLE] !== OF_TWO) left -= 1;
  return seeds;
}
