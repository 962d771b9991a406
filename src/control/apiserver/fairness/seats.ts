/**
 * How a server's seats (requests that may run at once) are divided among priority levels, and who may take one now. A level
 * always has its nominal seats less what it lends; what others do not use of the lendable rest it may borrow at once.
 * Upstream moves lent seats every ten seconds; here each request looks at the present use, so an idle level costs nobody anything.
 */
import type { PriorityLevelConfiguration } from '../../../api/types/flowcontrol-v1.js';

export interface SeatLimits {
  readonly nominal: number;
  /** Seats that nobody else may take. */
  readonly guaranteed: number;
  /** Seats of its own and borrowed ones together. */
  readonly maximum: number;
}

const DEFAULT_SHARES = 30;

const sharesOf = ({ spec }: PriorityLevelConfiguration): number =>
  spec?.type === 'Exempt'
    ? (spec.exempt?.nominalConcurrencyShares ?? 0)
    : (spec?.limited?.nominalConcurrencyShares ?? DEFAULT_SHARES);

/** NominalCL = ⌈seats × shares ∕ all shares⌉; lendable and borrowable parts as percentages of it. */
export function divideSeats(
  total: number,
  levels: readonly PriorityLevelConfiguration[],
): ReadonlyMap<string, SeatLimits> {
  const all = levels.reduce((sum, level) => sum + sharesOf(level), 0);
  return new Map(
    levels.map((level) => {
      const { limited, exempt } = level.spec ?? {};
      const nominal = all === 0 ? 0 : Math.ceil((total * sharesOf(level)) / all);
      const lendable = Math.round((nominal * ((limited ?? exempt)?.lendablePercent ?? 0)) / 100);
      const borrowing = limited?.borrowingLimitPercent;
      const maximum = borrowing === undefined ? total : nominal + Math.round((nominal * borrowing) / 100);
      return [level.metadata.name ?? '', { nominal, guaranteed: nominal - lendable, maximum }];
    }),
  );
}

const OBJECTS_PER_SEAT = 100;
const MAX_WIDTH = 10;
/** The part of a level's nominal seats that one request may take. */
const MAX_PART = 0.15;

/** Seats of a list that goes through so many objects, as upstream's work estimator has it. */
export const listWidth = (objects: number): number =>
  Math.min(MAX_WIDTH, Math.max(1, Math.ceil(objects / OBJECTS_PER_SEAT)));

/** What is left of the wanted seats in a level that has few. */
export const widthIn = ({ nominal }: SeatLimits, wanted: number): number =>
  Math.min(wanted, Math.max(1, Math.ceil(nominal * MAX_PART)));

export interface SeatUse {
  readonly limits: SeatLimits;
  readonly taken: number;
}

/**
 * Whether a request of `level` that needs `width` seats may start: within its maximum, and leaving every other level what it
 * has taken or is guaranteed. A request wider than the level's maximum runs alone in it.
 */
export function seatFree(total: number, level: SeatUse, width: number, all: Iterable<SeatUse>): boolean {
  const wanted = level.taken + width;
  if (wanted <= level.limits.guaranteed || level.taken === 0) return true;
  if (wanted > level.limits.maximum) return false;
  let others = 0;
  for (const other of all) if (other !== level) others += Math.max(other.taken, other.limits.guaranteed);
  return others + wanted <= total;
}
