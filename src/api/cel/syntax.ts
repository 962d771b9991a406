/** Expressions as trees with positions as cel-go reports them. The grammar itself is cel-js's. */
import { Environment, ParseError } from '@marcbachmann/cel-js';
import { UnsignedInt } from '@marcbachmann/cel-js/evaluator';
import type { ASTNode } from '@marcbachmann/cel-js';
import { CelUint, type Value } from './values.js';

export type Expr = { readonly at: number } & (
  | { readonly kind: 'literal'; readonly value: Value }
  | { readonly kind: 'ident'; readonly name: string }
  | { readonly kind: 'select'; readonly operand: Expr; readonly field: string; readonly optional: boolean }
  | { readonly kind: 'index'; readonly operand: Expr; readonly index: Expr; readonly optional: boolean }
  | { readonly kind: 'call'; readonly name: string; readonly target: Expr | undefined; readonly args: readonly Expr[] }
  | { readonly kind: 'list'; readonly items: readonly Expr[] }
  | { readonly kind: 'map'; readonly entries: readonly (readonly [Expr, Expr])[] }
  | { readonly kind: 'and' | 'or'; readonly left: Expr; readonly right: Expr }
  | { readonly kind: 'ternary'; readonly test: Expr; readonly yes: Expr; readonly no: Expr }
);

/** One finding of the parser or the checker; `at` is an offset into the expression. */
export interface Issue {
  readonly at: number;
  readonly message: string;
}

/** Characters of one expression; nodes and nesting are limited beside it. */
export const MAX_EXPRESSION_LENGTH = 100_000;
const LIMITS = {
  maxAstNodes: 20_000,
  maxDepth: 250,
  maxListElements: 2_000,
  maxMapEntries: 2_000,
  maxCallArguments: 32,
};

let environment: Environment | undefined;

/** Throws nothing: a wrong expression gives its first issue. */
export function parseExpression(source: string): { expr: Expr } | { issue: Issue } {
  if (source.length > MAX_EXPRESSION_LENGTH) {
    const message = `expression code point size exceeds limit: size: ${source.length}, limit ${MAX_EXPRESSION_LENGTH}`;
    return { issue: { at: 0, message } };
  }
  environment ??= new Environment({ enableOptionalTypes: true, limits: LIMITS });
  try {
    return { expr: convert(environment.parse(source).ast, source) };
  } catch (error) {
    if (!(error instanceof ParseError)) throw error;
    return { issue: { at: error.range?.start ?? 0, message: syntaxMessage(error, source) } };
  }
}

function syntaxMessage(error: ParseError, source: string): string {
  const start = error.range?.start ?? 0;
  if (error.code === 'reserved_identifier') return error.summary.replace(/^R/, 'r');
  const token = start >= source.length ? '<EOF>' : source.slice(start, Math.max(start + 1, error.range?.end ?? 0));
  switch (error.code) {
    case 'unexpected_token':
    case 'expected_token':
      return `Syntax error: mismatched input '${token}': ${error.summary}`;
    case 'unexpected_character':
      return `Syntax error: token recognition error at: '${token}'`;
    default:
      return `Syntax error: ${error.summary}`;
  }
}

const OPERATORS: Readonly<Record<string, string>> = {
  '==': '_==_',
  '!=': '_!=_',
  in: '@in',
  '+': '_+_',
  '-': '_-_',
  '*': '_*_',
  '/': '_/_',
  '%': '_%_',
  '<': '_<_',
  '<=': '_<=_',
  '>': '_>_',
  '>=': '_>=_',
};

const operatorAt = (source: string, from: number, operator: string): number => {
  const at = source.indexOf(operator, from);
  return at < 0 ? from : at;
};

/** The last `text` before `end`. */
const before = (source: string, text: string, end: number): number => Math.max(0, source.lastIndexOf(text, end - 1));

function literal(value: unknown): Value {
  return value instanceof UnsignedInt ? new CelUint(value.value) : value;
}

function convert(node: ASTNode, source: string): Expr {
  const at = node.start;
  const list = (nodes: readonly ASTNode[]) => nodes.map((item) => convert(item, source));
  switch (node.op) {
    case 'value':
      return { kind: 'literal', at, value: literal(node.args) };
    case 'id':
      return { kind: 'ident', at, name: node.args };
    case '.':
    case '.?': {
      const [operand, field] = node.args;
      const dot = before(source, '.', node.pos);
      return { kind: 'select', at: dot, operand: convert(operand, source), field, optional: node.op === '.?' };
    }
    case '[]':
    case '[?]': {
      const [operand, index] = node.args;
      const bracket = before(source, '[', index.start);
      const converted = convert(index, source);
      return {
        kind: 'index',
        at: bracket,
        operand: convert(operand, source),
        index: converted,
        optional: node.op === '[?]',
      };
    }
    case 'call': {
      const [name, args] = node.args;
      return { kind: 'call', at: operatorAt(source, at + name.length, '('), name, target: undefined, args: list(args) };
    }
    case 'rcall': {
      const [name, receiver, args] = node.args;
      const open = operatorAt(source, operatorAt(source, receiver.end, name) + name.length, '(');
      return { kind: 'call', at: open, name, target: convert(receiver, source), args: list(args) };
    }
    case 'list':
      return { kind: 'list', at, items: list(node.args) };
    case 'map':
      return {
        kind: 'map',
        at,
        entries: node.args.map(([key, value]) => [convert(key, source), convert(value, source)] as const),
      };
    case '?:': {
      const [test, yes, no] = node.args;
      const mark = operatorAt(source, test.end, '?');
      return {
        kind: 'ternary',
        at: mark,
        test: convert(test, source),
        yes: convert(yes, source),
        no: convert(no, source),
      };
    }
    case '&&':
    case '||': {
      const [left, right] = node.args;
      const kind = node.op === '&&' ? 'and' : 'or';
      const mark = operatorAt(source, left.end, node.op);
      return { kind, at: mark, left: convert(left, source), right: convert(right, source) };
    }
    case '!_':
      return { kind: 'call', at, name: '!_', target: undefined, args: [convert(node.args, source)] };
    case '-_':
      return negation(at, convert(node.args, source));
    case '==':
    case '!=':
    case 'in':
    case '+':
    case '-':
    case '*':
    case '/':
    case '%':
    case '<':
    case '<=':
    case '>':
    case '>=': {
      const [left, right] = node.args;
      const mark = operatorAt(source, left.end, node.op);
      const name = OPERATORS[node.op] ?? node.op;
      return { kind: 'call', at: mark, name, target: undefined, args: [convert(left, source), convert(right, source)] };
    }
  }
}

/** Negative numbers are literals, so that the smallest int can be written. */
function negation(at: number, operand: Expr): Expr {
  if (operand.kind === 'literal' && (typeof operand.value === 'bigint' || typeof operand.value === 'number')) {
    return { kind: 'literal', at, value: -operand.value };
  }
  return { kind: 'call', at, name: '-_', target: undefined, args: [operand] };
}
