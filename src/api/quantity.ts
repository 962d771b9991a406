/**
 * Kubernetes quantities (apimachinery `api/resource`): exact fixed-point numbers with decimal, binary or exponent suffix.
 * Resolution is 10⁻⁹; finer parts are rounded away from zero and magnitudes past 2⁶³−1 are capped, as upstream does.
 */

export type QuantityFormat = 'DecimalSI' | 'BinarySI' | 'DecimalExponent';

/** Why a text is not a quantity. The message is upstream's. */
export class QuantityError extends Error {
  readonly code = 'ERR_QUANTITY';
}

const NANO = 1_000_000_000n;
const MAX = (2n ** 63n - 1n) * NANO;
const DECIMAL: Readonly<Record<string, number>> = { n: -9, u: -6, m: -3, '': 0, k: 3, M: 6, G: 9, T: 12, P: 15, E: 18 };
const DECIMAL_BY_EXPONENT = new Map(Object.entries(DECIMAL).map(([suffix, exponent]) => [exponent, suffix]));
const BINARY = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei'];

const WRONG_FORMAT = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

const ceilDiv = (a: bigint, b: bigint): bigint => (a > 0n ? (a + b - 1n) / b : a / b);
const awayFromZeroDiv = (a: bigint, b: bigint): bigint => (a < 0n ? -ceilDiv(-a, b) : ceilDiv(a, b));
const clamp = (nano: bigint): bigint => (nano > MAX ? MAX : nano < -MAX ? -MAX : nano);

/** An immutable quantity. */
export class Quantity {
  constructor(
    /** The value in units of 10⁻⁹. */
    readonly nano: bigint,
    readonly format: QuantityFormat = 'DecimalSI',
  ) {}

  static readonly ZERO = new Quantity(0n);

  /** A whole number of units. */
  static of(value: number | bigint, format: QuantityFormat = 'DecimalSI'): Quantity {
    return new Quantity(clamp(BigInt(value) * NANO), format);
  }

  /** A whole number of thousandths: CPU. */
  static ofMilli(value: number | bigint, format: QuantityFormat = 'DecimalSI'): Quantity {
    return new Quantity(clamp(BigInt(value) * 1_000_000n), format);
  }

  /** The value, rounded up to a whole number: bytes, pods. Loses precision past 2⁵³. */
  get value(): number {
    return Number(ceilDiv(this.nano, NANO));
  }

  /** The value in thousandths, rounded up: CPU. Loses precision past 2⁵³. */
  get milliValue(): number {
    return Number(ceilDiv(this.nano, 1_000_000n));
  }

  get isZero(): boolean {
    return this.nano === 0n;
  }

  get isNegative(): boolean {
    return this.nano < 0n;
  }

  /** Keeps this quantity's suffix family, or takes the other's when this one is zero. */
  add(other: Quantity): Quantity {
    return new Quantity(clamp(this.nano + other.nano), this.isZero ? other.format : this.format);
  }

  sub(other: Quantity): Quantity {
    return new Quantity(clamp(this.nano - other.nano), this.isZero ? other.format : this.format);
  }

  /** Negative, zero or positive, whatever the formats. */
  compare(other: Quantity): number {
    return this.nano < other.nano ? -1 : this.nano > other.nano ? 1 : 0;
  }

  equals(other: Quantity): boolean {
    return this.nano === other.nano;
  }

  /** The canonical form: no fraction, the largest suffix of its family that leaves a whole number. */
  toString(): string {
    if (this.nano === 0n) return '0';
    const magnitude = this.nano < 0n ? -this.nano : this.nano;
    if (this.format === 'BinarySI' && magnitude >= 1024n * NANO) return this.#binary();
    return this.#decimal(this.format === 'DecimalExponent');
  }

  toJSON(): string {
    return this.toString();
  }

  #binary(): string {
    let mantissa = awayFromZeroDiv(this.nano, NANO);
    let step = 0;
    while (mantissa % 1024n === 0n && step < BINARY.length - 1) {
      mantissa /= 1024n;
      step++;
    }
    return `${mantissa}${BINARY[step] ?? ''}`;
  }

  #decimal(exponentForm: boolean): string {
    let mantissa = this.nano;
    let exponent = -9;
    while (mantissa % 1000n === 0n && exponent < 18) {
      mantissa /= 1000n;
      exponent += 3;
    }
    if (exponentForm) return exponent === 0 ? `${mantissa}` : `${mantissa}e${exponent}`;
    return `${mantissa}${DECIMAL_BY_EXPONENT.get(exponent) ?? ''}`;
  }
}

const NUMBER = /^([+-]?)([0-9]*)(?:\.([0-9]*))?/;

function scaleOf(suffix: string): { base: 2 | 10; exponent: number; format: QuantityFormat } {
  const decimal = Object.hasOwn(DECIMAL, suffix) ? DECIMAL[suffix] : undefined;
  if (decimal !== undefined) return { base: 10, exponent: decimal, format: 'DecimalSI' };
  const binary = BINARY.indexOf(suffix);
  if (binary > 0) return { base: 2, exponent: binary * 10, format: 'BinarySI' };
  const scientific = /^[eE]([+-]?[0-9]{1,9})$/.exec(suffix);
  if (scientific !== null) return { base: 10, exponent: Number(scientific[1]), format: 'DecimalExponent' };
  throw new QuantityError(
    /^[eEinumkKMGTP]*[-+]?[0-9]*$/.test(suffix) ? "unable to parse quantity's suffix" : WRONG_FORMAT,
  );
}

/** Parses a quantity. Throws {@link QuantityError} with upstream's message. */
export function parseQuantity(input: string | number): Quantity {
  const text = typeof input === 'number' ? String(input) : input;
  if (text === '') throw new QuantityError(WRONG_FORMAT);
  const match = NUMBER.exec(text);
  const [head = '', sign = '', whole = '', fraction = ''] = match ?? [];
  if (whole === '' && fraction === '') throw new QuantityError(WRONG_FORMAT);
  if (whole.length + fraction.length > 400) throw new QuantityError('unable to parse numeric part of quantity');
  const { base, exponent, format } = scaleOf(text.slice(head.length));
  const digits = BigInt(whole + fraction);
  if (digits === 0n) return new Quantity(0n, format);
  let nano: bigint;
  if (base === 2) {
    nano = ceilDiv(digits * 2n ** BigInt(exponent) * NANO, 10n ** BigInt(fraction.length));
  } else {
    const shift = exponent + 9 - fraction.length;
    // Past these bounds the result is capped or rounded up to the smallest unit whatever the digits are.
    if (shift > 450) nano = MAX;
    else if (shift < -450) nano = 1n;
    else nano = shift >= 0 ? digits * 10n ** BigInt(shift) : ceilDiv(digits, 10n ** BigInt(-shift));
  }
  return new Quantity(clamp(sign === '-' ? -nano : nano), format);
}

/** Up to three digits with one of the usual suffixes is canonical already. */
const CANONICAL = /^(?:0|[1-9][0-9]{0,2}(?:m|k|M|G|Ki|Mi|Gi|Ti)?)$/;

/** The canonical text of a quantity; throws {@link QuantityError}. */
export function canonicalQuantity(input: string | number): string {
  if (typeof input === 'string' && CANONICAL.test(input)) return input;
  return parseQuantity(input).toString();
}
