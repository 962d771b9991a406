/** Functions and operators as tables: signature text to implementation. */
import type { Evaluation } from './evaluation.js';
import { parseType, splitTopLevel, type CelType } from './types.js';
import {
  CelDuration,
  CelList,
  CelObject,
  CelOpaque,
  CelOptional,
  CelTimestamp,
  CelTypeValue,
  CelUint,
  isMap,
  type Value,
} from './values.js';

export type Implementation = (args: readonly Value[], evaluation: Evaluation) => Value;

export interface Overload {
  readonly name: string;
  /** Called as `receiver.name(…)`; the receiver is the first parameter. */
  readonly member: boolean;
  readonly params: readonly CelType[];
  readonly result: CelType;
  readonly run: Implementation;
}

/**
 * `receiver.name(a, b): result` for functions of a receiver, `name(a): result` for others; a name with dots that is not
 * a receiver's, or that begins with `@`, is preceded by `@`.
 */
export type FunctionTable = Readonly<Record<string, Implementation>>;

const SIGNATURE = /^(@?)(?:([^(]+)\.)?([^.(]+)\(([^)]*)\): (.+)$/;

function parseSignature(signature: string, run: Implementation): Overload {
  const match = SIGNATURE.exec(signature);
  if (match === null) throw new Error(`malformed signature ${signature}`);
  const [, qualified, receiver = '', name = '', params = '', result = ''] = match;
  const types = splitTopLevel(params).map(parseType);
  if (receiver === '' || qualified === '@') {
    const full = receiver === '' ? name : `${receiver}.${name}`;
    return { name: full, member: false, params: types, result: parseType(result), run };
  }
  return { name, member: true, params: [parseType(receiver), ...types], result: parseType(result), run };
}

export class FunctionRegistry {
  private readonly overloads = new Map<string, Overload[]>();

  constructor(tables: readonly FunctionTable[]) {
    for (const table of tables) {
      for (const [signature, run] of Object.entries(table)) {
        const overload = parseSignature(signature, run);
        const known = this.overloads.get(overload.name);
        if (known) known.push(overload);
        else this.overloads.set(overload.name, [overload]);
      }
    }
  }

  find(name: string): readonly Overload[] | undefined {
    return this.overloads.get(name);
  }
}

/** Whether the value may be an argument for the parameter. Elements are not looked at. */
export function accepts(type: CelType, value: Value): boolean {
  switch (type.kind) {
    case 'dyn':
    case 'param':
    case 'error':
      return true;
    case 'bool':
      return typeof value === 'boolean';
    case 'int':
      return typeof value === 'bigint';
    case 'uint':
      return value instanceof CelUint;
    case 'double':
      return typeof value === 'number';
    case 'string':
      return typeof value === 'string';
    case 'bytes':
      return value instanceof Uint8Array;
    case 'null':
      return value === null;
    case 'type':
      return value instanceof CelTypeValue;
    case 'timestamp':
      return value instanceof CelTimestamp;
    case 'duration':
      return value instanceof CelDuration;
    case 'list':
      return value instanceof CelList;
    case 'map':
      return isMap(value);
    case 'optional':
      return value instanceof CelOptional;
    case 'opaque':
      return value instanceof CelOpaque && value.typeName === type.name;
    case 'object':
      return value instanceof CelObject && value.type.name === type.name;
  }
}
