/** What columns are made of, and the texts that kubectl's users know. */
import type { DeepReadonly, KubeObject, LabelSelector } from '../../../api/object.js';

/** Null: nothing to show. */
export type Cell = string | number | boolean | null;

export interface CellContext {
  readonly object: KubeObject;
  readonly nowMs: number;
}

export interface Column {
  readonly name: string;
  /** `string` unless told. */
  readonly type?: string;
  readonly format?: string;
  readonly description?: string;
  /** Columns of priority 1 are shown with `-o wide`. */
  readonly priority?: number;
  value(context: CellContext): Cell;
}

/** A column of one kind. The table that it is part of says which kind the object is. */
export function col<T>(name: string, value: (object: T, nowMs: number) => Cell, more: Partial<Column> = {}): Column {
  return { name, ...more, value: ({ object, nowMs }) => value(object as T, nowMs) };
}
export const wide = { priority: 1 } as const;
export const int = { type: 'integer' } as const;

/** `duration.HumanDuration`: two units at most, the smaller only while it matters. */
export function humanDuration(ms: number): string {
  const seconds = Math.trunc(ms / 1000);
  if (seconds < -1) return '<invalid>';
  if (seconds < 0) return '0s';
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 10) return seconds % 60 === 0 ? `${minutes}m` : `${minutes}m${seconds % 60}s`;
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 8) return minutes % 60 === 0 ? `${hours}h` : `${hours}h${minutes % 60}m`;
  if (hours < 48) return `${hours}h`;
  const days = Math.floor(hours / 24);
  if (hours < 192) return hours % 24 === 0 ? `${days}d` : `${days}d${hours % 24}h`;
  if (days < 365 * 2) return `${days}d`;
  const years = Math.floor(days / 365);
  if (days < 365 * 8) return days % 365 === 0 ? `${years}y` : `${years}y${days % 365}d`;
  return `${years}y`;
}

export function sinceText(time: string | undefined | null, nowMs: number): string {
  if (!time) return '<unknown>';
  return humanDuration(nowMs - Date.parse(time));
}

export const ageOf = (object: KubeObject, nowMs: number) => sinceText(object.metadata.creationTimestamp, nowMs);

export const AGE: Column = { name: 'Age', value: ({ object, nowMs }) => ageOf(object, nowMs) };

export const orNone = (values: readonly string[] | undefined) =>
  values && values.length > 0 ? values.join(',') : '<none>';

/** `a=b,c in (d,e)` as kubectl prints selectors. */
export function selectorText(selector: DeepReadonly<LabelSelector> | undefined): string {
  if (!selector) return '<none>';
  const labels = Object.entries(selector.matchLabels ?? {})
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${value}`);
  const expressions = (selector.matchExpressions ?? []).map(({ key, operator, values = [] }) => {
    switch (operator) {
      case 'Exists':
        return key;
      case 'DoesNotExist':
        return `!${key}`;
      default:
        return `${key} ${operator === 'In' ? 'in' : 'notin'} (${values.toSorted().join(',')})`;
    }
  });
  return orNone([...labels, ...expressions]);
}

export const labelsText = (labels: Readonly<Record<string, string>> | undefined) =>
  labels && Object.keys(labels).length > 0 ? selectorText({ matchLabels: labels }) : '<none>';
