/** The formats of answers: what clients can be given, and how it is encoded. */
import { stringify } from 'yaml';
import { PROTOBUF_MEDIA_TYPE } from '../../../api/body.js';
import * as json from './encoding.js';
import * as protobuf from './protobuf-encoding.js';

export type Format = 'json' | 'yaml' | 'protobuf';

export interface Encoding {
  readonly contentType: string;
  /** One object with its `apiVersion` and `kind`. */
  readonly object: (object: object) => Buffer;
  /** A list from its head (without `items`) and its items. */
  readonly list: (head: object, items: readonly object[]) => Buffer;
  /** Events one after another; undefined for a format that has no streams. */
  readonly watch:
    { readonly contentType: string; readonly frame: (type: string, object: object) => Buffer } | undefined;
}

/** Encodings of frozen objects are remembered; YAML, which is for people, is not. */
export const FORMATS: Readonly<Record<Format, Encoding>> = {
  json: {
    contentType: 'application/json',
    object: json.encodeObject,
    list: json.encodeList,
    watch: { contentType: 'application/json', frame: json.encodeWatchFrame },
  },
  yaml: {
    contentType: 'application/yaml',
    object: (object) => Buffer.from(stringify(object)),
    list: (head, items) => Buffer.from(stringify({ ...head, items })),
    watch: undefined,
  },
  protobuf: {
    contentType: PROTOBUF_MEDIA_TYPE,
    object: protobuf.encodeObject,
    list: protobuf.encodeList,
    watch: { contentType: `${PROTOBUF_MEDIA_TYPE};stream=watch`, frame: protobuf.encodeWatchFrame },
  },
};
