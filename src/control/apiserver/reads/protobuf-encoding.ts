/**
 * Kubernetes' protobuf of objects, as `encoding.ts` does JSON: made once per version of a stored object and shared by all gets, lists
 * and watches.
 */
import { ApiError } from '../../../api/errors.js';
import { delimited, encodeMessage, ENVELOPE_TAIL, envelopeHead, eventHead } from '../../../api/protobuf/encode.js';

interface Typed {
  readonly apiVersion?: string;
  readonly kind?: string;
}

/** Entries vanish with the objects, which are frozen: a new version is a new object. */
const messages = new WeakMap<object, Buffer>();
const frames = new WeakMap<object, Map<string, Buffer>>();

/** The message without an envelope. Throws upstream's 406 for a kind that has none. */
function messageOf(object: object): Buffer {
  const known = messages.get(object);
  if (known) return known;
  const { apiVersion = '', kind = '' } = object as Typed;
  const bytes = encodeMessage(apiVersion, kind, object);
  if (!bytes) {
    const why = 'does not implement the protobuf marshalling interface and cannot be encoded to a protobuf message';
    throw new ApiError(406, 'NotAcceptable', `object ${kind} ${why}`);
  }
  if (Object.isFrozen(object)) messages.set(object, bytes);
  return bytes;
}

function enveloped({ apiVersion = '', kind = '' }: Typed, message: readonly Buffer[]): Buffer {
  const size = message.reduce((sum, { length }) => sum + length, 0);
  return Buffer.concat([envelopeHead(apiVersion, kind, size), ...message, ENVELOPE_TAIL]);
}

/** An object in its envelope. */
export const encodeObject = (object: object): Buffer => enveloped(object, [messageOf(object)]);

/** A list from its head (without `items`) and the messages of its items: every list is its metadata, then its items. */
export function encodeList(head: Typed, items: readonly object[]): Buffer {
  const parts = [messageOf(head)];
  for (const item of items) {
    const message = messageOf(item);
    parts.push(delimited(2, message.length), message);
  }
  return enveloped(head, parts);
}

/** An event of a watch: its length in four bytes, then a `WatchEvent` that carries the enveloped object. */
export function encodeWatchFrame(type: string, object: object): Buffer {
  let byType = frames.get(object);
  const known = byType?.get(type);
  if (known) return known;
  const envelope = encodeObject(object);
  const head = eventHead(type, envelope.length);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(head.length + envelope.length);
  const frame = Buffer.concat([length, head, envelope]);
  if (Object.isFrozen(object)) {
    if (!byType) frames.set(object, (byType = new Map()));
    byType.set(type, frame);
  }
  return frame;
}
