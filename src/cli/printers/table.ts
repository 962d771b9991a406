/** Tables as the server makes them (`meta.k8s.io/v1` Table), printed as kubectl prints them. */
import type { KubeObject } from '../../api/object.js';

export interface ServerTable {
  readonly kind?: string;
  readonly metadata?: { readonly resourceVersion?: string };
  /** Null in all events of a watch but the first. */
  readonly columnDefinitions?: readonly { readonly name: string; readonly priority?: number }[] | null;
  readonly rows?: readonly TableRow[] | null;
}

export interface TableRow {
  readonly cells: readonly unknown[];
  readonly object?: KubeObject;
}

export const TABLE_ACCEPT = 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json';

export interface TableStyle {
  /** Also the columns of priority 1 and more. */
  readonly wide: boolean;
  readonly withHeader: boolean;
  readonly withNamespace: boolean;
  readonly withLabels: boolean;
  /** Before each name: `deployment.apps/`. */
  readonly prefix: string;
}

/** Rows of text; the first is the header when asked for. `names` are the columns of an earlier event of the same watch. */
export function tableRows(table: ServerTable, style: TableStyle, known?: ServerTable['columnDefinitions']): string[][] {
  const definitions = table.columnDefinitions ?? known ?? [];
  const shown = definitions.flatMap(({ priority = 0 }, i) => (priority === 0 || style.wide ? [i] : []));
  const body = (table.rows ?? []).map(({ cells, object }) => {
    const namespace = object?.metadata?.namespace ?? '';
    const row = shown.map((i) => {
      const text = cellText(cells[i]);
      return definitions[i]?.name === 'Name' ? `${style.prefix}${text}` : text;
    });
    return [...(style.withNamespace ? [namespace] : []), ...row, ...(style.withLabels ? [labelText(object)] : [])];
  });
  if (!style.withHeader) return body;
  const header = shown.map((i) => (definitions[i]?.name ?? '').toUpperCase());
  return [[...(style.withNamespace ? ['NAMESPACE'] : []), ...header, ...(style.withLabels ? ['LABELS'] : [])], ...body];
}

const cellText = (cell: unknown): string => {
  if (cell === null || cell === undefined) return '';
  return typeof cell === 'object' ? JSON.stringify(cell) : String(cell as string | number | boolean);
};

function labelText(object: KubeObject | undefined): string {
  const labels = Object.entries(object?.metadata?.labels ?? {});
  if (labels.length === 0) return '<none>';
  return labels
    .map(([key, value]) => `${key}=${value}`)
    .toSorted()
    .join(',');
}
