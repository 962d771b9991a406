/** Changes of fields as lines of text. */

/** A field that changed, as the history endpoint tells of it: without a value where there was, or is, no such field. */
export interface ShownField {
  readonly path: string;
  readonly old?: unknown;
  readonly new?: unknown;
}

const MAX_VALUE = 80;

function valueText(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length <= MAX_VALUE ? text : `${text.slice(0, MAX_VALUE - 1)}…`;
}

/** `+ path: new`, `- path: old`, `~ path: old -> new`. */
export function fieldLine(field: ShownField): string {
  // What has no path is the object itself.
  const path = field.path || 'the object';
  if (field.old === undefined) return `+ ${path}: ${valueText(field.new)}`;
  if (field.new === undefined) return `- ${path}: ${valueText(field.old)}`;
  return `~ ${path}: ${valueText(field.old)} -> ${valueText(field.new)}`;
}
