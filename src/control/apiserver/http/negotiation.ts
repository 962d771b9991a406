/** Which representation a client accepts. Answers are JSON (or YAML): protobuf clients accept JSON besides. */
import { ApiError } from '../../../api/errors.js';

export interface Representation {
  readonly format: 'json' | 'yaml';
  /** How objects are shown. */
  readonly as: 'object' | 'table' | 'partial';
  /** The version of `meta.k8s.io` for tables and partial metadata. */
  readonly metaVersion: 'v1' | 'v1beta1';
}

interface MediaType {
  readonly type: string;
  readonly parameters: ReadonlyMap<string, string>;
}

const PLAIN: Representation = { format: 'json', as: 'object', metaVersion: 'v1' };

/** The accepted media types in the client's order, by falling quality. */
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
    return { type: type.toLowerCase(), parameters, quality: Number.isNaN(quality) ? 1 : quality, index };
  });
  return entries.filter(({ type }) => type !== '').toSorted((a, b) => b.quality - a.quality || a.index - b.index);
}

function representationOf({ type, parameters }: MediaType): Representation | undefined {
  const json = ['application/json', 'application/*', '*/*'].includes(type);
  const yaml = type === 'application/yaml';
  if (!json && !yaml) return undefined;
  const as = parameters.get('as');
  const format = yaml ? 'yaml' : 'json';
  if (as === undefined) return { ...PLAIN, format };
  const version = parameters.get('v');
  if (parameters.get('g') !== 'meta.k8s.io' || (version !== 'v1' && version !== 'v1beta1')) return undefined;
  if (as === 'Table') return { format, as: 'table', metaVersion: version };
  if (as === 'PartialObjectMetadata' || as === 'PartialObjectMetadataList') {
    return { format, as: 'partial', metaVersion: version };
  }
  return undefined;
}

/** Throws a 406 when the client accepts nothing that there is. Reviews, which are not stored, have no tables. */
export function negotiate(header: string | undefined, { tables = true } = {}): Representation {
  const accepted = parseAccept(header);
  if (accepted.length === 0) return PLAIN;
  for (const entry of accepted) {
    const found = representationOf(entry);
    if (found && (tables || found.as !== 'table')) return found;
  }
  throw new ApiError(
    406,
    'NotAcceptable',
    'only the following media types are accepted: application/json, application/yaml',
  );
}
