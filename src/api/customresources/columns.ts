/** `additionalPrinterColumns`: what `kubectl get` shows of a custom resource. */
import type { KubeObject } from '../object.js';
import type { CustomResourceColumnDefinition } from '../types/apiextensions-v1.js';
import { goNumber } from './go-values.js';
import { JsonPath } from './json-path.js';
import type { PrinterColumn } from './rules.js';

const AGE: CustomResourceColumnDefinition = {
  name: 'Age',
  type: 'date',
  jsonPath: '.metadata.creationTimestamp',
  description:
    'CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata',
};

/** Without columns of its own a definition's objects show their age. */
export function printerColumns(columns: readonly CustomResourceColumnDefinition[] | undefined): PrinterColumn[] {
  return (columns === undefined || columns.length === 0 ? [AGE] : columns).map(columnOf);
}

function columnOf(column: CustomResourceColumnDefinition): PrinterColumn {
  const { name, type, jsonPath } = column;
  let path: JsonPath | undefined;
  return {
    name,
    type,
    format: column.format ?? '',
    description: column.description ?? `Custom resource definition column (in JSONPath format): ${jsonPath}`,
    priority: column.priority ?? 0,
    value: (object: KubeObject) => {
      const [value] = (path ??= JsonPath.parse(jsonPath)).find(object);
      return value === undefined ? null : cellOf(type, value);
    },
  };
}

function cellOf(type: string, value: unknown): string | number | boolean | null {
  switch (type) {
    case 'integer':
      return typeof value === 'number' ? Math.trunc(value) : null;
    case 'number':
      return typeof value === 'number' ? value : null;
    case 'boolean':
      return typeof value === 'boolean' ? value : null;
    case 'date':
      return typeof value === 'string' ? value : null;
    default:
      return textOf(value);
  }
}

function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  if (typeof value === 'number') return goNumber(value);
  return value === null ? '<nil>' : JSON.stringify(value);
}
