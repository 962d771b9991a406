/** Server-side tables (`meta.k8s.io/v1 Table`): what `kubectl get` prints. */
import type { KubeObject } from '../../../api/object.js';
import type { ResourceInfo } from '../../../api/schema/registry.js';
import { COLUMNS } from './columns.js';
import { storageClassName } from './configuration-columns.js';
import { ageOf, sinceText, type Cell, type Column } from './cells.js';

export interface TableOptions {
  readonly metaVersion: 'v1' | 'v1beta1';
  /** `None`, `Metadata` or `Object`. */
  readonly includeObject: string;
  readonly nowMs: number;
}

const NAME_DESCRIPTION = 'Name must be unique within a namespace.';
const DEFAULT_COLUMNS: readonly Column[] = [{ name: 'Age', value: ({ object, nowMs }) => ageOf(object, nowMs) }];

/** Metadata alone, as `meta.k8s.io` shows it. */
export const partialOf = (object: KubeObject, metaVersion: string) => ({
  kind: 'PartialObjectMetadata',
  apiVersion: `meta.k8s.io/${metaVersion}`,
  metadata: object.metadata,
});

function definitionOf({ name, type, priority, format, description }: Column) {
  return {
    name,
    type: type ?? 'string',
    format: format ?? '',
    description: description ?? '',
    priority: priority ?? 0,
  };
}

function embedded(object: KubeObject, { includeObject, metaVersion }: TableOptions): object {
  if (includeObject === 'None') return {};
  return { object: includeObject === 'Object' ? object : partialOf(object, metaVersion) };
}

/** A custom resource's columns come from its definition. */
function columnsFor(info: ResourceInfo): readonly Column[] {
  if (info.rules === undefined) return COLUMNS[`${info.group}/${info.resource}`] ?? DEFAULT_COLUMNS;
  return info.rules.columns.map((column) => ({
    ...column,
    value: ({ object, nowMs }) => {
      const value = column.value(object);
      return column.type === 'date' && typeof value === 'string' ? sinceText(value, nowMs) : value;
    },
  }));
}

/** Events are told apart by what they are about; their names come last, and only when asked for more. */
const hasNameColumn = ({ kind, group }: ResourceInfo) =>
  kind !== 'Event' || (group !== '' && group !== 'events.k8s.io');

const NAME = { name: 'Name', type: 'string', format: 'name', description: NAME_DESCRIPTION, priority: 0 };

const nameOf = ({ group, resource }: ResourceInfo, object: KubeObject) =>
  group === 'storage.k8s.io' && resource === 'storageclasses' ? storageClassName(object) : (object.metadata.name ?? '');

export function tableFor(info: ResourceInfo, objects: readonly KubeObject[], options: TableOptions) {
  const columns = columnsFor(info);
  const named = hasNameColumn(info);
  const rows = objects.map((object) => {
    const cells: Cell[] = named ? [nameOf(info, object)] : [];
    // A bookmark's object has nothing to show.
    const bare = object.metadata.name === undefined;
    for (const column of columns) cells.push(bare ? '' : column.value({ object, nowMs: options.nowMs }));
    return { cells, ...embedded(object, options) };
  });
  const only = objects.length === 1 ? objects[0]?.metadata.resourceVersion : undefined;
  return {
    kind: 'Table',
    apiVersion: `meta.k8s.io/${options.metaVersion}`,
    metadata: only === undefined ? {} : { resourceVersion: only },
    columnDefinitions: [...(named ? [NAME] : []), ...columns.map(definitionOf)],
    rows,
  };
}
