/** Objects of every kind with any of their fields, made from the schemas: what JSON and protobuf must agree about. */
import type { Random } from '../../../../src/base/random.js';
import type { FieldNode, ObjectNode, ScalarType, SchemaNode } from '../../../../src/api/schema/schema.js';

const TEXTS = ['a', 'web-1', 'ü', '日本語', '👍', 'x'.repeat(200), `${'y'.repeat(40)}é`, '"\\\n'];
const INT32 = [1, 127, 128, 16_383, 16_384, 2_147_483_647, -1, -2_147_483_648];
const INT64 = [...INT32, 4_294_967_296, Number.MAX_SAFE_INTEGER, -Number.MAX_SAFE_INTEGER];

export class RandomObjects {
  constructor(
    private readonly random: Random,
    /** How often a field is set, 0 to 1. */
    private readonly density: number,
  ) {}

  private pick<T>(from: readonly [T, ...T[]] | readonly T[]): T {
    const chosen = from[Math.floor(this.random.next() * from.length)];
    if (chosen === undefined) throw new Error('nothing to choose from');
    return chosen;
  }

  private times<T>(make: () => T): T[] {
    return Array.from({ length: 1 + Math.floor(this.random.next() * 2) }, make);
  }

  /** Without `apiVersion` and `kind`, which no message carries. */
  object(node: ObjectNode, depth = 0): Record<string, unknown> {
    const out: Record<string, unknown> = {};
    for (const [name, field] of node.fields) {
      if (depth === 0 && (name === 'apiVersion' || name === 'kind')) continue;
      if (isTypeMeta(node, name)) continue;
      // Go has no way to leave it out.
      const always = field.node.kind === 'scalar' && field.node.type === 'quantity' && !field.go.pointer;
      if (!always && this.random.next() > this.density) continue;
      const value = this.field(node, field, depth);
      if (value !== undefined) out[name] = value;
    }
    return out;
  }

  private field(parent: ObjectNode, { name, node, go }: FieldNode, depth: number): unknown {
    if (parent.typeName === 'JSONSchemaProps') {
      const special = this.schemaField(parent, name, depth);
      if (special !== undefined) return special;
    }
    // Behind a pointer the zero value says something. What is one there, the facts about Go's fields do not tell.
    const pointer = go.pointer && !/apiextensions|apiregistration/.test(parent.name);
    if (pointer && node.kind === 'scalar' && this.random.next() < 0.2) return ZERO[node.type];
    return this.value(node, depth, pointer);
  }

  private value(node: SchemaNode, depth: number, pointer = false): unknown {
    switch (node.kind) {
      case 'scalar':
        return this.scalar(node.type);
      case 'any':
        return { f: { [this.pick(TEXTS)]: [1, null, 'x', { y: 1.5 }] } };
      case 'list':
        return this.times(() => this.value(node.items, depth + 1, true));
      case 'map':
        return Object.fromEntries(this.times(() => [this.pick(TEXTS), this.value(node.values, depth + 1, true)]));
      case 'object': {
        const made = this.object(node, depth + 1);
        return !pointer && Object.keys(made).length === 0 ? undefined : made;
      }
    }
  }

  private scalar(type: ScalarType): unknown {
    switch (type) {
      case 'string':
        return this.pick(TEXTS);
      case 'bytes':
        return Buffer.from(this.pick(TEXTS)).toString('base64');
      case 'boolean':
        return true;
      case 'int32':
        return this.pick(INT32);
      case 'int64':
        return this.pick(INT64);
      case 'number':
        return this.pick([1.5, -2, 1e100, 3]);
      case 'quantity':
        return this.pick(['1', '500m', '1Gi', '-3k']);
      case 'intOrString':
        return this.pick([80, 'http', '25%', -1]);
      case 'time':
        return this.pick(['2024-02-29T12:00:01Z', '1969-12-31T23:59:59Z', '2260-01-01T00:00:00Z']);
      case 'microTime':
        return this.pick(['2024-02-29T12:00:01.000001Z', '2024-02-29T12:00:01.999999Z', '1969-12-31T23:59:58.500000Z']);
      case 'duration':
        return '30s';
    }
  }

  /** The parts of a custom resource's schema that take several forms. */
  private schemaField(props: ObjectNode, name: string, depth: number): unknown {
    const schema = () => (depth > 4 ? { type: 'string' } : this.object(props, depth + 4));
    switch (name) {
      case 'items':
        return this.random.next() < 0.5 ? schema() : [schema(), schema()];
      case 'additionalProperties':
      case 'additionalItems':
        return this.pick([true, false, schema()]);
      case 'dependencies':
        return { a: schema(), b: ['x', 'y'] };
      case 'default':
      case 'example':
        return this.pick<unknown>([0, '', false, 'x', [1], { a: null }]);
      case 'enum':
        return [1, 'a', null, { b: 2 }];
      case 'allOf':
      case 'oneOf':
      case 'anyOf':
        return [schema()];
      case 'not':
        return schema();
      case 'properties':
      case 'patternProperties':
      case 'definitions':
        return { a: schema(), b: schema() };
      default:
        return undefined;
    }
  }
}

const ZERO: Readonly<Record<ScalarType, unknown>> = {
  string: '',
  bytes: undefined,
  boolean: false,
  int32: 0,
  int64: 0,
  number: 0,
  quantity: '0',
  intOrString: 0,
  time: undefined,
  microTime: undefined,
  duration: undefined,
};

/** Objects within others (a StatefulSet's claims) have a type in JSON only. */
const isTypeMeta = ({ fields }: ObjectNode, name: string) =>
  (name === 'apiVersion' || name === 'kind') && fields.has('metadata');
