/**
 * Decodes Kubernetes' protobuf bodies to the JSON form. Go's encoder sends the zero value of every field that is not a pointer,
 * so those are dropped here by the table of Go fields; pointers (`replicas: 0`) are kept.
 */
import type protobuf from 'protobufjs';
import { badRequest } from '../errors.js';
import { loadMessages, MACHINERY, MAGIC, META, type MessageField, type Messages } from './messages.js';

const MAX_DEPTH = 200;

type Message = Readonly<Record<string, unknown>>;
type Special = (message: Message) => unknown;

const numberOf = (value: unknown): number => (value === undefined || value === null ? 0 : Number(value));
const base64 = (value: unknown): string => Buffer.from(value as Uint8Array).toString('base64');
const textOf = (value: unknown): string => Buffer.from((value as Uint8Array | undefined) ?? []).toString('utf8');

function jsonOf(value: unknown): unknown {
  const text = textOf(value);
  if (text === '') return undefined;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw badRequest('a raw extension in the request body is not JSON');
  }
}

function timeOf(message: Message, digits: 0 | 6): string | undefined {
  const seconds = numberOf(message['seconds']);
  const nanos = numberOf(message['nanos']);
  if (seconds === 0 && nanos === 0) return undefined;
  const at = new Date(seconds * 1000);
  if (Number.isNaN(at.getTime())) throw badRequest('a time in the request body is out of range');
  const whole = at.toISOString().slice(0, 19);
  if (digits === 0) return `${whole}Z`;
  return `${whole}.${String(Math.floor(nanos / 1000)).padStart(6, '0')}Z`;
}

const durationText = (nanos: number): string => {
  const seconds = nanos / 1e9;
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor((seconds % 3600) / 60);
  const rest = seconds % 60;
  return `${hours > 0 ? `${hours}h` : ''}${hours > 0 || minutes > 0 ? `${minutes}m` : ''}${rest}s`;
};

const APIEXTENSIONS = '.k8s.io.api.apiextensions.v1';

/** Messages whose JSON form is not an object of their fields. */
const SPECIAL: Readonly<Record<string, Special>> = {
  [`.${MACHINERY}.api.resource.Quantity`]: (message) => message['string'] ?? '0',
  [`.${MACHINERY}.api.resource.QuantityValue`]: (message) => message['string'] ?? '0',
  [`.${MACHINERY}.util.intstr.IntOrString`]: (message) =>
    numberOf(message['type']) === 1 ? (message['strVal'] ?? '') : numberOf(message['intVal']),
  [`.${META}.Time`]: (message) => timeOf(message, 0),
  [`.${META}.MicroTime`]: (message) => timeOf(message, 6),
  [`.${META}.Duration`]: (message) => durationText(numberOf(message['duration'])),
  [`.${META}.FieldsV1`]: (message) => jsonOf(message['Raw']),
  [`.${MACHINERY}.runtime.RawExtension`]: (message) => jsonOf(message['raw']),
  [`.${META}.Verbs`]: (message) => message['items'] ?? [],
  '.k8s.io.api.authentication.v1.ExtraValue': (message) => message['items'] ?? [],
  '.k8s.io.api.authorization.v1.ExtraValue': (message) => message['items'] ?? [],
  '.k8s.io.api.certificates.v1.ExtraValue': (message) => message['items'] ?? [],
  [`${APIEXTENSIONS}.JSON`]: (message) => jsonOf(message['raw']),
};

/** Messages that stand for one of several forms of JSON, by their converted fields. */
const ALTERNATIVES: Readonly<Record<string, Special>> = {
  [`${APIEXTENSIONS}.JSONSchemaPropsOrArray`]: ({ schema, jSONSchemas }) => jSONSchemas ?? schema,
  [`${APIEXTENSIONS}.JSONSchemaPropsOrBool`]: ({ schema, allows }) => schema ?? allows === true,
  [`${APIEXTENSIONS}.JSONSchemaPropsOrStringArray`]: ({ schema, property }) => property ?? schema,
};

class Decoder {
  constructor(private readonly messages: Messages) {}

  convert(message: Message, type: protobuf.Type, depth = 0): unknown {
    if (depth > MAX_DEPTH) throw badRequest('the request body is nested too deeply');
    const special = SPECIAL[type.fullName];
    if (special !== undefined) return special(message);
    const out: Record<string, unknown> = {};
    for (const field of this.messages.fieldsOf(type)) {
      if (!Object.hasOwn(message, field.name)) continue;
      const value = this.field(message[field.name], field, depth);
      if (value === undefined) continue;
      if (field.inline) Object.assign(out, value);
      else out[field.json] = value;
    }
    return ALTERNATIVES[type.fullName]?.(out) ?? out;
  }

  private field(value: unknown, field: MessageField, depth: number): unknown {
    if (field.map) {
      const entries = Object.entries(value as Message).map(([key, item]) => [key, this.item(item, field, depth)]);
      return entries.length === 0 ? undefined : Object.fromEntries(entries);
    }
    if (field.repeated) {
      const items = (value as unknown[]).map((item) => this.item(item, field, depth) ?? null);
      return items.length === 0 ? undefined : items;
    }
    const item = this.item(value, field, depth);
    return !field.pointer && isZero(item) ? undefined : item;
  }

  private item(value: unknown, { type, scalar }: MessageField, depth: number): unknown {
    if (type !== undefined) return this.convert(value as Message, type, depth + 1);
    switch (scalar) {
      case 'bytes':
        return base64(value);
      case 'string':
      case 'bool':
        return value;
      default:
        return numberOf(value);
    }
  }
}

function isZero(value: unknown): boolean {
  if (value === undefined || value === '' || value === 0 || value === false) return true;
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0;
}

/** Whether bytes carry the protobuf envelope. */
export const isProtobufBody = (bytes: Uint8Array): boolean => MAGIC.every((byte, index) => bytes[index] === byte);

/**
 * Decodes an enveloped object (`k8s\0` and `runtime.Unknown`) to its JSON form with `apiVersion` and `kind`. Throws a 400 for
 * anything that is not such a body.
 */
export function decodeProtobufBody(bytes: Uint8Array): unknown {
  if (!isProtobufBody(bytes)) {
    throw badRequest('provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]');
  }
  const messages = loadMessages();
  try {
    const envelope = messages.root.lookupType(`${MACHINERY}.runtime.Unknown`);
    const unknown = envelope.decode(bytes.subarray(MAGIC.length)) as unknown as {
      typeMeta?: { apiVersion?: string; kind?: string };
      raw?: Uint8Array;
      contentType?: string;
    };
    if (unknown.contentType === 'application/json') return jsonOf(unknown.raw);
    const { apiVersion = '', kind = '' } = unknown.typeMeta ?? {};
    const type = messages.typeOf(apiVersion, kind);
    if (type === undefined) {
      throw badRequest(`no kind "${kind}" is registered for version "${apiVersion}" in the protobuf schema`);
    }
    const message = type.decode(unknown.raw ?? new Uint8Array()) as unknown as Message;
    return { apiVersion, kind, ...(new Decoder(messages).convert(message, type) as object) };
  } catch (error) {
    if (error instanceof RangeError || (error instanceof Error && error.constructor === Error)) {
      throw badRequest(`unable to decode the protobuf body: ${error.message}`);
    }
    throw error;
  }
}
