/**
 * A set of completion indexes as Jobs write it in their status: `0,2-4,7`. Kept as intervals, so that a million finished
 * indexes cost no more than their gaps. Immutable.
 */
interface Interval {
  readonly first: number;
  readonly last: number;
}

export class IndexSet {
  static readonly EMPTY = new IndexSet([]);

  /** Sorted, and neither overlapping nor adjacent. */
  private constructor(private readonly intervals: readonly Interval[]) {}

  static of(indexes: Iterable<number>): IndexSet {
    return IndexSet.fromIntervals(Array.from(indexes, (index) => ({ first: index, last: index })));
  }

  /** What cannot be read is left out, and so are indexes of `completions` and above. */
  static parse(text: string | undefined, completions: number): IndexSet {
    const intervals: Interval[] = [];
    for (const part of (text ?? '').split(',')) {
      const match = /^([0-9]+)(?:-([0-9]+))?$/.exec(part);
      if (!match) continue;
      const first = Number(match[1]);
      const last = Math.min(Number(match[2] ?? first), completions - 1);
      if (first <= last) intervals.push({ first, last });
    }
    return IndexSet.fromIntervals(intervals);
  }

  private static fromIntervals(intervals: readonly Interval[]): IndexSet {
    const merged: { first: number; last: number }[] = [];
    for (const { first, last } of intervals.toSorted((a, b) => a.first - b.first)) {
      const previous = merged.at(-1);
      if (previous && first <= previous.last + 1) previous.last = Math.max(previous.last, last);
      else merged.push({ first, last });
    }
    return new IndexSet(merged);
  }

  get size(): number {
    return this.intervals.reduce((sum, { first, last }) => sum + last - first + 1, 0);
  }

  has(index: number): boolean {
    let low = 0;
    let high = this.intervals.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const { first, last } = this.intervals[middle] as Interval;
      if (index < first) high = middle - 1;
      else if (index > last) low = middle + 1;
      else return true;
    }
    return false;
  }

  with(other: IndexSet | Iterable<number>): IndexSet {
    const more = other instanceof IndexSet ? other : IndexSet.of(other);
    return more.intervals.length === 0 ? this : IndexSet.fromIntervals([...this.intervals, ...more.intervals]);
  }

  /** How many indexes are in both. */
  sharedWith(other: IndexSet): number {
    let shared = 0;
    let mine = 0;
    let theirs = 0;
    for (;;) {
      const a = this.intervals[mine];
      const b = other.intervals[theirs];
      if (!a || !b) return shared;
      shared += Math.max(0, Math.min(a.last, b.last) - Math.max(a.first, b.first) + 1);
      if (a.last < b.last) mine++;
      else theirs++;
    }
  }

  /** The lowest indexes below `completions` that are not in the set, `count` at most. */
  firstMissing(count: number, completions: number): number[] {
    const missing: number[] = [];
    let next = 0;
    for (const { first, last } of [...this.intervals, { first: completions, last: completions }]) {
      for (; next < first && next < completions; next++) {
        if (missing.length >= count) return missing;
        missing.push(next);
      }
      next = last + 1;
    }
    return missing;
  }

  /** As Kubernetes writes it: two neighbours as `1,2`, three as `1-3`. */
  toString(): string {
    const parts = this.intervals.map(({ first, last }) => {
      if (first === last) return String(first);
      return `${first}${last === first + 1 ? ',' : '-'}${last}`;
    });
    return parts.join(',');
  }
}
