/**
 * What calls cost at most, by function: the estimates of cel-go and of Kubernetes' libraries. Costs count steps; a text costs a
 * step for ten bytes, a pattern one for four.
 */
import type { Overload } from './functions.js';
import type { Expr } from './syntax.js';
import type { CelType } from './types.js';
import type { SizedType } from './cost-sizes.js';

/** Bounds of a length or count. */
export interface Size {
  readonly min: number;
  readonly max: number;
}

/** What is known of a subexpression. */
export interface Estimate {
  /** Steps at most, of it and all below. */
  readonly cost: number;
  readonly type: CelType;
  /** Of its value, where its form tells. */
  readonly size?: Size | undefined;
  /** Where its value is in the schema, if it is there. */
  readonly place?: SizedType | undefined;
}

export interface EstimatedCall {
  readonly target: Estimate | undefined;
  readonly args: readonly Estimate[];
  readonly exprs: readonly Expr[];
  /** Those that the arguments' types allow. */
  readonly overloads: readonly Overload[];
}

/** Of the call alone, without its arguments. */
export interface CallEstimate {
  readonly cost: number;
  readonly size?: Size | undefined;
}

/** Upstream counts in 64 bits, and stops there. */
export const MOST = 2 ** 64;
const PER_BYTE = 0.1;
const PER_PATTERN_BYTE = 0.25;
/** Longest pattern of a named format. */
const FORMAT_PATTERN_BYTES = 128;
/** Comparing two addresses of 16 bytes. */
const COMPARE_ADDRESSES = Math.ceil(32 * PER_BYTE);
const MASK_ADDRESS = Math.ceil(16 * PER_BYTE) + 1;

export const bounded = (cost: number): number => Math.min(MOST, cost);
const steps = (amount: number, factor: number) => bounded(Math.ceil(amount * factor));
const times = (a: number, b: number) => (a === 0 || b === 0 ? 0 : bounded(a * b));

const SCALARS = new Set(['bool', 'double', 'duration', 'int', 'timestamp', 'uint']);
const UNKNOWN: Size = { min: 0, max: MOST };
const ONE: CallEstimate = { cost: 1 };

const knownSize = ({ size, place }: Estimate): Size | undefined => size ?? (place && { min: 0, max: place.max });

/** As operators see it, for which a scalar has the length 1. */
export const sizeOf = (of: Estimate): Size =>
  knownSize(of) ?? (SCALARS.has(of.type.kind) ? { min: 1, max: 1 } : UNKNOWN);

/** As library functions see it. */
const lengthOf = (of: Estimate | undefined): Size => (of && knownSize(of)) ?? UNKNOWN;

const walk = (of: Estimate | undefined, factor = PER_BYTE): CallEstimate => ({ cost: steps(lengthOf(of).max, factor) });

type Rule = (call: EstimatedCall) => CallEstimate;

const ofArgument: Rule = ({ args }) => walk(args[0]);
const sameText: Rule = ({ target }) => ({ ...walk(target), size: lengthOf(target) });

function itemOf({ type, place }: Estimate): Estimate | undefined {
  return type.kind === 'list' ? { cost: 0, type: type.element, place: place?.item } : undefined;
}

const isText = ({ type: { kind } }: Estimate) => kind === 'string' || kind === 'bytes';

/** Each item is looked at once, its text with it. */
const perItem: Rule = ({ target }) => {
  const item = target && itemOf(target);
  if (item === undefined) return walk(target);
  const each = isText(item) ? 1 + steps(lengthOf(item).max, PER_BYTE) : 1;
  return { cost: times(lengthOf(target).max, each) };
};

const search: Rule = ({ target, args }) => {
  const { max } = lengthOf(target);
  // An empty text with a long pattern costs, too.
  return {
    cost: times(steps(max + 1, PER_BYTE), steps(lengthOf(args[0]).max, PER_PATTERN_BYTE)),
    size: { min: 0, max },
  };
};

const contains: Rule = ({ target, args: [part] }) => ({
  cost: times(target ? steps(sizeOf(target).max, PER_BYTE) : 1, part ? steps(sizeOf(part).max, PER_BYTE) : 1),
});

const replace: Rule = ({ target, args: [from, to] }) => {
  const [text, old, made] = [lengthOf(target), lengthOf(from), lengthOf(to)];
  const count = old.min === 0 ? text.max + 1 : made.max <= old.min ? 0 : Math.ceil(text.max / old.min);
  const kept = old.min === 0 || made.max <= old.min ? text.max : 0;
  return { cost: steps(text.max, 2 * PER_BYTE), size: { min: 0, max: bounded(times(count, made.max) + kept) } };
};

const split: Rule = ({ target, exprs: [, limit] }) => {
  const { max } = lengthOf(target);
  const literal = limit?.kind === 'literal' && typeof limit.value === 'bigint' ? Number(limit.value) : undefined;
  const most = literal === undefined ? max : literal < 0 ? MOST : literal;
  return { cost: steps(max, 2 * PER_BYTE), size: { min: 0, max: most } };
};

const join: Rule = ({ target, args: [separator] }) => {
  const { max: count } = lengthOf(target);
  const item = target && itemOf(target);
  const texts = item ? times(count, lengthOf(item).max) : 0;
  const max = bounded(texts + (separator ? times(lengthOf(separator).max, Math.max(0, count - 1)) : 0));
  return { cost: steps(max, PER_BYTE), size: { min: 0, max } };
};

/** A text in the place of an address is parsed first. */
const withParsing =
  (base: number): Rule =>
  ({ args: [other] }) => ({
    cost: base + (other && ['string', 'dyn'].includes(other.type.kind) ? walk(other).cost : 0),
  });

const add: Rule = ({ args: [left, right], overloads }) => {
  if (!left || !right) return ONE;
  const kinds = new Set(overloads.map(({ params }) => params[0]?.kind));
  if (!['string', 'bytes', 'list'].some((kind) => kinds.has(kind as CelType['kind']))) return ONE;
  const [a, b] = [sizeOf(left), sizeOf(right)];
  const size = { min: bounded(a.min + b.min), max: bounded(a.max + b.max) };
  const walked = kinds.has('string') || kinds.has('bytes');
  return { cost: walked ? Math.max(1, steps(size.max, PER_BYTE)) : 1, size };
};

/** Up to where the shorter one ends. */
const compareAll: Rule = ({ args: [left, right] }) => {
  if (!left || !right) return ONE;
  return { cost: steps(Math.min(sizeOf(left).max, sizeOf(right).max), PER_BYTE) };
};

const equal: Rule = (call) => (call.args.every(({ type }) => type.kind === 'opaque') ? ONE : compareAll(call));

const order: Rule = (call) => {
  const kinds = call.overloads.map(({ params }) => params[0]?.kind);
  const texts = kinds.filter((kind) => kind === 'string' || kind === 'bytes').length;
  if (texts === 0) return ONE;
  const { cost } = compareAll(call);
  return { cost: texts === kinds.length ? cost : Math.max(1, cost) };
};

const isIn: Rule = ({ args: [, range] }) => {
  if (range === undefined || range.type.kind === 'map') return ONE;
  return { cost: Math.max(range.type.kind === 'list' ? 0 : 1, sizeOf(range).max) };
};

const RULES: Readonly<Record<string, Rule>> = {
  '_==_': equal,
  '_!=_': equal,
  '_<_': order,
  '_<=_': order,
  '_>_': order,
  '_>=_': order,
  '_+_': add,
  '@in': isIn,
  startsWith: ofArgument,
  endsWith: ofArgument,
  contains: (call) => (call.target && isText(call.target) ? contains(call) : ONE),
  matches: (call) => (call.target ? { cost: search(call).cost } : ONE),
  find: search,
  findAll: search,
  isSorted: perItem,
  sum: perItem,
  min: perItem,
  max: perItem,
  indexOf: perItem,
  lastIndexOf: perItem,
  lowerAscii: sameText,
  upperAscii: sameText,
  substring: sameText,
  trim: sameText,
  replace,
  split,
  join,
  format: ({ target }) => walk(target),
  'strings.quote': ({ args: [text] }) => {
    const { min, max } = lengthOf(text);
    return { ...walk(text), size: { min: min + 2, max: bounded(max * 2 + 2) } };
  },
  string: ({ args: [from] }) => {
    if (from?.type.kind !== 'bytes') return ONE;
    const { min, max } = lengthOf(from);
    return { ...walk(from), size: { min: Math.floor(min / 4), max } };
  },
  bytes: ({ args: [from] }) => {
    if (from?.type.kind !== 'string') return ONE;
    const { min, max } = lengthOf(from);
    return { ...walk(from), size: { min, max: bounded(max * 4) } };
  },
  url: ({ args: [text] }) => ({ ...walk(text), size: lengthOf(text) }),
  cidr: ofArgument,
  isCIDR: ofArgument,
  isIP: ofArgument,
  quantity: ofArgument,
  isQuantity: ofArgument,
  ip: (call) => (call.args.length > 0 ? ofArgument(call) : ONE),
  'ip.isCanonical': ({ args: [text] }) => walk(text, 2 * PER_BYTE),
  containsIP: withParsing(COMPARE_ADDRESSES),
  containsCIDR: withParsing(COMPARE_ADDRESSES + MASK_ADDRESS),
  validate: ({ args: [text] }) => ({ cost: times(walk(text).cost, FORMAT_PATTERN_BYTES * PER_PATTERN_BYTE) }),
};

/** What is not named costs one step. */
export const estimateCall = (name: string, call: EstimatedCall): CallEstimate => (RULES[name] ?? (() => ONE))(call);
