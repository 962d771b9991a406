/** Manifests: files, directories and standard input; several documents a file; `List`s taken apart. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { parseJsonBody, parseYamlBody, type ParsedBody } from '../api/body.js';
import type { KubeObject } from '../api/object.js';
import { CliError, systemText } from './failure.js';

export interface Manifest {
  /** The file, as messages name it. */
  readonly source: string;
  readonly object: KubeObject;
}

const EXTENSIONS = /\.(ya?ml|json)$/;
const LIMITS = { maxBytes: 64 * 1024 * 1024, maxDepth: 100 };

/** All objects in the order of the files. Throws a {@link CliError} that names the file. */
export async function readManifests(
  paths: readonly string[],
  recursive: boolean,
  stdin: Readable,
): Promise<Manifest[]> {
  const manifests: Manifest[] = [];
  for (const path of paths) {
    if (path === '-') manifests.push(...parseManifests(await textOf(stdin), 'STDIN'));
    else for (const file of filesOf(path, recursive)) manifests.push(...parseManifests(readText(file), file));
  }
  return manifests;
}

async function textOf(stdin: Readable): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of stdin) parts.push(Buffer.from(part as Buffer | string));
  return Buffer.concat(parts).toString('utf8');
}

function filesOf(path: string, recursive: boolean): string[] {
  if (/^https?:\/\//.test(path)) throw new CliError(`manifests are not fetched from the network: ${path}`);
  try {
    if (!statSync(path).isDirectory()) return [path];
    const entries = readdirSync(path, { withFileTypes: true }).toSorted((a, b) => (a.name < b.name ? -1 : 1));
    const files = entries.flatMap((entry) => {
      const below = join(path, entry.name);
      if (entry.isDirectory()) return recursive ? filesOf(below, true) : [];
      return EXTENSIONS.test(entry.name) ? [below] : [];
    });
    return files;
  } catch (cause) {
    if (cause instanceof CliError) throw cause;
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') {
      throw new CliError(`the path "${path}" does not exist`, 1, { cause });
    }
    throw new CliError(systemText(cause), 1, { cause });
  }
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw new CliError(systemText(cause), 1, { cause });
  }
}

/** The objects of one text. `source` is for messages. */
export function parseManifests(text: string, source: string): Manifest[] {
  return documentsOf(text)
    .flatMap((document) => expanded(parseDocument(document, source), source))
    .map((object) => ({ source, object }));
}

/** Documents are parted by lines that begin with `---`, as kubectl does it. */
const documentsOf = (text: string): string[] => text.split(/^---[^\n]*(?:\n|$)/m).filter((part) => part.trim() !== '');

function parseDocument(text: string, source: string): unknown {
  let parsed: ParsedBody;
  try {
    parsed =
      text.trimStart().startsWith('{') && isJson(text) ? parseJsonBody(text, LIMITS) : parseYamlBody(text, LIMITS);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new CliError(`error parsing ${source}: ${why.split('\n')[0]?.replace(/:$/, '') ?? ''}`, 1, { cause });
  }
  const [duplicate] = parsed.duplicates;
  if (duplicate !== undefined) {
    throw new CliError(`error parsing ${source}: ${duplicate.replaceAll(/\s*\n\s*/g, ' ')}`);
  }
  return parsed.value;
}

/** Whether it is JSON rather than YAML in braces. */
function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** A `List` becomes its items; a document of comments nothing. */
function expanded(value: unknown, source: string): KubeObject[] {
  if (value === null || value === undefined) return [];
  if (typeof value !== 'object' || Array.isArray(value)) {
    throw new CliError(`error parsing ${source}: a manifest must be a mapping with apiVersion, kind and metadata`);
  }
  const { apiVersion, kind, items, metadata } = value as KubeObject & { items?: unknown };
  const what = metadata?.name === undefined ? '' : ` in the document named "${metadata.name}"`;
  if (typeof kind !== 'string' || kind === '')
    throw new CliError(`unable to decode "${source}": Object 'Kind' is missing${what}`);
  if (typeof apiVersion !== 'string' || apiVersion === '') {
    throw new CliError(`unable to decode "${source}": Object 'apiVersion' is missing${what}`);
  }
  if (kind.endsWith('List') && Array.isArray(items)) return items.flatMap((item: unknown) => expanded(item, source));
  // Absent metadata is the server's to refuse, but everyone here reads it.
  return [{ ...(value as KubeObject), metadata: metadata ?? {} }];
}
