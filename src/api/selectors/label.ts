/**
 * Label selectors: the textual grammar of kubectl's `-l` and the `LabelSelector` object, compiled to one matcher
 * (apimachinery `pkg/labels`).
 */
import { badRequest } from '../errors.js';
import { labelValue, qualifiedName } from '../names.js';
import type { DeepReadonly, LabelSelector } from '../object.js';

export interface LabelMatcher {
  matches(labels: Readonly<Record<string, string>> | undefined): boolean;
  /** Whether it matches everything. */
  readonly empty: boolean;
}

type Operator = 'in' | 'notin' | '=' | '==' | '!=' | 'exists' | '!' | 'gt' | 'lt';

interface Requirement {
  readonly key: string;
  readonly operator: Operator;
  readonly values: readonly string[];
}

/** Matches every object, labelled or not. */
export const EVERYTHING: LabelMatcher = Object.freeze({ matches: () => true, empty: true });
/** Matches no object. */
const NOTHING: LabelMatcher = Object.freeze({ matches: () => false, empty: false });

const NO_LABELS: Readonly<Record<string, string>> = Object.freeze({});
const INTEGER = /^[+-]?[0-9]+$/;

function compile({ key, operator, values }: Requirement): (labels: Readonly<Record<string, string>>) => boolean {
  const has = (labels: Readonly<Record<string, string>>) => Object.hasOwn(labels, key);
  switch (operator) {
    case '=':
    case '==':
    case 'in': {
      const wanted = new Set(values);
      return (labels) => has(labels) && wanted.has(labels[key] ?? '');
    }
    case '!=':
    case 'notin': {
      const unwanted = new Set(values);
      return (labels) => !has(labels) || !unwanted.has(labels[key] ?? '');
    }
    case 'exists':
      return has;
    case '!':
      return (labels) => !has(labels);
    case 'gt':
    case 'lt': {
      const bound = BigInt(values[0] ?? '0');
      return (labels) => {
        const text = labels[key];
        if (text === undefined || !has(labels) || !INTEGER.test(text)) return false;
        return operator === 'gt' ? BigInt(text) > bound : BigInt(text) < bound;
      };
    }
  }
}

function matcherOf(requirements: readonly Requirement[]): LabelMatcher {
  if (requirements.length === 0) return EVERYTHING;
  const tests = requirements.map(compile);
  return { empty: false, matches: (labels) => tests.every((test) => test(labels ?? NO_LABELS)) };
}

interface Token {
  readonly type: 'symbol' | 'word' | 'end';
  readonly text: string;
}

const SYMBOL = /^(?:==|!=|=|!|\(|\)|,|>|<)/;
const WORD = /^[^\s=!(),<>]+/;

function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  let rest = text.trimStart();
  while (rest !== '') {
    const symbol = SYMBOL.exec(rest)?.[0];
    const found = symbol ?? WORD.exec(rest)?.[0] ?? rest.slice(0, 1);
    tokens.push({ type: symbol === undefined ? 'word' : 'symbol', text: found });
    rest = rest.slice(found.length).trimStart();
  }
  tokens.push({ type: 'end', text: '' });
  return tokens;
}

const unparsable = (why: string) => badRequest(`unable to parse requirement: ${why}`);
const unexpected = (found: string, expected: string) => unparsable(`found '${found}', expected: ${expected}`);
const END: Token = { type: 'end', text: '' };

class Parser {
  #tokens: Token[];
  #at = 0;

  constructor(text: string) {
    this.#tokens = tokenize(text);
  }

  #peek(): Token {
    return this.#tokens[this.#at] ?? END;
  }

  #next(): Token {
    const token = this.#peek();
    this.#at++;
    return token;
  }

  parse(): Requirement[] {
    const requirements: Requirement[] = [];
    if (this.#peek().type === 'end') return requirements;
    for (;;) {
      const first = this.#peek();
      if (first.type !== 'word' && first.text !== '!') {
        throw badRequest(`found '${first.text}', expected: !, identifier, or 'end of string'`);
      }
      requirements.push(this.#requirement());
      const after = this.#next();
      if (after.type === 'end') return requirements;
      if (after.text !== ',') throw badRequest(`found '${after.text}', expected: ',' or 'end of string'`);
      const following = this.#peek();
      if (following.type !== 'word' && following.text !== '!') {
        throw badRequest(`found '${following.text}', expected: identifier after ','`);
      }
    }
  }

  #requirement(): Requirement {
    const negated = this.#peek().text === '!' && this.#peek().type === 'symbol';
    if (negated) this.#next();
    const keyToken = this.#next();
    if (keyToken.type !== 'word') throw unexpected(keyToken.text, 'identifier');
    const key = keyToken.text;
    checkKey(key);
    const following = this.#peek();
    if (negated) return { key, operator: '!', values: [] };
    if (following.type === 'end' || following.text === ',') return { key, operator: 'exists', values: [] };
    const operator = this.#operator();
    const values = operator === 'in' || operator === 'notin' ? this.#set() : [this.#exactValue()];
    return checked({ key, operator, values });
  }

  #operator(): Operator {
    const { text } = this.#next();
    switch (text) {
      case 'in':
      case 'notin':
      case '=':
      case '==':
      case '!=':
        return text;
      case '>':
        return 'gt';
      case '<':
        return 'lt';
      default:
        throw unexpected(text, 'in, notin, =, ==, !=, gt, lt');
    }
  }

  #set(): string[] {
    const open = this.#next();
    if (open.text !== '(') throw unexpected(open.text, "'('");
    const values: string[] = [];
    let wantValue = true;
    for (;;) {
      const token = this.#next();
      if (token.text === ')' && token.type === 'symbol') {
        if (wantValue) values.push('');
        return [...new Set(values)];
      }
      if (token.text === ',' && token.type === 'symbol') {
        if (wantValue) values.push('');
        wantValue = true;
      } else if (token.type === 'word' && wantValue) {
        values.push(token.text);
        wantValue = false;
      } else {
        throw unexpected(token.text, wantValue ? "',', ')' or identifier" : "',' or ')'");
      }
    }
  }

  #exactValue(): string {
    const token = this.#peek();
    if (token.type === 'end' || token.text === ',') return '';
    if (token.type !== 'word') throw unexpected(token.text, 'identifier');
    this.#next();
    return token.text;
  }
}

function checkKey(key: string): void {
  const errors = qualifiedName(key);
  if (errors.length > 0) throw unparsable(`<nil>: Invalid value: ${JSON.stringify(key)}: ${errors.join('; ')}`);
}

function checked(requirement: Requirement): Requirement {
  const { key, operator, values } = requirement;
  if (operator === 'gt' || operator === 'lt') {
    const [value = ''] = values;
    if (!INTEGER.test(value)) {
      throw unparsable(
        `values[0][${key}]: Invalid value: ${JSON.stringify(value)}: for 'Gt', 'Lt' operators, the value must be an integer`,
      );
    }
  }
  values.forEach((value, index) => {
    const errors = labelValue(value);
    if (errors.length > 0) {
      throw unparsable(`values[${index}][${key}]: Invalid value: ${JSON.stringify(value)}: ${errors.join('; ')}`);
    }
  });
  return requirement;
}

/**
 * Parses kubectl's selector text: `a=b`, `a==b`, `a!=b`, `a in (x,y)`, `a notin (x)`, `a`, `!a`, `a>1`, `a<1`, joined by
 * commas. The empty text matches everything. Throws a 400 with upstream's text.
 */
export function parseLabelSelector(text: string): LabelMatcher {
  return matcherOf(new Parser(text).parse());
}

const OBJECT_OPERATORS: Readonly<Record<string, Operator>> = {
  In: 'in',
  NotIn: 'notin',
  Exists: 'exists',
  DoesNotExist: '!',
};

/**
 * The matcher of a `LabelSelector` object: absent matches nothing, empty matches everything. Throws a 400 for an unknown
 * operator (validated objects have none).
 */
export function labelMatcher(selector: DeepReadonly<LabelSelector> | undefined | null): LabelMatcher {
  if (selector === undefined || selector === null) return NOTHING;
  const requirements: Requirement[] = Object.entries(selector.matchLabels ?? {}).map(([key, value]) => ({
    key,
    operator: '=',
    values: [value],
  }));
  for (const { key, operator, values } of selector.matchExpressions ?? []) {
    const known = OBJECT_OPERATORS[operator];
    if (known === undefined) throw badRequest(`"${operator}" is not a valid label selector operator`);
    requirements.push({ key, operator: known, values: values ?? [] });
  }
  return matcherOf(requirements);
}

/** The text form of a `LabelSelector`, sorted by key as upstream prints it; empty for an absent or empty selector. */
export function formatLabelSelector(selector: DeepReadonly<LabelSelector> | undefined): string {
  const terms: [key: string, text: string][] = Object.entries(selector?.matchLabels ?? {}).map(([key, value]) => [
    key,
    `${key}=${value}`,
  ]);
  for (const { key, operator, values } of selector?.matchExpressions ?? []) {
    const list = (values ?? []).toSorted().join(',');
    if (operator === 'In') terms.push([key, `${key} in (${list})`]);
    else if (operator === 'NotIn') terms.push([key, `${key} notin (${list})`]);
    else terms.push([key, operator === 'Exists' ? key : `!${key}`]);
  }
  return terms
    .toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    .map(([, text]) => text)
    .join(',');
}
