/** Which representation a client accepts, as upstream's content negotiation chooses it. */
import { PROTOBUF_MEDIA_TYPE } from '../../../api/body.js';
import { ApiError } from '../../../api/errors.js';
import type { Format } from '../reads/formats.js';

export interface Representation {
  readonly format: Format;
  /** How objects are shown. */
  readonly as: 'object' | 'table' | 'partial';
  /** The version of `meta.k8s.io` for tables and partial metadata. */
  readonly metaVersion: 'v1' | 'v1beta1';
}

/** What an endpoint has to offer. */
export interface Offer {
  /** Reviews, which are not stored, have no tables. */
  readonly tables?: boolean;
  /** Failures are neither tables nor partial metadata, and discovery documents are not either. */
  readonly transforms?: boolean;
  /** Custom resources have no messages of their own; their metadata has. */
  readonly protobuf?: boolean;
}

interface MediaType {
  readonly type: string;
  readonly parameters: ReadonlyMap<string, string>;
}

const PLAIN: Representation = { format: 'json', as: 'object', metaVersion: 'v1' };

/** In the order in which wildcards are served. */
const MEDIA_TYPES: Readonly<Record<string, Format>> = {
  'application/json': 'json',
  'application/yaml': 'yaml',
  [PROTOBUF_MEDIA_TYPE]: 'protobuf',
};
const ACCEPTED = Object.keys(MEDIA_TYPES).join(', ');

/** 0 for a type that is named, more for a range of types. */
function breadthOf(type: string): number {
  if (type.startsWith('*/')) return 2;
  return type.endsWith('/*') ? 1 : 0;
}

/** The accepted media types by falling quality, then what is named before wildcards, then in the client's order. */
export function parseAccept(header: string | undefined): MediaType[] {
  const entries = (header ?? '').split(',').map((entry, index) => {
    const [type = '', ...rest] = entry.split(';').map((part) => part.trim());
    const parameters = new Map(
      rest.map((part): [string, string] => {
        const [name = '', value = ''] = part.split('=');
        return [name.trim(), value.trim().replace(/^"|"$/g, '')];
      }),
    );
    const quality = Number(parameters.get('q') ?? 1);
    const named = type.toLowerCase();
    return { type: named, parameters, quality: Number.isNaN(quality) ? 1 : quality, breadth: breadthOf(named), index };
  });
  return entries
    .filter(({ type }) => type !== '')
    .toSorted((a, b) => b.quality - a.quality || a.breadth - b.breadth || a.index - b.index);
}

function representationOf({ type, parameters }: MediaType, offer: Offer): Representation | undefined {
  const format = type === '*/*' || type === 'application/*' ? 'json' : MEDIA_TYPES[type];
  if (format === undefined) return undefined;
  const as = parameters.get('as');
  if (as === undefined) return format === 'protobuf' && offer.protobuf === false ? undefined : { ...PLAIN, format };
  const version = parameters.get('v');
  if (parameters.get('g') !== 'meta.k8s.io' || (version !== 'v1' && version !== 'v1beta1')) return undefined;
  if (offer.transforms === false) return undefined;
  // A Table has no message: its cells are of any type.
  if (as === 'Table' && offer.tables !== false && format !== 'protobuf') {
    return { format, as: 'table', metaVersion: version };
  }
  if (as === 'PartialObjectMetadata' || as === 'PartialObjectMetadataList') {
    return { format, as: 'partial', metaVersion: version };
  }
  return undefined;
}

/** Throws a 406 when the client accepts nothing that there is. */
export function negotiate(header: string | undefined, offer: Offer = {}): Representation {
  const accepted = parseAccept(header);
  if (accepted.length === 0) return PLAIN;
  for (const entry of accepted) {
    const found = representationOf(entry, offer);
    if (found) return found;
  }
  throw new ApiError(406, 'NotAcceptable', `only the following media types are accepted: ${ACCEPTED}`);
}

/** How what is always shown whole is encoded, failures above all: JSON when the client accepts none, as that would hide them. */
export function plainFormat(header: string | undefined): Format {
  try {
    return negotiate(header, { transforms: false }).format;
  } catch {
    return 'json';
  }
}
