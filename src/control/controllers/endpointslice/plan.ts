/**
 * Packs endpoints into slices with few writes: what is in a slice stays there, changes touch only the slices that hold what
 * changed, and new endpoints go first to slices that are written anyway. Pure.
 */
import { isDeepStrictEqual } from 'node:util';
import type { ObjectMeta } from '../../../api/object.js';
import type { Endpoint, EndpointPort, EndpointSlice } from '../../../api/types/discovery-v1.js';

export const SERVICE_NAME = 'kubernetes.io/service-name';
export const MANAGED_BY = 'endpointslice.kubernetes.io/managed-by';

type AddressType = EndpointSlice['addressType'];

/** Endpoints that share ports, so that they may share a slice. */
export interface EndpointGroup {
  readonly addressType: AddressType;
  readonly ports: EndpointPort[];
  readonly endpoints: readonly Endpoint[];
}

export interface SliceInput {
  readonly groups: readonly EndpointGroup[];
  /** The slices this controller made for the Service. */
  readonly existing: readonly EndpointSlice[];
  /** Of new slices, with `generateName`; labels and owners are brought to all. */
  readonly metadata: ObjectMeta;
  /** Endpoints in one slice at most. */
  readonly maxEndpoints: number;
  /** For each of these, an empty slice says that there are no endpoints. */
  readonly placeholders: readonly AddressType[];
}

export interface SlicePlan {
  readonly create: readonly EndpointSlice[];
  readonly update: readonly EndpointSlice[];
  readonly remove: readonly EndpointSlice[];
}

interface Draft {
  readonly slice: EndpointSlice;
  readonly endpoints: Endpoint[];
  changed: boolean;
}

const keyOfGroup = (addressType: string, ports: readonly EndpointPort[] | undefined) =>
  `${addressType} ${JSON.stringify((ports ?? []).map(({ name, port, protocol, appProtocol }) => [name ?? '', port, protocol, appProtocol]))}`;
const idOf = ({ targetRef, addresses }: Endpoint) => targetRef?.uid ?? addresses.join(',');

export function planSlices(input: SliceInput): SlicePlan {
  const create: EndpointSlice[] = [];
  const update: EndpointSlice[] = [];
  const free: EndpointSlice[] = [];
  const unused = new Set(input.existing);
  const filled = new Set<string>();
  for (const group of merged(input.groups)) {
    if (group.endpoints.length === 0) continue;
    filled.add(group.addressType);
    const key = keyOfGroup(group.addressType, group.ports);
    const own = input.existing.filter((slice) => keyOfGroup(slice.addressType, slice.ports) === key);
    for (const slice of own) unused.delete(slice);
    const { drafts, added } = pack(group, own, input.maxEndpoints);
    for (const draft of drafts) {
      if (draft.endpoints.length === 0) free.push(draft.slice);
      else addIfChanged(update, draft.slice, withContent(input, draft.slice, group.ports, draft.endpoints));
    }
    for (const endpoints of added) create.push(newSlice(input, group.addressType, group.ports, endpoints));
  }
  free.push(...unused);
  const remove = new Set(free);
  for (const addressType of input.placeholders) {
    if (filled.has(addressType)) continue;
    const reused = free.find((slice) => slice.addressType === addressType);
    if (!reused) {
      create.push(newSlice(input, addressType, [], []));
      continue;
    }
    remove.delete(reused);
    addIfChanged(update, reused, withContent(input, reused, [], []));
  }
  return { create, update, remove: [...remove] };
}

/** One group for each address type and ports: two of the same would take each other's slices. */
function merged(groups: readonly EndpointGroup[]): EndpointGroup[] {
  const byKey = new Map<string, EndpointGroup>();
  for (const group of groups) {
    const key = keyOfGroup(group.addressType, group.ports);
    const before = byKey.get(key);
    byKey.set(key, before ? { ...before, endpoints: [...before.endpoints, ...group.endpoints] } : group);
  }
  return [...byKey.values()];
}

/** Where each endpoint of the group goes: in a slice it is in, one with room, or a new one. */
function pack(
  group: EndpointGroup,
  own: readonly EndpointSlice[],
  max: number,
): { drafts: Draft[]; added: Endpoint[][] } {
  const waiting = new Map(group.endpoints.map((endpoint) => [idOf(endpoint), endpoint]));
  const drafts = own.map((slice): Draft => {
    const draft: Draft = { slice, endpoints: [], changed: false };
    for (const present of slice.endpoints ?? []) {
      const wanted = waiting.get(idOf(present));
      if (wanted && draft.endpoints.length < max) {
        draft.endpoints.push(wanted);
        waiting.delete(idOf(present));
        draft.changed ||= !isDeepStrictEqual(wanted, present);
      } else draft.changed = true;
    }
    return draft;
  });
  const rest = [...waiting.values()];
  const byUse = [...drafts].sort(
    (a, b) => Number(b.changed) - Number(a.changed) || b.endpoints.length - a.endpoints.length,
  );
  for (const draft of byUse) {
    draft.endpoints.push(...rest.splice(0, Math.max(0, max - draft.endpoints.length)));
  }
  const added: Endpoint[][] = [];
  while (rest.length > 0) added.push(rest.splice(0, max));
  return { drafts, added };
}

function addIfChanged(update: EndpointSlice[], before: EndpointSlice, after: EndpointSlice): void {
  if (!isDeepStrictEqual(before, after)) update.push(after);
}

function withContent(
  { metadata }: SliceInput,
  slice: EndpointSlice,
  ports: EndpointPort[],
  endpoints: Endpoint[],
): EndpointSlice {
  const { labels = {}, ownerReferences = [] } = metadata;
  return { ...slice, metadata: { ...slice.metadata, labels, ownerReferences }, ports, endpoints };
}

function newSlice(
  { metadata }: SliceInput,
  addressType: AddressType,
  ports: EndpointPort[],
  endpoints: Endpoint[],
): EndpointSlice {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: structuredClone(metadata),
    addressType,
    ports,
    endpoints,
  };
}
