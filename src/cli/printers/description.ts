/** Any object as indented, readable text, like kubectl's describer for kinds it has no special one for. */
import type { KubeObject } from '../../api/object.js';
import type { Event } from '../../api/types/core-v1.js';
import { shortDuration } from '../duration.js';
import { columns } from './columns.js';
import { printable } from './printable.js';
import { LAST_APPLIED } from '../apply/last-applied.js';

const INDENT = '  ';
/** Values of annotations longer than this are cut. */
const MAX_ANNOTATION = 140;

type Fields = Readonly<Record<string, unknown>>;

/** A line of the text: a label and a value (or none, for a heading), some way in. */
interface Line {
  readonly depth: number;
  readonly label: string;
  readonly value: string | undefined;
}

/** The text for one object. `events` oldest first; undefined when they could not be had. */
export function describeObject(object: KubeObject, events: readonly Event[] | undefined, nowMs: number): string {
  const { apiVersion, kind, metadata, ...fields } = object as unknown as Fields & KubeObject;
  const rest = kind === 'Secret' ? withoutSecrets(fields) : fields;
  const { name, namespace, labels, annotations, managedFields: _, ...otherMeta } = metadata;
  const lines: Line[] = [
    line(0, 'Name', name ?? ''),
    ...(namespace === undefined ? [] : [line(0, 'Namespace', namespace)]),
    ...mapLines('Labels', labels, '='),
    ...mapLines('Annotations', shortened(annotations), ': '),
    line(0, 'API Version', apiVersion ?? ''),
    line(0, 'Kind', kind ?? ''),
    { depth: 0, label: 'Metadata', value: undefined },
    ...fieldLines(otherMeta as Fields, 1),
    ...fieldLines(rest, 0),
  ];
  return `${linesText(lines)}${events === undefined ? '' : eventsText(events, nowMs)}`;
}

/** What is in a Secret is not for whoever looks over the shoulder: only its size is shown, as by kubectl. */
function withoutSecrets(fields: Fields): Fields {
  const data = (fields['data'] ?? {}) as Readonly<Record<string, string>>;
  const sizes = Object.entries(data).map(([key, value]) => [key, `${Buffer.from(value, 'base64').length} bytes`]);
  return { ...fields, data: Object.fromEntries(sizes) as Fields };
}

/** Fields whose keys are people's own words. */
const FREE_KEYS = new Set(
  'selector matchLabels nodeSelector labels annotations data binaryData capacity allocatable limits requests hard used'.split(
    ' ',
  ),
);

const line = (depth: number, label: string, value: string): Line => ({ depth, label, value });

/** One pair per line, the first beside the label. */
function mapLines(label: string, map: Readonly<Record<string, string>> | undefined, between: string): Line[] {
  const pairs = Object.entries(map ?? {}).toSorted(([a], [b]) => (a < b ? -1 : 1));
  if (pairs.length === 0) return [line(0, label, '<none>')];
  return pairs.map(([key, value], i) => line(0, i === 0 ? label : '', `${key}${between}${value}`));
}

function shortened(annotations: Readonly<Record<string, string>> | undefined) {
  return Object.fromEntries(
    Object.entries(annotations ?? {})
      .filter(([key]) => key !== LAST_APPLIED)
      .map(([key, value]) => [key, value.length > MAX_ANNOTATION ? `${value.slice(0, MAX_ANNOTATION)}...` : value]),
  );
}

/** `terminationGracePeriodSeconds` -> `Termination Grace Period Seconds`, `podIPs` -> `Pod IPs`. */
export function labelOf(key: string): string {
  if (!/^[a-z][A-Za-z0-9]*$/.test(key)) return key;
  const words = key
    .replaceAll(/([a-z0-9])([A-Z])/g, '$1 $2')
    // The last capital of several begins a word, unless only a plural's "s" follows.
    .replaceAll(/([A-Z]+)([A-Z][a-z])(?!$)/g, '$1 $2')
    .replaceAll(/([A-Z]+)([A-Z](?!s$)[a-z])$/g, '$1 $2');
  return words.charAt(0).toUpperCase() + words.slice(1);
}

function fieldLines(fields: Fields, depth: number, free = false): Line[] {
  return Object.entries(fields)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([key, value]) => {
      const label = free && typeof value !== 'object' ? key : labelOf(key);
      return valueLines(label, value, depth, FREE_KEYS.has(key));
    });
}

function valueLines(label: string, value: unknown, depth: number, free: boolean): Line[] {
  if (value === undefined) return [];
  if (value === null) return [line(depth, label, '<nil>')];
  if (Array.isArray(value)) return listLines(label, value, depth);
  if (typeof value !== 'object') return [line(depth, label, String(value as string | number | boolean))];
  const entries = Object.keys(value);
  if (entries.length === 0) return [line(depth, label, '{}')];
  return [{ depth, label, value: undefined }, ...fieldLines(value as Fields, depth + 1, free)];
}

function listLines(label: string, items: readonly unknown[], depth: number): Line[] {
  if (items.length === 0) return [line(depth, label, '[]')];
  const heading: Line = { depth, label, value: undefined };
  const lines = items.flatMap((item, i): Line[] => {
    if (typeof item !== 'object' || item === null) return [line(depth + 1, '', String(item as string))];
    // A blank line parts items of several lines.
    const gap: Line[] = i > 0 ? [line(depth, '', '')] : [];
    return [...gap, ...fieldLines(item as Fields, depth + 1)];
  });
  return [heading, ...lines];
}

/** Values of one depth line up, as far as they stand together. */
function linesText(lines: readonly Line[]): string {
  const out: string[] = [];
  let block: Line[] = [];
  const flush = () => {
    const width = Math.max(0, ...block.map(({ label }) => label.length));
    for (const { depth, label, value = '' } of block) {
      const head =
        label === '' && block.every((each) => each.label === '')
          ? ''
          : `${label === '' ? '' : `${label}:`}`.padEnd(width + 3);
      out.push(`${INDENT.repeat(depth)}${head}${escaped(value, depth, head.length)}`.trimEnd());
    }
    block = [];
  };
  for (const each of lines) {
    if (block.length > 0 && block[0]?.depth !== each.depth) flush();
    if (each.value === undefined) {
      flush();
      out.push(`${INDENT.repeat(each.depth)}${each.label}:`);
    } else block.push(each);
  }
  flush();
  return `${out.join('\n')}\n`;
}

/** Further lines of a text stand below its first; control characters do nothing. */
function escaped(value: string, depth: number, headLength: number): string {
  const margin = `\n${' '.repeat(depth * INDENT.length + headLength)}`;
  return value.trimEnd().split('\n').map(printable).join(margin);
}

function eventsText(events: readonly Event[], nowMs: number): string {
  if (events.length === 0) return 'Events:   <none>\n';
  const rows = events.map((event) => {
    const source = event.source?.component ?? event.reportingComponent ?? '';
    return [`  ${event.type ?? ''}`, event.reason ?? '', ageOf(event, nowMs), source, (event.message ?? '').trim()];
  });
  return `Events:\n${columns([['  Type', 'Reason', 'Age', 'From', 'Message'], ['  ----', '------', '----', '----', '-------'], ...rows])}`;
}

/** `5m` or `10s (x4 over 5m)`. */
function ageOf(event: Event, nowMs: number): string {
  const since = (time: string | undefined) =>
    time === undefined ? '<unknown>' : shortDuration(nowMs - Date.parse(time));
  const first = event.firstTimestamp ?? event.eventTime ?? event.metadata.creationTimestamp;
  const last = event.series?.lastObservedTime ?? event.lastTimestamp ?? first;
  const count = event.series?.count ?? event.count ?? 1;
  return count > 1 ? `${since(last)} (x${count} over ${since(first)})` : since(first);
}

/** When an event last happened, for sorting. */
export const eventTime = (event: Event): number =>
  Date.parse(
    event.series?.lastObservedTime ?? event.lastTimestamp ?? event.eventTime ?? event.metadata.creationTimestamp ?? '',
  ) || 0;
