/** Answers with objects and lists of one kind, in the representation that the client accepts. */
import type { KubeObject } from '../../../api/object.js';
import { apiVersionOf } from '../../../api/resource.js';
import type { ResourceInfo } from '../../../api/schema/registry.js';
import { FORMATS } from '../reads/formats.js';
import { partialOf, tableFor } from '../tables/table.js';
import type { ApiRequest, ApiResponse } from './exchange.js';
import { negotiate, type Representation } from './negotiation.js';
import { sendBytes, sendObject } from './response.js';

export interface ObjectCall {
  readonly request: ApiRequest;
  readonly response: ApiResponse;
  readonly query: URLSearchParams;
  readonly info: ResourceInfo;
}

export interface ListedObjects {
  readonly metadata: object;
  readonly items: readonly KubeObject[];
}

/** Throws a 406 when the client accepts nothing that there is of this kind. */
export const representationFor = ({ request, info }: Pick<ObjectCall, 'request' | 'info'>): Representation =>
  negotiate(request.headers.accept, { protobuf: !info.custom });

function tableOf(
  { info, query }: ObjectCall,
  items: readonly KubeObject[],
  { metaVersion }: Representation,
  nowMs: number,
) {
  return tableFor(info, items, { metaVersion, includeObject: query.get('includeObject') ?? 'Metadata', nowMs });
}

/** One object: of the kind itself, or what else is answered about it (`Scale`, `Status`), which is always shown whole. */
export function sendOne(
  call: ObjectCall,
  code: number,
  object: KubeObject,
  shown: Representation,
  nowMs: number,
  warnings: readonly string[] = [],
): Promise<void> {
  const { request, response, info } = call;
  let view: object = object;
  if (object.kind === info.kind) {
    if (shown.as === 'table') view = tableOf(call, [object], shown, nowMs);
    else if (shown.as === 'partial') view = partialOf(object, shown.metaVersion);
  }
  return sendObject(request, response, code, view, shown.format, { warnings });
}

export function sendList(
  call: ObjectCall,
  { metadata, items }: ListedObjects,
  shown: Representation,
  nowMs: number,
  warnings: readonly string[] = [],
): Promise<void> {
  const { request, response, info } = call;
  if (shown.as === 'table') {
    const table = { ...tableOf(call, items, shown, nowMs), metadata };
    return sendObject(request, response, 200, table, shown.format, { warnings });
  }
  const { contentType, list } = FORMATS[shown.format];
  const partial = shown.as === 'partial';
  const head = partial
    ? { kind: 'PartialObjectMetadataList', apiVersion: `meta.k8s.io/${shown.metaVersion}`, metadata }
    : { kind: info.listKind, apiVersion: apiVersionOf(info), metadata };
  const views = partial ? items.map((item) => partialOf(item, shown.metaVersion)) : items;
  return sendBytes(request, response, 200, list(head, views), { contentType, warnings });
}
