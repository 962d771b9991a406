/**
 * Kubernetes' JSONPath, as printer columns, scale paths and selectable fields use it: `.spec.replicas`, `['a.b']`, `a\.b`, `[0]`,
 * `[1:3]`, `[*]`, `[?(@.type=="Ready")]`, `..name`. Fields are named, never computed.
 */
type Step =
  | { readonly kind: 'field'; readonly name: string }
  | { readonly kind: 'index'; readonly index: number }
  | {
      readonly kind: 'slice';
      readonly from: number | undefined;
      readonly to: number | undefined;
      readonly step: number;
    }
  | { readonly kind: 'all' }
  | { readonly kind: 'recursive'; readonly name: string }
  | { readonly kind: 'filter'; readonly left: Operand; readonly operator: string; readonly right: Operand | undefined };

type Operand = { readonly path: JsonPath } | { readonly value: unknown };

export class JsonPathError extends Error {}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Steps that one path may have. */
const MAX_STEPS = 100;
const OPERATORS = ['==', '!=', '<=', '>=', '<', '>'];

export class JsonPath {
  private constructor(
    readonly text: string,
    private readonly steps: readonly Step[],
  ) {}

  /** Throws a {@link JsonPathError} with upstream's words. */
  static parse(text: string): JsonPath {
    return new JsonPath(text, new Parser(text).steps());
  }

  /** The names of a path that has only plain fields; undefined for any other. */
  get fields(): readonly string[] | undefined {
    const names: string[] = [];
    for (const step of this.steps) {
      if (step.kind !== 'field') return undefined;
      names.push(step.name);
    }
    return names;
  }

  /** All values that the path leads to. */
  find(root: unknown): unknown[] {
    let values: unknown[] = [root];
    for (const step of this.steps) {
      values = values.flatMap((value) => advance(value, step));
      if (values.length === 0) break;
    }
    return values;
  }
}

function advance(value: unknown, step: Step): unknown[] {
  switch (step.kind) {
    case 'field':
      return isRecord(value) && Object.hasOwn(value, step.name) ? [value[step.name]] : [];
    case 'index': {
      const item = Array.isArray(value) ? (value.at(step.index) as unknown) : undefined;
      return item === undefined ? [] : [item];
    }
    case 'slice': {
      if (!Array.isArray(value)) return [];
      return value.slice(step.from, step.to).filter((_item, index) => index % step.step === 0);
    }
    case 'all':
      return Array.isArray(value) ? (value as unknown[]) : isRecord(value) ? Object.values(value) : [];
    case 'recursive':
      return descend(value, step.name);
    case 'filter':
      return Array.isArray(value) ? value.filter((item) => holds(item, step)) : [];
  }
}

function descend(value: unknown, name: string): unknown[] {
  if (typeof value !== 'object' || value === null) return [];
  const own = isRecord(value) && Object.hasOwn(value, name) ? [value[name]] : [];
  return [...own, ...Object.values(value).flatMap((child) => descend(child, name))];
}

const operandOf = (operand: Operand, item: unknown): unknown =>
  'path' in operand ? operand.path.find(item)[0] : operand.value;

function holds(item: unknown, { left, operator, right }: Step & { kind: 'filter' }): boolean {
  const a = operandOf(left, item);
  if (right === undefined) return a !== undefined;
  const b = operandOf(right, item);
  if (a === undefined || b === undefined || typeof a !== typeof b) return false;
  switch (operator) {
    case '==':
      return a === b;
    case '!=':
      return a !== b;
    case '<':
      return (a as number) < (b as number);
    case '<=':
      return (a as number) <= (b as number);
    case '>':
      return (a as number) > (b as number);
    default:
      return (a as number) >= (b as number);
  }
}

class Parser {
  private at = 0;

  constructor(private readonly text: string) {}

  steps(): Step[] {
    const steps: Step[] = [];
    if (this.text.startsWith('$')) this.at = 1;
    while (this.at < this.text.length) {
      if (steps.length >= MAX_STEPS) throw new JsonPathError(`path is longer than ${MAX_STEPS} steps`);
      const step = this.step();
      if (step !== undefined) steps.push(step);
    }
    return steps;
  }

  private step(): Step | undefined {
    const char = this.text.charAt(this.at);
    if (char === '[') return this.bracket();
    if (char !== '.') {
      if (this.at > 0) throw new JsonPathError(`unexpected character '${char}' in ${JSON.stringify(this.text)}`);
      return this.named('field');
    }
    this.at += 1;
    if (this.text.charAt(this.at) === '.') {
      this.at += 1;
      return this.named('recursive');
    }
    if (this.text.charAt(this.at) === '[' || this.at >= this.text.length) return undefined;
    if (this.text.charAt(this.at) === '*') {
      this.at += 1;
      return { kind: 'all' };
    }
    return this.named('field');
  }

  private named(kind: 'field' | 'recursive'): Step {
    let name = '';
    for (; this.at < this.text.length; this.at++) {
      const char = this.text.charAt(this.at);
      if (char === '\\' && this.at + 1 < this.text.length) name += this.text.charAt(++this.at);
      else if (char === '.' || char === '[') break;
      else if (/[\s{}()'"$@?,;]/.test(char)) {
        throw new JsonPathError(`unrecognized character in action: U+${hex(char)} '${char}'`);
      } else name += char;
    }
    if (name === '') throw new JsonPathError(`invalid path ${JSON.stringify(this.text)}: a field name is missing`);
    return { kind, name };
  }

  private bracket(): Step {
    const end = this.closing();
    const inner = this.text.slice(this.at + 1, end).trim();
    this.at = end + 1;
    if (inner === '*') return { kind: 'all' };
    const quoted = /^'((?:[^'\\]|\\.)*)'$|^"((?:[^"\\]|\\.)*)"$/.exec(inner);
    if (quoted) return { kind: 'field', name: (quoted[1] ?? quoted[2] ?? '').replace(/\\(.)/g, '$1') };
    if (inner.startsWith('?(') && inner.endsWith(')')) return filterOf(inner.slice(2, -1));
    if (/^-?\d+$/.test(inner)) return { kind: 'index', index: Number(inner) };
    const slice = /^(-?\d*):(-?\d*)(?::(\d+))?$/.exec(inner);
    if (!slice) throw new JsonPathError(`invalid array index ${inner}`);
    const number = (part: string | undefined) => (part ? Number(part) : undefined);
    return { kind: 'slice', from: number(slice[1]), to: number(slice[2]), step: Math.max(1, number(slice[3]) ?? 1) };
  }

  /** The index of the bracket that closes the one here. */
  private closing(): number {
    let depth = 0;
    let quote = '';
    for (let i = this.at; i < this.text.length; i++) {
      const char = this.text.charAt(i);
      if (quote !== '') {
        if (char === '\\') i += 1;
        else if (char === quote) quote = '';
      } else if (char === "'" || char === '"') quote = char;
      else if (char === '[') depth += 1;
      else if (char === ']' && --depth === 0) return i;
    }
    throw new JsonPathError('unterminated array');
  }
}

const hex = (char: string) => (char.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0');

function filterOf(text: string): Step {
  for (const operator of OPERATORS) {
    const index = unquotedIndex(text, operator);
    if (index < 0) continue;
    return {
      kind: 'filter',
      left: operand(text.slice(0, index)),
      operator,
      right: operand(text.slice(index + operator.length)),
    };
  }
  return { kind: 'filter', left: operand(text), operator: 'exists', right: undefined };
}

function unquotedIndex(text: string, part: string): number {
  let quote = '';
  for (let i = 0; i < text.length; i++) {
    const char = text.charAt(i);
    if (quote !== '') {
      if (char === quote) quote = '';
    } else if (char === "'" || char === '"') quote = char;
    else if (text.startsWith(part, i)) return i;
  }
  return -1;
}

function operand(text: string): Operand {
  const trimmed = text.trim();
  if (trimmed.startsWith('@')) return { path: JsonPath.parse(trimmed.slice(1)) };
  const quoted = /^(['"])(.*)\1$/s.exec(trimmed);
  if (quoted) return { value: quoted[2] };
  if (trimmed === 'true' || trimmed === 'false') return { value: trimmed === 'true' };
  if (trimmed !== '' && !Number.isNaN(Number(trimmed))) return { value: Number(trimmed) };
  throw new JsonPathError(`invalid filter ${JSON.stringify(text)}`);
}
