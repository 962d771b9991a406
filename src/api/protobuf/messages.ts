/**
 * Kubernetes' protobuf messages beside the JSON objects they stand for: the descriptor, and for each message its fields with
 * their JSON names and what Go's types say of zero values.
 */
import protobuf from 'protobufjs';
import { loadData } from '../schema/data.js';
import type { GoFieldsTable } from '../schema/schema.js';
import { descriptorsOf, EXTENSION_PACKAGES, goFieldsOf, protobufName } from './extension-messages.js';

export const MACHINERY = 'k8s.io.apimachinery.pkg';
export const META = `${MACHINERY}.apis.meta.v1`;

/** `k8s` and a zero byte: what every enveloped object begins with. */
export const MAGIC: Buffer = Buffer.from('k8s\0');

export interface MessageField {
  readonly name: string;
  readonly id: number;
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

const goNameOf = (fullName: string) => `io.k8s.${fullName.replace(/^\.?k8s\.io\./, '')}`;

/** Fields of a message type are worked out when it is first met. */
export class Messages {
  readonly root: protobuf.Root;
  readonly #goFields: GoFieldsTable;
  readonly #fields = new Map<protobuf.Type, readonly MessageField[]>();

  constructor() {
    this.root = protobuf.Root.fromJSON(loadData('protobuf') as protobuf.INamespace);
    const goFields: Record<string, GoFieldsTable[string]> = { ...(loadData('go-fields') as GoFieldsTable) };
    for (const { name, messages } of EXTENSION_PACKAGES) {
      this.root.define(name).addJSON(descriptorsOf(messages));
      for (const [type, fields] of Object.entries(messages)) goFields[goNameOf(`${name}.${type}`)] = goFieldsOf(fields);
    }
    this.#goFields = goFields;
  }

  /**
   * The message type of a built-in kind. Options (`DeleteOptions`), `Status` and partial metadata live in the machinery, whatever
   * group they are sent as.
   */
  typeOf(apiVersion: string, kind: string): protobuf.Type | undefined {
    const slash = apiVersion.indexOf('/');
    const group = slash < 0 ? '' : apiVersion.slice(0, slash);
    const [first = ''] = group.split('.', 1);
    const version = apiVersion.slice(slash + 1);
    const builtIn = first === group || group.endsWith('.k8s.io');
    const names = builtIn && version !== '' ? [`k8s.io.api.${group === '' ? 'core' : first}.${version}.${kind}`] : [];
    for (const name of [...names, `${META}.${kind}`]) {
      const found = this.root.lookup(name, [protobuf.Type]);
      if (found instanceof protobuf.Type) return found;
    }
    return undefined;
  }

  fieldsOf(type: protobuf.Type): readonly MessageField[] {
    const known = this.#fields.get(type);
    if (known !== undefined) return known;
    const table = this.#goFields[goNameOf(type.fullName)];
    const inlined = table?.['$inline'] ?? [];
    const spelled = new Map(Object.keys(table ?? {}).map((name) => [protobufName(name).toLowerCase(), name]));
    const fields = type.fieldsArray.map((field): MessageField => {
      field.resolve();
      const target = field.resolvedType instanceof protobuf.Type ? field.resolvedType : undefined;
      const json = spelled.get(field.name.toLowerCase()) ?? field.name;
      const flag = table?.[json];
      return {
        name: field.name,
        id: field.id,
        json,
        repeated: field.repeated,
        map: field.map,
        scalar: field.type,
        type: target,
        pointer: typeof flag === 'string' && flag.startsWith('*'),
        inline: flag === undefined && target !== undefined && inlined.includes(target.name),
      };
    });
    this.#fields.set(type, fields);
    return fields;
  }
}

let messages: Messages | undefined;

/** Loaded on first use (about 50 ms, then kept). */
export function loadMessages(): Messages {
  messages ??= new Messages();
  return messages;
}
