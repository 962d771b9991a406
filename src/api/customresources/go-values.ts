/** How Go prints values in field errors. */

/** `%v` of a number: large ones with an exponent. */
export function goNumber(value: number): string {
  if (Number.isInteger(value) && Math.abs(value) < 1e21) return String(value);
  return String(value).replace(/e([+-])(\d)$/, 'e$10$2');
}

/** A value behind `Invalid value: ` (`%#v` for lists and maps). */
export function goValue(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'number') return goNumber(value);
  if (typeof value === 'boolean') return String(value);
  return value === null || value === undefined ? '"null"' : goLiteral(value);
}

function goLiteral(value: unknown): string {
  if (value === null || value === undefined) return 'interface {}(nil)';
  if (Array.isArray(value)) return `[]interface {}{${value.map(goLiteral).join(', ')}}`;
  if (typeof value === 'object') {
    const record = value as Record<string, unknown>;
    const entries = Object.keys(record)
      .toSorted()
      .map((key) => `${JSON.stringify(key)}:${goLiteral(record[key])}`);
    return `map[string]interface {}{${entries.join(', ')}}`;
  }
  return goValue(value);
}
