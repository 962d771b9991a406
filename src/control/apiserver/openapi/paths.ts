/** The paths of OpenAPI documents: enough for clients to find a kind's operations and their parameters. */
import { PROTOBUF_MEDIA_TYPE } from '../../../api/body.js';
import type { ResourceInfo } from '../../../api/schema/registry.js';

export interface Operation {
  readonly method: 'get' | 'post' | 'put' | 'patch' | 'delete';
  readonly action: string;
}

const ITEM_OPERATIONS: readonly (Operation & { verb: string })[] = [
  { method: 'get', action: 'get', verb: 'get' },
  { method: 'put', action: 'put', verb: 'update' },
  { method: 'patch', action: 'patch', verb: 'patch' },
  { method: 'delete', action: 'delete', verb: 'delete' },
];
const COLLECTION_OPERATIONS: readonly (Operation & { verb: string })[] = [
  { method: 'get', action: 'list', verb: 'list' },
  { method: 'post', action: 'post', verb: 'create' },
  { method: 'delete', action: 'deletecollection', verb: 'deletecollection' },
];

export interface DescribedPath {
  readonly path: string;
  readonly info: ResourceInfo;
  readonly item: boolean;
  readonly operations: readonly Operation[];
}

export const groupRoot = (group: string, version: string) =>
  group === '' ? `/api/${version}` : `/apis/${group}/${version}`;

export function describedPaths(infos: readonly ResourceInfo[]): DescribedPath[] {
  return infos.flatMap((info) => {
    const root = groupRoot(info.group, info.version);
    const collection = `${root}/${info.namespaced ? 'namespaces/{namespace}/' : ''}${info.resource}`;
    const has = ({ verb }: { verb: string }) => info.verbs.includes(verb);
    const paths: DescribedPath[] = [
      { path: collection, info, item: false, operations: COLLECTION_OPERATIONS.filter(has) },
      { path: `${collection}/{name}`, info, item: true, operations: ITEM_OPERATIONS.filter(has) },
    ];
    return paths.filter(({ operations }) => operations.length > 0);
  });
}

export const WRITE_PARAMETERS = ['dryRun', 'fieldManager', 'fieldValidation'] as const;
const PATCH_TYPES = [
  'application/json-patch+json',
  'application/merge-patch+json',
  'application/strategic-merge-patch+json',
  'application/apply-patch+yaml',
] as const;

/** Custom resources know no strategic merge. */
export const patchTypes = ({ custom }: ResourceInfo): string[] =>
  PATCH_TYPES.filter((type) => !custom || type !== 'application/strategic-merge-patch+json');

/** Custom resources have no protobuf messages. */
export const producedTypes = ({ custom }: ResourceInfo): string[] => [
  'application/json',
  'application/yaml',
  ...(custom ? [] : [PROTOBUF_MEDIA_TYPE]),
];

export const isWrite = ({ method }: Operation) => method === 'post' || method === 'put' || method === 'patch';
