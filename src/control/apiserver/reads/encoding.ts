/** JSON bytes of stored objects, made once per object version and shared by all gets, lists and watches. */
import { jsonTextOf } from '../../../store/object-text.js';

export type WatchEventType = 'ADDED' | 'MODIFIED' | 'DELETED';

/** Entries vanish with the objects, which are frozen: a new version is a new object. */
const encodings = new WeakMap<object, Buffer>();
const frames = new WeakMap<object, Map<string, Buffer>>();

/** The object's JSON. Only frozen objects are remembered. */
export function encodeObject(object: object): Buffer {
  const known = encodings.get(object);
  if (known) return known;
  const bytes = Buffer.from(jsonTextOf(object));
  if (Object.isFrozen(object)) encodings.set(object, bytes);
  return bytes;
}

const LINE_END = Buffer.from('}\n');

/** One line of a watch: `{"type":"ADDED","object":{…}}`. */
export function encodeWatchFrame(type: string, object: object): Buffer {
  let byType = frames.get(object);
  const known = byType?.get(type);
  if (known) return known;
  const frame = Buffer.concat([Buffer.from(`{"type":"${type}","object":`), encodeObject(object), LINE_END]);
  if (Object.isFrozen(object)) {
    if (!byType) frames.set(object, (byType = new Map()));
    byType.set(type, frame);
  }
  return frame;
}

const COMMA = Buffer.from(',');

/** A list document from its head (without `items`) and the encodings of its items. */
export function encodeList(head: object, items: readonly object[]): Buffer {
  const text = JSON.stringify(head);
  const parts: Buffer[] = [Buffer.from(`${text.slice(0, -1)},"items":[`)];
  for (const [index, item] of items.entries()) {
    if (index > 0) parts.push(COMMA);
    parts.push(encodeObject(item));
  }
  parts.push(Buffer.from(']}'));
  return Buffer.concat(parts);
}
