/**
 * Decodes Kubernetes' protobuf request bodies to the JSON form. Go's encoder sends the zero value of every field that is
 * not a pointer, so those are dropped here by the table of Go fields; pointers (`replicas: 0`) are kept.
 */
import protobuf from 'protobufjs';
import { badRequest } from './errors.js';
import { loadData } from './schema/data.js';
import type { GoFieldsTable } from './schema/schema.js';

/** `k8s` and a zero byte. */
const MAGIC = [0x6b, 0x38, 0x73, 0x00] as const;
const MACHINERY = 'k8s.io.apimachinery.pkg';
const META = `${MACHINERY}.apis.meta.v1`;
const MAX_DEPTH = 200;

type Message = Readonly<Record<string, unknown>>;
type Special = (message: Message) => unknown;

interface FieldPlan {
  readonly name: string;
  /** The JSON name: a few differ from the protobuf name in case (`Webhooks`, `aPIGroup`). */
  readonly json: string;
  readonly repeated: boolean;
  readonly map: boolean;
  readonly scalar: string;
  readonly type: protobuf.Type | undefined;
  /** Zero values are meaningful. */
  readonly pointer: boolean;
  /** The struct is embedded: its fields belong to the parent. */
  readonly inline: boolean;
}

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
  '.k8s.io.api.authentication.v1.ExtraValue': (message) => message['items'] ?? [],
  '.k8s.io.api.authorization.v1.ExtraValue': (message) => message['items'] ?? [],
  '.k8s.io.api.certificates.v1.ExtraValue': (message) => message['items'] ?? [],
};

const goNameOf = (fullName: string) => `io.k8s.${fullName.replace(/^\.k8s\.io\./, '')}`;

/** The loaded descriptor with a plan per message type, made when the type is first met. */
class Decoder {
  readonly root: protobuf.Root;
  readonly #goFields: GoFieldsTable;
  readonly #plans = new Map<protobuf.Type, readonly FieldPlan[]>();

  constructor() {
    this.root = protobuf.Root.fromJSON(loadData('protobuf') as protobuf.INamespace);
    this.#goFields = loadData('go-fields') as GoFieldsTable;
  }

  /** The message type of a kind. Options (`DeleteOptions`) live in the machinery, whatever group they are sent as. */
  typeOf(apiVersion: string, kind: string): protobuf.Type | undefined {
    const slash = apiVersion.indexOf('/');
    const group = slash < 0 ? 'core' : (apiVersion.slice(0, slash).split('.', 1)[0] ?? '');
    const version = apiVersion.slice(slash + 1);
    for (const name of [`k8s.io.api.${group}.${version}.${kind}`, `${META}.${kind}`]) {
      const found = this.root.lookup(name, [protobuf.Type]);
      if (found instanceof protobuf.Type) return found;
    }
    return undefined;
  }

  convert(message: Message, type: protobuf.Type, depth = 0): unknown {
    if (depth > MAX_DEPTH) throw badRequest('the request body is nested too deeply');
    const special = SPECIAL[type.fullName];
    if (special !== undefined) return special(message);
    const out: Record<string, unknown> = {};
    for (const plan of this.#planOf(type)) {
      if (!Object.hasOwn(message, plan.name)) continue;
      const value = this.#field(message[plan.name], plan, depth);
      if (value === undefined) continue;
      if (plan.inline) Object.assign(out, value);
      else out[plan.json] = value;
    }
    return out;
  }

  #field(value: unknown, plan: FieldPlan, depth: number): unknown {
    if (plan.map) {
      const entries = Object.entries(value as Message).map(([key, item]) => [key, this.#item(item, plan, depth)]);
      return entries.length === 0 ? undefined : Object.fromEntries(entries);
    }
    if (plan.repeated) {
      const items = (value as unknown[]).map((item) => this.#item(item, plan, depth) ?? null);
      return items.length === 0 ? undefined : items;
    }
    const item = this.#item(value, plan, depth);
    return !plan.pointer && isZero(item) ? undefined : item;
  }

  #item(value: unknown, plan: FieldPlan, depth: number): unknown {
    if (plan.type !== undefined) return this.convert(value as Message, plan.type, depth + 1);
    switch (plan.scalar) {
      case 'bytes':
        return base64(value);
      case 'string':
      case 'bool':
        return value;
      default:
        return numberOf(value);
    }
  }

  #planOf(type: protobuf.Type): readonly FieldPlan[] {
    const known = this.#plans.get(type);
    if (known !== undefined) return known;
    const table = this.#goFields[goNameOf(type.fullName)];
    const inlined = table?.['$inline'] ?? [];
    const spelled = new Map(Object.keys(table ?? {}).map((name) => [name.toLowerCase(), name]));
    const plan = type.fieldsArray.map((field): FieldPlan => {
      field.resolve();
      const target = field.resolvedType instanceof protobuf.Type ? field.resolvedType : undefined;
      const json = spelled.get(field.name.toLowerCase()) ?? field.name;
      const flag = table?.[json];
      return {
        name: field.name,
        json,
        repeated: field.repeated,
        map: field.map,
        scalar: field.type,
        type: target,
        pointer: typeof flag === 'string' && flag.startsWith('*'),
        inline: flag === undefined && target !== undefined && inlined.includes(target.name),
      };
    });
    this.#plans.set(type, plan);
    return plan;
  }
}

function isZero(value: unknown): boolean {
  if (value === undefined || value === '' || value === 0 || value === false) return true;
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0;
}

let decoder: Decoder | undefined;

/** Whether bytes carry the protobuf envelope. */
export const isProtobufBody = (bytes: Uint8Array): boolean => MAGIC.every((byte, index) => bytes[index] === byte);

/**
 * Decodes an enveloped object (`k8s\0` and `runtime.Unknown`) to its JSON form with `apiVersion` and `kind`. The
 * descriptor is loaded on first use (about 50 ms, then kept). Throws a 400 for anything that is not such a body.
 */
export function decodeProtobufBody(bytes: Uint8Array): unknown {
  if (!isProtobufBody(bytes)) {
    throw badRequest('provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]');
  }
  decoder ??= new Decoder();
  try {
    const envelope = decoder.root.lookupType(`${MACHINERY}.runtime.Unknown`);
    const unknown = envelope.decode(bytes.subarray(MAGIC.length)) as unknown as {
      typeMeta?: { apiVersion?: string; kind?: string };
      raw?: Uint8Array;
      contentType?: string;
    };
    if (unknown.contentType === 'application/json') return jsonOf(unknown.raw);
    const { apiVersion = '', kind = '' } = unknown.typeMeta ?? {};
    const type = decoder.typeOf(apiVersion, kind);
    if (type === undefined) {
      throw badRequest(`no kind "${kind}" is registered for version "${apiVersion}" in the protobuf schema`);
    }
    const message = type.decode(unknown.raw ?? new Uint8Array()) as unknown as Message;
    return { apiVersion, kind, ...(decoder.convert(message, type) as object) };
  } catch (error) {
    if (error instanceof RangeError || (error instanceof Error && error.constructor === Error)) {
      throw badRequest(`unable to decode the protobuf body: ${error.message}`);
    }
    throw error;
  }
}
