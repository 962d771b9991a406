/** Collects the errors of one validation, worded as apimachinery's `field.Error`. */
import type { FieldError } from '../errors.js';
import type { NameCheck } from '../names.js';

const quote = (text: string) => JSON.stringify(text);

/** A value as Go's error text shows it. */
function shown(value: unknown): string {
  if (typeof value === 'string') return quote(value);
  if (value === undefined || value === null) return 'null';
  return JSON.stringify(value);
}

/** `map[string]string{"a":"b"}`: how Go prints label maps. */
export function goMap(map: Readonly<Record<string, string>> | undefined): string {
  if (map === undefined) return 'map[string]string(nil)';
  const entries = Object.keys(map)
    .toSorted()
    .map((key) => `${quote(key)}:${quote(map[key] ?? '')}`);
  return `map[string]string{${entries.join(', ')}}`;
}

export class FieldErrors {
  readonly list: FieldError[] = [];

  required(field: string, detail = ''): void {
    this.list.push({ type: 'FieldValueRequired', field, message: `Required value${detail && `: ${detail}`}` });
  }

  invalid(field: string, value: unknown, detail: string): void {
    this.invalidText(field, shown(value), detail);
  }

  /** Like `invalid`, with the value's text given. */
  invalidText(field: string, text: string, detail: string): void {
    this.list.push({ type: 'FieldValueInvalid', field, message: `Invalid value: ${text}: ${detail}` });
  }

  immutable(field: string, value: unknown): void {
    this.invalid(field, value, 'field is immutable');
  }

  notSupported(field: string, value: unknown, supported: readonly string[]): void {
    this.list.push({
      type: 'FieldValueNotSupported',
      field,
      message: `Unsupported value: ${shown(value)}: supported values: ${supported.map(quote).join(', ')}`,
    });
  }

  duplicate(field: string, value: unknown): void {
    this.list.push({ type: 'FieldValueDuplicate', field, message: `Duplicate value: ${shown(value)}` });
  }

  forbidden(field: string, detail: string): void {
    this.list.push({ type: 'FieldValueForbidden', field, message: `Forbidden: ${detail}` });
  }

  notFound(field: string, value: unknown): void {
    this.list.push({ type: 'FieldValueNotFound', field, message: `Not found: ${shown(value)}` });
  }

  tooLong(field: string, limit: number): void {
    this.list.push({ type: 'FieldValueTooLong', field, message: `Too long: may not be more than ${limit} bytes` });
  }

  tooMany(field: string, actual: number, limit: number): void {
    this.list.push({
      type: 'FieldValueTooMany',
      field,
      message: `Too many: ${actual}: must have at most ${limit} items`,
    });
  }

  /** Runs a syntax check of `names.ts`; one error for each complaint. */
  check(field: string, value: string, rule: NameCheck): void {
    for (const detail of rule(value)) this.invalid(field, value, detail);
  }

  nonNegative(field: string, value: number | undefined): void {
    if (value !== undefined && value < 0) this.invalid(field, value, 'must be greater than or equal to 0');
  }

  positive(field: string, value: number | undefined): void {
    if (value !== undefined && value <= 0) this.invalid(field, value, 'must be greater than 0');
  }

  /** Complains about a whole number outside of the bounds, both of which are allowed. */
  between(field: string, value: number | undefined, low: number, high: number): void {
    if (value !== undefined && (value < low || value > high)) {
      this.invalid(field, value, `must be between ${low} and ${high}, inclusive`);
    }
  }

  /** Complains about a text that is absent or empty; tells whether there is one. */
  present(field: string, value: string | undefined, detail = ''): value is string {
    if (value) return true;
    this.required(field, detail);
    return false;
  }

  /** Checks a text that must be there. */
  requiredName(field: string, value: string | undefined, rule: NameCheck, detail = ''): void {
    if (this.present(field, value, detail)) this.check(field, value, rule);
  }

  /** Checks a text unless it is absent or empty. */
  optionalName(field: string, value: string | undefined, rule: NameCheck): void {
    if (value) this.check(field, value, rule);
  }

  /** A text out of a set, which must be there. */
  requiredOneOf(field: string, value: string | undefined, supported: readonly string[]): void {
    if (this.present(field, value)) this.oneOf(field, value, supported);
  }

  oneOf(field: string, value: string | undefined, supported: readonly string[]): void {
    if (value !== undefined && !supported.includes(value)) this.notSupported(field, value, supported);
  }
}
