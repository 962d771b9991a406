/**
 * Encodes objects to Kubernetes' protobuf as Go's encoders do, byte for byte: fields by number, what is no pointer always (its zero
 * value too), pointers, bytes, lists and maps when there are any, maps by key, no packed lists. Each message type becomes a table
 * of writers when it is first met; an object is then walked once, by that table.
 */
import type protobuf from 'protobufjs';
import { loadMessages, MACHINERY, MAGIC, META, type MessageField, type Messages } from './messages.js';
import { ReverseWriter } from './reverse-writer.js';

type Fields = Readonly<Record<string, unknown>>;
/** Writes a value without the head of its field. */
type Write = (to: ReverseWriter, value: unknown) => void;

interface FieldWriter {
  readonly json: string;
  /** The fields are the parent's. */
  readonly inline: boolean;
  /** Writes the field with its head. */
  readonly write: Write;
  /** What is written for a field that is not there. */
  readonly absent: Uint8Array | undefined;
}

const VARINT = 0;
const FIXED64 = 1;
const DELIMITED = 2;

const SCALARS: Readonly<Record<string, { readonly wire: number; readonly write: Write; readonly zero: unknown }>> = {
  string: { wire: DELIMITED, write: (to, value) => to.text(value as string), zero: '' },
  bytes: { wire: DELIMITED, write: (to, value) => writeBytes(to, Buffer.from(value as string, 'base64')), zero: '' },
  bool: { wire: VARINT, write: (to, value) => to.byte(value === true ? 1 : 0), zero: false },
  int32: { wire: VARINT, write: (to, value) => to.varint(value as number), zero: 0 },
  int64: { wire: VARINT, write: (to, value) => to.varint(value as number), zero: 0 },
  double: { wire: FIXED64, write: (to, value) => to.double(value as number), zero: 0 },
};

function writeBytes(to: ReverseWriter, bytes: Uint8Array): void {
  to.bytes(bytes);
  to.varint(bytes.length);
}

const headOf = (id: number, wire: number): number => id * 8 + wire;

function numberField(to: ReverseWriter, id: number, value: number): void {
  to.varint(value);
  to.byte(headOf(id, VARINT));
}

function textField(to: ReverseWriter, id: number, value: string): void {
  to.text(value);
  to.byte(headOf(id, DELIMITED));
}

const jsonMessage: Write = (to, value) => {
  if (value !== undefined) textField(to, 1, JSON.stringify(value));
};
const itemsMessage: Write = (to, value = []) => {
  const items = value as readonly string[];
  for (let index = items.length - 1; index >= 0; index--) textField(to, 1, items[index] ?? '');
};

function timeMessage(to: ReverseWriter, text: unknown, digits: 0 | 6): void {
  const ms = Date.parse(text as string);
  // The zero time is an empty message.
  if (Number.isNaN(ms)) return;
  const fraction = digits === 0 ? undefined : /\.(\d{1,6})/.exec(text as string)?.[1];
  numberField(to, 2, fraction === undefined ? 0 : Number(fraction.padEnd(6, '0')) * 1000);
  numberField(to, 1, Math.floor(ms / 1000));
}

const UNIT_NANOS: Readonly<Record<string, number>> = { h: 3.6e12, m: 6e10, s: 1e9, ms: 1e6, us: 1e3, µs: 1e3, ns: 1 };

/** Go's text of a duration in nanoseconds. */
function nanosOf(text: string): number {
  let nanos = 0;
  for (const [, count = '0', unit = 's'] of text.matchAll(/([\d.]+)(h|ms|m|s|us|µs|ns)/g)) {
    nanos += Number(count) * (UNIT_NANOS[unit] ?? 0);
  }
  return Math.round(text.startsWith('-') ? -nanos : nanos);
}

function intOrStringMessage(to: ReverseWriter, value: unknown = 0): void {
  const text = typeof value === 'string';
  textField(to, 3, text ? value : '');
  numberField(to, 2, text ? 0 : (value as number));
  numberField(to, 1, text ? 1 : 0);
}

/** Messages whose JSON form is not an object of their fields; undefined stands for Go's zero value. */
const SPECIAL: Readonly<Record<string, Write>> = {
  [`.${MACHINERY}.api.resource.Quantity`]: (to, value = '0') => textField(to, 1, String(value)),
  [`.${MACHINERY}.util.intstr.IntOrString`]: intOrStringMessage,
  [`.${META}.Time`]: (to, value) => timeMessage(to, value, 0),
  [`.${META}.MicroTime`]: (to, value) => timeMessage(to, value, 6),
  [`.${META}.Duration`]: (to, value = '0s') => numberField(to, 1, nanosOf(value as string)),
  [`.${META}.FieldsV1`]: jsonMessage,
  [`.${MACHINERY}.runtime.RawExtension`]: jsonMessage,
  [`.${META}.Verbs`]: itemsMessage,
  '.k8s.io.api.authentication.v1.ExtraValue': itemsMessage,
  '.k8s.io.api.authorization.v1.ExtraValue': itemsMessage,
  '.k8s.io.api.certificates.v1.ExtraValue': itemsMessage,
  '.k8s.io.api.apiextensions.v1.JSON': jsonMessage,
};

const schemaOr = (list: string) => (value: unknown) => (Array.isArray(value) ? { [list]: value } : { schema: value });

/** Messages that stand for one of several forms of JSON: their fields. */
const ALTERNATIVES: Readonly<Record<string, (value: unknown) => Fields>> = {
  '.k8s.io.api.apiextensions.v1.JSONSchemaPropsOrArray': schemaOr('jSONSchemas'),
  '.k8s.io.api.apiextensions.v1.JSONSchemaPropsOrStringArray': schemaOr('property'),
  '.k8s.io.api.apiextensions.v1.JSONSchemaPropsOrBool': (value) =>
    typeof value === 'boolean' ? { allows: value } : { allows: true, schema: value },
};

/** The tables of all message types that have been met. */
class Encoder {
  private readonly writers = new Map<protobuf.Type, Write>();
  private readonly kinds = new Map<string, Write | null>();

  constructor(private readonly messages: Messages) {}

  /** Writes the message of a built-in kind; undefined for other kinds. */
  writerOf(apiVersion: string, kind: string): Write | undefined {
    const key = `${apiVersion}/${kind}`;
    let write = this.kinds.get(key);
    if (write === undefined) {
      const type = this.messages.typeOf(apiVersion, kind);
      write = type === undefined ? null : this.messageWriter(type);
      // Only kinds that exist are kept, of which there are only so many.
      if (write !== null) this.kinds.set(key, write);
    }
    return write ?? undefined;
  }

  private messageWriter(type: protobuf.Type): Write {
    const known = this.writers.get(type);
    if (known) return known;
    const special = SPECIAL[type.fullName];
    if (special) return special;
    let table: readonly FieldWriter[] | undefined;
    const alternative = ALTERNATIVES[type.fullName];
    const write: Write = (to, value) => {
      table ??= this.tableOf(type);
      writeFields(to, table, alternative ? alternative(value) : (value as Fields));
    };
    // Known before its fields are: schemas contain schemas.
    this.writers.set(type, write);
    return write;
  }

  /** Last field first. */
  private tableOf(type: protobuf.Type): readonly FieldWriter[] {
    const fields = this.messages.fieldsOf(type).toSorted((a, b) => b.id - a.id);
    return fields.map((field) => {
      const { json, inline } = field;
      const write = this.fieldWriter(field);
      return { json, inline, write, absent: this.absentOf(field, write) };
    });
  }

  private fieldWriter(field: MessageField): Write {
    const { wire, write } = this.itemWriter(field);
    const head = headOf(field.id, wire);
    if (field.map) return mapWriter(head, wire, write);
    const one: Write = (to, value) => {
      write(to, value);
      to.varint(head);
    };
    if (!field.repeated) return one;
    return (to, value) => {
      const items = value as readonly unknown[];
      for (let index = items.length - 1; index >= 0; index--) one(to, items[index]);
    };
  }

  private itemWriter({ type, scalar }: MessageField): { readonly wire: number; readonly write: Write } {
    if (type === undefined) {
      const found = SCALARS[scalar];
      if (!found) throw new Error(`no encoding for the protobuf type ${scalar}`);
      return found;
    }
    const write = this.messageWriter(type);
    return {
      wire: DELIMITED,
      write: (to, value) => {
        const before = to.length;
        write(to, value);
        to.varint(to.length - before);
      },
    };
  }

  private absentOf({ type, scalar, pointer, repeated, map, inline }: MessageField, write: Write) {
    if (pointer || repeated || map || inline || scalar === 'bytes') return undefined;
    const to = new ReverseWriter();
    if (type === undefined) write(to, SCALARS[scalar]?.zero);
    else write(to, SPECIAL[type.fullName] ? undefined : {});
    return to.take();
  }
}

function writeFields(to: ReverseWriter, table: readonly FieldWriter[], object: Fields): void {
  for (const { json, inline, write, absent } of table) {
    const value = inline ? object : object[json];
    if (value !== undefined && value !== null) write(to, value);
    else if (absent !== undefined) to.bytes(absent);
  }
}

function mapWriter(head: number, wire: number, write: Write): Write {
  return (to, value) => {
    const entries = value as Fields;
    for (const key of Object.keys(entries).sort().reverse()) {
      const before = to.length;
      write(to, entries[key]);
      to.byte(headOf(2, wire));
      textField(to, 1, key);
      to.varint(to.length - before);
      to.varint(head);
    }
  };
}

let encoder: Encoder | undefined;
/** Encoding is synchronous, so one buffer does for all. */
const writer = new ReverseWriter();

/** The message of an object of a built-in kind without an envelope; undefined for kinds that have no messages. */
export function encodeMessage(apiVersion: string, kind: string, object: object): Buffer | undefined {
  encoder ??= new Encoder(loadMessages());
  const write = encoder.writerOf(apiVersion, kind);
  if (!write) return undefined;
  try {
    write(writer, object);
    return writer.take();
  } finally {
    writer.reset();
  }
}

/** The head of a field whose value is `size` bytes long, which follow it. */
export function delimited(id: number, size: number): Buffer {
  writer.varint(size);
  writer.byte(headOf(id, DELIMITED));
  return writer.take();
}

/** What comes before the `size` bytes of an object in a `WatchEvent`. */
export function eventHead(type: string, size: number): Buffer {
  writer.varint(size);
  writer.byte(headOf(1, DELIMITED));
  writer.varint(size + writer.length);
  writer.byte(headOf(2, DELIMITED));
  textField(writer, 1, type);
  return writer.take();
}

/** What comes before an enveloped message of so many bytes: `k8s\0` and the beginning of a `runtime.Unknown`. */
export function envelopeHead(apiVersion: string, kind: string, size: number): Buffer {
  writer.varint(size);
  writer.byte(headOf(2, DELIMITED));
  const before = writer.length;
  textField(writer, 2, kind);
  textField(writer, 1, apiVersion);
  writer.varint(writer.length - before);
  writer.byte(headOf(1, DELIMITED));
  writer.bytes(MAGIC);
  return writer.take();
}

/** What comes after it: no content encoding and no content type. */
export const ENVELOPE_TAIL: Buffer = Buffer.from([headOf(3, DELIMITED), 0, headOf(4, DELIMITED), 0]);

/**
 * An object with its `apiVersion` and `kind` in Kubernetes' envelope; undefined for kinds that have no messages (custom resources,
 * `Table`).
 */
export function encodeProtobuf(object: object): Buffer | undefined {
  const { apiVersion = '', kind = '' } = object as { readonly apiVersion?: string; readonly kind?: string };
  const message = encodeMessage(apiVersion, kind, object);
  return message && Buffer.concat([envelopeHead(apiVersion, kind, message.length), message, ENVELOPE_TAIL]);
}
