/** Which versions of something a program knows: all from the oldest to the newest. */
export interface VersionRange {
  readonly oldest: number;
  readonly newest: number;
}

export const isWithin = (version: number, { oldest, newest }: VersionRange): boolean =>
  version >= oldest && version <= newest;

/** The highest version that both know; undefined when there is none. */
export function commonVersion(a: VersionRange, b: VersionRange): number | undefined {
  const version = Math.min(a.newest, b.newest);
  return isWithin(version, a) && isWithin(version, b) ? version : undefined;
}

/** `2`, or `1–2`. */
export const rangeText = ({ oldest, newest }: VersionRange): string =>
  oldest === newest ? `${newest}` : `${oldest}–${newest}`;

/** A range out of somebody else's JSON, `[oldest, newest]`; undefined when it is none. */
export function parseRange(value: unknown): VersionRange | undefined {
  if (!Array.isArray(value)) return undefined;
  const [oldest, newest] = value as unknown[];
  if (!isVersion(oldest) || !isVersion(newest) || oldest > newest) return undefined;
  return { oldest, newest };
}

const isVersion = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) > 0;
