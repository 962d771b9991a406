/**
 * What types and fields of the built-in kinds mean, for `kubectl explain`: texts of this project's own, kept in
 * `api/data/descriptions/`, one file for a group or a part of one.
 *
 *     # a comment
 *     [io.k8s.api.core.v1]             the packages that what follows is about; [*] means all
 *     Pod, PodTemplate: a text         types, and what they are (may be left out)
 *       metadata: a text               a field of theirs, and what it is
 *
 * A type can have one asterisk, which stands for any letters, and for them in the type's text as `{*}`. Where several texts
 * fit, that of the type's full name counts, then that of its packages, then that with the longer name.
 */
import { readdirSync, readFileSync } from 'node:fs';
import type { OpenApiSchema } from './schema.js';

/** One heading of a file with the fields below it. */
export interface DescriptionEntry {
  readonly packages: readonly string[];
  readonly types: readonly string[];
  readonly text: string | undefined;
  readonly fields: ReadonlyMap<string, string>;
}

const FOLDER = new URL('../data/descriptions/', import.meta.url);
const SECTION = /^\[(.+)\]$/;
const TYPES = /^([^\s:][^:]*):(?: (.+))?$/;
const FIELD = /^ {2}(\S+): (.+)$/;

/** Throws for a line that is none of the above, or a field before any type. */
export function parseDescriptions(text: string, source: string): DescriptionEntry[] {
  const entries: DescriptionEntry[] = [];
  let packages: readonly string[] = [];
  let fields: Map<string, string> | undefined;
  for (const [index, line] of text.split('\n').entries()) {
    if (line === '' || line.startsWith('#')) continue;
    const [section, types, field] = [SECTION.exec(line), TYPES.exec(line), FIELD.exec(line)];
    if (section?.[1] !== undefined) {
      packages = section[1].split(' ');
      fields = undefined;
    } else if (field?.[1] !== undefined && field[2] !== undefined && fields !== undefined && !fields.has(field[1])) {
      fields.set(field[1], field[2]);
    } else if (types?.[1] !== undefined && packages.length > 0) {
      fields = new Map();
      entries.push({ packages, types: types[1].split(', '), text: types[2], fields });
    } else {
      throw new Error(`${source}:${index + 1}: not a section, a type or a new field: ${line}`);
    }
  }
  return entries;
}

/** Reads the files (about 110 KB). Synchronous and uncached: callers keep what they make of it. */
export function loadDescriptions(): DescriptionEntry[] {
  return readdirSync(FOLDER)
    .toSorted()
    .flatMap((file) => parseDescriptions(readFileSync(new URL(file, FOLDER), 'utf8'), file));
}

interface Rule {
  readonly entry: DescriptionEntry;
  /** For an asterisk: what the name begins and ends with. */
  readonly pattern: readonly [string, string] | undefined;
  readonly rank: number;
}

const ruleOf = (entry: DescriptionEntry, type: string): Rule => {
  const [before, after] = type.split('*', 2);
  const pattern = after === undefined ? undefined : ([before ?? '', after] as const);
  return { entry, pattern, rank: (entry.packages[0] === '*' ? 0 : 1000) + type.length };
};

/** Finds the texts for a type; immutable. */
export class Descriptions {
  readonly #exact = new Map<string, Rule[]>();
  readonly #patterns: readonly Rule[];

  constructor(entries: readonly DescriptionEntry[]) {
    const patterns: Rule[] = [];
    for (const entry of entries) {
      for (const type of entry.types) {
        const rule = ruleOf(entry, type);
        if (rule.pattern !== undefined) patterns.push(rule);
        else {
          for (const name of entry.packages) {
            const known = this.#exact.get(`${name}.${type}`);
            if (known === undefined) this.#exact.set(`${name}.${type}`, [rule]);
            else known.push(rule);
          }
        }
      }
    }
    this.#patterns = patterns.toSorted((a, b) => b.rank - a.rank);
  }

  /** The schema with descriptions of itself and its fields, as far as there are any; what has one keeps it. */
  describe(name: string, schema: OpenApiSchema): OpenApiSchema {
    const rules = this.#rulesFor(name);
    const text = rules.map((rule) => typeText(rule, name)).find((found) => found !== undefined);
    const properties = Object.entries(schema.properties ?? {}).map(([field, child]) => {
      const found = rules.map(({ entry }) => entry.fields.get(field)).find((fieldText) => fieldText !== undefined);
      return [field, found === undefined ? child : describedField(child, found)] as const;
    });
    return {
      ...(text === undefined ? {} : { description: text }),
      ...schema,
      ...(properties.length === 0 ? {} : { properties: Object.fromEntries(properties) }),
    };
  }

  /** Best first. */
  #rulesFor(name: string): Rule[] {
    const dot = name.lastIndexOf('.');
    const [packageName, type] = [name.slice(0, dot), name.slice(dot + 1)];
    const fitting = this.#patterns.filter(
      ({ entry, pattern }) => fits(type, pattern) && entry.packages.some((one) => one === '*' || one === packageName),
    );
    return [...(this.#exact.get(name) ?? []), ...fitting];
  }
}

const fits = (type: string, pattern: Rule['pattern']): boolean =>
  pattern !== undefined &&
  type.length >= pattern[0].length + pattern[1].length &&
  type.startsWith(pattern[0]) &&
  type.endsWith(pattern[1]);

function typeText({ entry, pattern }: Rule, name: string): string | undefined {
  if (pattern === undefined) return entry.text;
  const type = name.slice(name.lastIndexOf('.') + 1);
  return entry.text?.replace('{*}', () => type.slice(pattern[0].length, type.length - pattern[1].length));
}

/** A reference with something beside it is written as `allOf`, as in upstream's documents. */
function describedField(schema: OpenApiSchema, description: string): OpenApiSchema {
  const { $ref, ...rest } = schema;
  return { description, ...rest, ...($ref === undefined ? {} : { allOf: [{ $ref }] }) };
}
