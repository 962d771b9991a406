/** The 409 of an apply that others stand against. */
import { ApiError, type StatusCause } from '../errors.js';
import type { ManagedFieldsEntry } from '../types/meta-v1.js';
import { forEachPath } from './field-set.js';
import type { ManagerConflict } from './ownership.js';
import { pathText } from './path-element.js';

function managerText({ manager, operation, apiVersion, subresource }: ManagedFieldsEntry): string {
  const through = subresource ? ` with subresource ${JSON.stringify(subresource)}` : '';
  return `${JSON.stringify(manager)}${through}${operation === 'Update' ? ` using ${apiVersion}` : ''}`;
}

/** Upstream's error: one cause for each path of each manager. */
export function applyConflict(conflicts: readonly ManagerConflict[]): ApiError {
  const causes: StatusCause[] = [];
  const lines: string[] = [];
  let single = '';
  for (const { entry, paths } of conflicts) {
    const who = managerText(entry);
    lines.push(`conflicts with ${who}:`);
    forEachPath(paths, (path) => {
      const field = pathText(path);
      single = `conflict with ${who}: ${field}`;
      lines.push(`- ${field}`);
      causes.push({ reason: 'FieldManagerConflict', message: `conflict with ${who}`, field });
    });
  }
  const message =
    causes.length === 1
      ? `Apply failed with 1 conflict: ${single}`
      : `Apply failed with ${causes.length} conflicts: ${lines.join('\n')}`;
  return new ApiError(409, 'Conflict', message, { causes });
}
